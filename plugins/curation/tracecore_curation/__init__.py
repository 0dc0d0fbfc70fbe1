"""Filters and leak-free splits of frames: stages of the tracecore plugin."""
