"""Labeling campaigns: a durable queue of tasks, its log, and the label batch of the results."""
