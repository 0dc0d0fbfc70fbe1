"""Assets of other Dagster projects, recorded with their exact inputs as Dagster stores their events."""
