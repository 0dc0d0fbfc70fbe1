"""Torch training, and trainings of others as evidence: stages of the tracecore plugin."""
