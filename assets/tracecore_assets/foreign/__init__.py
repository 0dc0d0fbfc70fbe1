"""Assets that no program made: every other Dagster asset of the code location, recorded with its exact inputs as Dagster stores its events."""
