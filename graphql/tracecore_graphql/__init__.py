"""tracecore_graphql: the audit server. It reads the record (`tracecore_lineage.Record`) alone, never plugins or Dagster."""
