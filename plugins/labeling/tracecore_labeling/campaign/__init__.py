"""Labeling campaigns: a durable queue of tasks, who labels them, and the label batch that comes of it."""
