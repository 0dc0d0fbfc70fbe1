"""Sealing of builds, cosignatures, key rotation and attestations."""
