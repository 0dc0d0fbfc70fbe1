"""Label batches from label files: stages of the tracecore plugin."""
