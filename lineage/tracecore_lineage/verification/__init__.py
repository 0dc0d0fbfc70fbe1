"""Verification: every byte, event, row and signature recomputed, offline, with no stored hash believed."""
