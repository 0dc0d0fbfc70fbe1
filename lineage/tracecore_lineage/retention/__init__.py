"""Retention: what a sealed build holds, what may be removed, and erasure of withdrawn data under a signed tombstone."""
