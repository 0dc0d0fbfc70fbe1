"""The commands that the record brings to the CLI, one a module."""
