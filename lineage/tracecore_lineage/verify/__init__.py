"""Verification: every byte, event, row and signature recomputed offline; no stored hash is trusted."""
