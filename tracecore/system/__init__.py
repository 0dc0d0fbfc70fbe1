"""Access to the machine: locks, settings, installed code, and descriptions of failures. Internal."""
