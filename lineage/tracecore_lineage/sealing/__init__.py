"""Sealing: keys, who signs with how many of them, the seal of a build, and what else is attested of it."""
