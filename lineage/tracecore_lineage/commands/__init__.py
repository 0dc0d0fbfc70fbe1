"""Commands that the record adds to the CLI."""
