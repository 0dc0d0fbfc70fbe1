"""Drive logs into frames and signals: stages of the tracecore plugin."""
