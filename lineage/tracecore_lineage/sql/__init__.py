"""SQL over the recorded tables: which tables there are, DuckDB shut off from everything else, and answers in several forms."""
