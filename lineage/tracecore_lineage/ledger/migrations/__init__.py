"""The database's revisions, shipped with the package and applied when a workspace is opened."""

from __future__ import annotations

__all__ = ["HEAD"]

HEAD = "0002"
"""The revision that this version of tracecore reads and writes; a test compares it with the newest file in `versions/`."""
