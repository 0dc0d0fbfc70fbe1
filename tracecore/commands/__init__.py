"""The kernel's own commands: `plugins`, `completion`."""
