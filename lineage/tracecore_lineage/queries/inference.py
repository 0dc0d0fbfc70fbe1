"""Refs of other producers' datasets whose version nobody stated."""

from __future__ import annotations

__all__ = ["UNVERSIONED", "dataset_of", "is_unversioned"]

UNVERSIONED = "unversioned"


def is_unversioned(ref: str) -> bool:
    """Whether a ref names another producer's dataset without a version."""
    return ref.endswith(f"@{UNVERSIONED}")


def dataset_of(ref: str) -> str:
    """Return the ref without its version."""
    return ref.partition("@")[0]
