"""Assets that no program makes: recorded with their exact inputs when Dagster stores their events."""
