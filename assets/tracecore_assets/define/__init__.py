"""A resolved program as Dagster definitions: assets, checks, job, and what the Dagster UI shows of them."""
