"""The stage `template`, as a tracecore plugin."""
