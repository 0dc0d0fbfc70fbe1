"""`tracecore label …`: campaigns by hand, and label batches in others' formats."""
