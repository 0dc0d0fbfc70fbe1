"""KPIs of perception: stages of the tracecore plugin."""
