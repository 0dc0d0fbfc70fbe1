"""Refs of other producers' datasets, and those whose version nobody stated."""

from __future__ import annotations

from tracecore_lineage.projection import UNVERSIONED

__all__ = ["UNVERSIONED", "dataset_of", "is_external", "is_unversioned", "label_of"]


def is_external(ref: str) -> bool:
    """Whether a ref names another producer's dataset."""
    return ref.startswith("external/")


def is_unversioned(ref: str) -> bool:
    """Whether a ref names another producer's dataset without a version."""
    return ref.endswith(f"@{UNVERSIONED}")


def dataset_of(ref: str) -> str:
    """Return the ref without its version."""
    return ref.partition("@")[0]


def label_of(ref: str) -> str:
    """Return the version that a ref names, as another producer's dataset would carry it."""
    name, _, version = ref.partition("@")
    return version if is_external(name) else f"sha256:{version}"
