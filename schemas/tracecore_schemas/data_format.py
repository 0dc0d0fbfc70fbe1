"""The version of the bytes that the kernel writes for the same values: tables, manifests, digests."""

from __future__ import annotations

__all__ = ["DATA_FORMAT"]

DATA_FORMAT = 2
"""Raised when the same rows or files would be written as other bytes, or be called by another digest: all assets are then made again.

It stands for the whole distribution `tracecore` in what a run depends on; tests/kernel/test_data_format.py says when it has to be raised.
"""
