"""Smaller models from trained ones: stages of the tracecore plugin."""
