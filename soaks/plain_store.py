"""The store read by rules of its own: hashlib, JSON and the formats of docs/formats/digests.md, without a line of the product."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pyarrow.parquet as pq

__all__ = ["half_visible", "missing"]

_LOG = "_delta_log"
_Stamp = tuple[Path, int, int, int]
_digests: dict[_Stamp, str] = {}
_commits: dict[str, list[dict[str, Any]]] = {}


def missing(store: Path, expected: Mapping[str, Any]) -> str | None:
    """Return what is missing of what should be there; None where all of it is, with its digest.

    Args:
        store: its folder.
        expected: `media`, `digest`, `location`, and of a table `delta` with `version` and `log` (the last link of its chain).
    """
    place = store / expected["location"]
    try:
        found = {"file": _file, "directory": _directory, "delta": _table}[expected["media"]](place, expected)
    except (OSError, ValueError, KeyError) as error:
        return f"{expected['location']} can't be read: {error!r}"
    return None if found == expected["digest"] else f"{expected['location']} has {found}, expected {expected['digest']}"


def half_visible(store: Path) -> Iterator[str]:
    """Name everything that can be seen in the store and is not whole, whichever process asked for it."""
    for blob in sorted(store.glob("blobs/*/*")):
        if _sha256(blob) != blob.name:
            yield f"the blob {blob.name[:12]} has other bytes than its name says"
    for tree in sorted(each for each in store.glob("trees/*/*") if each.is_dir()):
        beside = tree.with_name(f"{tree.name}.manifest.json")
        if not beside.is_file() or _sha256(beside) != tree.name:
            yield f"the tree {tree.name[:12]} stands without its manifest"
        elif _directory(tree, {}) != f"sha256:{tree.name}":
            yield f"the tree {tree.name[:12]} has other files than its manifest says"
    for log in sorted(store.glob(f"tables/*/*/{_LOG}")):
        yield from _half_visible_versions(log)


def _half_visible_versions(log: Path) -> Iterator[str]:
    for number, commit in enumerate(sorted(log.glob("*.json"))):
        if commit.name != f"{number:020d}.json":
            yield f"the table {log.parent.name} has no commit {number}"
        for added in _adds(commit):
            data = log.parent / unquote(added["path"])
            if not data.is_file() or data.stat().st_size != added["size"]:
                yield f"version {number} of the table {log.parent.name} names {added['path']}, which is not there whole"


def _sha256(path: Path) -> str:
    """Hash a file; one that is the very same as when it was hashed (inode, size, time of change) need not be read again."""
    found = path.stat()
    stamp = (path, found.st_ino, found.st_size, found.st_ctime_ns)
    if stamp not in _digests:
        _digests[stamp] = hashlib.sha256(path.read_bytes()).hexdigest()
    return _digests[stamp]


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _digest(value: Any) -> str:
    return f"sha256:{hashlib.sha256(_canonical(value)).hexdigest()}"


def _file(place: Path, _: Mapping[str, Any]) -> str:
    return f"sha256:{_sha256(place)}"


def _directory(place: Path, _: Mapping[str, Any]) -> str:
    files = [path for path in place.rglob("*") if path.is_file()]
    listed = [{"path": path.relative_to(place).as_posix(), "size": path.stat().st_size, "sha256": _sha256(path)} for path in files]
    return _digest({"v": 1, "type": "tracecore.directory", "files": sorted(listed, key=lambda each: str(each["path"]))})


def _adds(commit: Path) -> list[dict[str, Any]]:
    return [action["add"] for action in _actions(commit) if "add" in action]


def _actions(commit: Path) -> list[dict[str, Any]]:
    digest = _sha256(commit)
    if digest not in _commits:
        _commits[digest] = [json.loads(line) for line in commit.read_text(encoding="utf-8").splitlines() if line]
    return _commits[digest]


def _table(place: Path, expected: Mapping[str, Any]) -> str:
    """Recompute the digest of one version from its log and its files."""
    last, schema, protocol = {}, {}, {}
    files: dict[str, Any] = {}
    link = None
    for number in range(expected["delta"]["version"] + 1):
        commit = place / _LOG / f"{number:020d}.json"
        link = _digest({"previous": link, "version": number, "commit_sha256": _sha256(commit)})
        for action in sorted(_actions(commit), key=lambda each: "add" in each):
            protocol = action.get("protocol", protocol)
            last = action.get("metaData", last)
            if "remove" in action:
                files.pop(unquote(action["remove"]["path"]), None)
            if "add" in action:
                files[unquote(action["add"]["path"])] = action["add"]
    if link != expected["delta"]["log"]:
        raise ValueError(f"the log up to version {expected['delta']['version']} is another than was recorded")
    schema = json.loads(last["schemaString"])
    listed = []
    for path, added in files.items():
        data = place / path
        rows = pq.read_metadata(data).num_rows
        facts = {"sha256": _sha256(data), "size": data.stat().st_size, "rows": rows, "partition": added["partitionValues"], "deletion_vector": None}
        listed.append(facts)
    listed.sort(key=lambda each: (each["sha256"], _canonical(each["partition"])))
    head = {"v": 1, "type": "tracecore.delta", "schema": schema, "partition_columns": last["partitionColumns"], "protocol": protocol}
    return _digest({**head, "configuration": last.get("configuration") or {}, "files": listed})
