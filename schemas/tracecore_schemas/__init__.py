"""Every shape that data takes in tracecore, without behavior: kinds, refs, tables, catalog rows, runs, answers."""
