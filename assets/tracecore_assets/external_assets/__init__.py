"""External assets, made by no program: recorded with their exact inputs when Dagster stores their events."""
