"""What a worker meant to hand in and what was acknowledged to it: kept outside the queue, to hold the queue to its word."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Journal"]


class Journal:
    """An append-only file of one worker; a SIGKILL leaves at most half a line at its end, which is cut off.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        whole = path.read_bytes().rfind(b"\n") + 1
        os.ftruncate(self._file, whole)
        os.lseek(self._file, whole, os.SEEK_SET)

    def intend(self, id_: str, what: Mapping[str, Any]) -> None:
        """Note that something is about to be handed in."""
        self._write({"intend": id_, **what})

    def acknowledged(self, id_: str, what: Mapping[str, Any]) -> None:
        """Note that it was taken, or refused."""
        self._write({"acknowledged": id_, **what})

    def _write(self, line: Mapping[str, Any]) -> None:
        # One write: a line is there or it is not; the kernel keeps it though this process dies.
        os.write(self._file, json.dumps(line).encode() + b"\n")

    @staticmethod
    def lines(path: Path) -> list[dict[str, Any]]:
        """Read every whole line of a journal."""
        return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []

    @classmethod
    def unanswered(cls, path: Path) -> list[dict[str, Any]]:
        """Return what was meant to be handed in and never answered: the worker was killed between."""
        waiting: dict[str, dict[str, Any]] = {}
        for line in cls.lines(path):
            if "intend" in line:
                waiting[line["intend"]] = line
            else:
                waiting.pop(line["acknowledged"], None)
        return list(waiting.values())
