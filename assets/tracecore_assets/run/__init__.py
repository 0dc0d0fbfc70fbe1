"""Running of a resolved program: the session that makes its assets, its progress, and the workspace's Dagster instance."""
