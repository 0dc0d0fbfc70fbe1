"""Part of tracecore."""
