"""Installed plugins: discovery, host, parameter validation, built-in checks, and the template for new plugins. Internal."""
