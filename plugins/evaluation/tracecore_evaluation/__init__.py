"""Detection KPIs: stages of the tracecore plugin."""
