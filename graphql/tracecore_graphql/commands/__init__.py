"""Commands of the audit server."""
