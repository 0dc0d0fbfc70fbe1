"""A torch detector: stages of the tracecore plugin."""
