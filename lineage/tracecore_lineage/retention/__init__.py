"""Retention: what a sealed build holds, what may be removed, and how a withdrawal erases everywhere under a signed tombstone."""
