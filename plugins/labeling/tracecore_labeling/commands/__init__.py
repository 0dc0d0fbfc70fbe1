"""`tracecore label …`: campaigns by hand, and label batches in the formats of other tools."""
