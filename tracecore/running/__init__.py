"""Executing a run of a stage, from START to COMPLETE. Internal."""
