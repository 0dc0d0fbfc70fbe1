"""Data types shared by all tracecore packages, without behavior: artifact kinds, refs, table types, catalog rows, runs and answers."""
