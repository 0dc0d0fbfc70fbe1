"""Installed plugins: discovery, the host, their parameters, built-in checks, the template of a new one. Internal."""
