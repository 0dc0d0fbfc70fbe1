"""Mistakes clustered and turned into requests for data: a stage of the tracecore plugin."""
