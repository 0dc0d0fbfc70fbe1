"""Audit server: GraphQL over the record. It never loads plugins, Dagster or models."""
