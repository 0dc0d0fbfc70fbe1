"""What a power cut would leave of a folder: each file with its writes and fsyncs, each folder with the entries that came and its fsyncs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from system_calls import Call

__all__ = ["Disk"]

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')
_DESCRIPTOR = re.compile(r"^\d+<([^>]*)>")
_WRITES = frozenset({"write", "writev", "pwrite64", "pwritev", "pwritev2", "ftruncate", "fallocate", "copy_file_range", "sendfile", "ioctl"})
_SYNCS = frozenset({"fsync", "fdatasync"})
_RENAMES = frozenset({"rename", "renameat", "renameat2"})
_REMOVES = frozenset({"unlink", "unlinkat", "rmdir"})


@dataclass
class _Node:
    """A file or folder: when it was last written (a folder: got its entries) and last forced to disk, as numbers of calls."""

    written: int = 0
    synced: int = 0
    lost: bool = False
    """An fsync of it failed: the kernel may have dropped what was written, and a later fsync that succeeds says nothing of that."""
    entries: dict[str, tuple[_Node, int]] = field(default_factory=dict)
    """What a folder holds, each with the number of the call by which it came."""


class Disk:
    """What the calls of one or several processes leave in one folder and below."""

    def __init__(self, root: Path) -> None:
        self._base = PurePosixPath(root).parent
        self._top = _Node()
        self._now = 0

    def apply(self, call: Call) -> None:
        """Follow one call that succeeded."""
        self._now += 1
        if call.failed:
            self._failed(call)
            return
        paths = [path for text in _QUOTED.findall(call.text) if (path := self._inside(text)) is not None]
        described = _DESCRIPTOR.match(call.text)
        of = self._inside(described[1]) if described else None
        if call.name in _SYNCS and of is not None:
            self._node(of).synced = self._now
        elif call.name in _WRITES and of is not None:
            self._node(of).written = self._now
            self._node(of).lost = False
        elif call.name == "openat" and paths and "O_CREAT" in call.text:
            opened = self._enter(paths[0])
            if "O_TRUNC" in call.text:
                opened.written = self._now
        elif call.name in {"mkdir", "mkdirat"} and paths:
            self._enter(paths[0])
        elif call.name in _RENAMES and len(paths) == 2:
            self._put(paths[1], self._take(paths[0]))
        elif call.name in {"link", "linkat"} and len(paths) == 2:
            self._put(paths[1], self._node(paths[0]))
        elif call.name in _REMOVES and paths:
            self._take(paths[0])

    def _failed(self, call: Call) -> None:
        described = _DESCRIPTOR.match(call.text)
        of = self._inside(described[1]) if described else None
        if call.name in _SYNCS and of is not None and not call.cut_off:  # which a kill cuts off has reported no error
            node = self._node(of)
            node.lost = node.written > node.synced

    def unsafe(self, path: PurePosixPath) -> Iterator[str]:
        """Return what a power cut could take of a file or folder: its content, its entry, or one of a folder above it."""
        node = self._node(path)
        if node.written > node.synced or node.lost:
            yield f"{path.relative_to(self._base)} has writes that were not forced to disk"
        while path != self._base:
            folder = self._node(path.parent)
            entry = folder.entries.get(path.name)
            if entry is not None and entry[1] > folder.synced:
                yield f"the entry of {path.relative_to(self._base)} in its folder was not forced to disk"
            path = path.parent

    def files(self, path: PurePosixPath) -> Iterator[PurePosixPath]:
        """Yield a path and all that the calls put below it."""
        yield path
        for name in self._node(path).entries:
            yield from self.files(path / name)

    def written(self, path: PurePosixPath) -> bool:
        """Return whether the calls wrote to the file of this name."""
        return path.name in self._node(path.parent).entries and self._node(path).written > 0

    def _inside(self, text: str) -> PurePosixPath | None:
        path = PurePosixPath(text)
        return path if path.is_relative_to(self._base) else None

    def _node(self, path: PurePosixPath) -> _Node:
        """Find a node; one that was there before the first call is taken for safe."""
        node = self._top
        for name in path.relative_to(self._base).parts:
            node = node.entries.setdefault(name, (_Node(), 0))[0]
        return node

    def _enter(self, path: PurePosixPath) -> _Node:
        folder = self._node(path.parent)
        if path.name not in folder.entries:
            folder.entries[path.name] = (_Node(), self._now)
        return folder.entries[path.name][0]

    def _put(self, path: PurePosixPath, node: _Node) -> None:
        self._node(path.parent).entries[path.name] = (node, self._now)

    def _take(self, path: PurePosixPath) -> _Node:
        return self._node(path.parent).entries.pop(path.name, (_Node(), 0))[0]
