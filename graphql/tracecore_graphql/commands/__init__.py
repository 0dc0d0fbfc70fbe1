"""Commands of the audit server, found by entry point."""
