"""Retention: what a sealed build holds, what may go, and how what was withdrawn goes everywhere under a signed tombstone."""
