"""Simulated labelers: they know the truth, make mistakes, refuse, come late and review each other, by a seeded clock."""
