"""Worlds that export and import bundles, and bundles taken apart and put together again by a hand that wants to deceive."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from fresh_record import fresh_record
from stored_world import StoredWorld, kept

from tracecore.workspace import Workspace
from tracecore_lineage.bundle.container import Container, ContainerWriter, Entry
from tracecore_lineage.bundle.manifest import MANIFEST, SIGNATURES, read_manifest, sign
from tracecore_lineage.crypto.keys import PrivateKey
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.run import RunInput


def world(folder: Path, slug: str = "vendor") -> StoredWorld:
    """A stored world in a workspace of a name of its own."""
    return StoredWorld(fresh_record(Workspace.create(folder, slug=slug)))


def sealed(folder: Path, slug: str = "vendor") -> StoredWorld:
    """A world with a sealed build `demo`, checks, and things that happened around it."""
    found = world(folder, slug)
    found.all()
    found.seal()
    found.check("drives", "after", success=False)
    return found


def without_later(trace: Any) -> str:
    """A trace as text, without what came later."""
    return json.dumps({**trace, "later": []})


def retrained(found: StoredWorld) -> None:
    """Train once more on the same data."""
    model = kept("model", "demo.model", found.folder(**{"model.safetensors": b"others" * 100, "config.json": b"{}"}))
    found.run("model", StageKind.TRAIN, [("frames", "drives"), ("labels", "labels")], {"model": model})


def build_upon(found: StoredWorld, name: str = "own") -> None:
    """Seal a build of this world that depends on the model of the build `demo`, which was imported."""
    trace = found.record.trace("build/demo")
    node = next(node for node in trace["nodes"] if node["kind"] == "model")
    model = found.record.artifact(node["ref"])
    engine = kept("engine", "demo.engine", found.file(b"other native code"))
    found.run("engine", StageKind.COMPILE, [], {"engine": engine}, more_inputs=[RunInput("model", model, node["run"])])
    found.seal(name)


def entries(path: Path) -> dict[str, bytes]:
    """Every entry of a bundle."""
    container = Container(path)
    try:
        return {name: b"".join(container.pieces(name)) for name in container.names}
    finally:
        container.close()


def packed(path: Path, found: Mapping[str, bytes]) -> Path:
    """Write entries into a container in its one form."""
    with path.open("wb+") as stream:
        writer = ContainerWriter(stream)
        for name, data in found.items():
            writer.add(name, [data])
        writer.close()
    return path


def forged(source: Path, target: Path, change: Callable[[dict[str, bytes]], None], key: PrivateKey | None = None, **manifest: Any) -> Path:
    """Change entries of a bundle and make its manifest fit again; signed by a key where one is given, else with the old signature."""
    found = entries(source)
    change(found)
    said = replace(read_manifest(found[MANIFEST], "m"), **manifest)
    content = {name: data for name, data in found.items() if name not in {MANIFEST, SIGNATURES}}
    said = replace(said, entries=tuple(Entry(name, len(data), sha256(data).hexdigest()) for name, data in content.items()))
    signatures = found[SIGNATURES] if key is None else sign(said.data, key)
    return packed(target, {**content, MANIFEST: said.data, SIGNATURES: signatures})
