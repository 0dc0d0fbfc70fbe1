"""Dagster definitions of a resolved program: assets, checks, job, and their metadata in the Dagster UI."""
