"""Drawn drives for demos and tests: stages of the tracecore plugin."""
