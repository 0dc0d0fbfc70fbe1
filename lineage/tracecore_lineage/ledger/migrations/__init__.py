"""Schema revisions of the database, applied when a workspace is opened."""

from __future__ import annotations

__all__ = ["HEAD"]

HEAD = "0002"
"""Schema revision that this version of tracecore uses; a test compares it with the newest file in `versions/`."""
