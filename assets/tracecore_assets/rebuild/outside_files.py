"""The outside files of a build, laid out again under their original names from the bytes in the store; no path of the original disk is touched.

The layout can be made again at any time: a file that is there with the right digest is kept, anything else is written anew, whole or not at all.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from tracecore.plugins.host import RegisteredStage
from tracecore.stage import Files
from tracecore.store import Store
from tracecore_assets.rebuild.answer import Lack
from tracecore_assets.rebuild.recorded_build import Reading, RecordedBuild, RecordedRun
from tracecore_schemas.canonical import digest_file
from tracecore_schemas.run import Artifact

__all__ = ["KeptFile", "PlannedInputs", "lay_out", "plan_inputs"]


@dataclass(frozen=True, slots=True)
class KeptFile:
    """One outside file of an asset: what it was called, and where the store keeps its bytes."""

    port: str
    name: str
    digest: str
    artifact: Artifact


@dataclass(frozen=True, slots=True)
class PlannedInputs:
    """What outside files a rebuild can and can't have.

    Attributes:
        kept: by asset.
        lacks: what is not kept.
        lacking: assets that lack a file that their run really read.
    """

    kept: Mapping[str, tuple[KeptFile, ...]]
    lacks: tuple[Lack, ...]
    lacking: frozenset[str]


def plan_inputs(sealed: RecordedBuild, stages: Mapping[str, RegisteredStage], store: Store) -> PlannedInputs:
    """Find the files that each asset read, in the store, and name those that are not kept."""
    kept: dict[str, tuple[KeptFile, ...]] = {}
    lacks: list[Lack] = []
    lacking: set[str] = set()
    for asset, run in sealed.runs.items():
        ports = stages[asset].stage_class.file_ports()
        if not ports:
            continue
        found: list[KeptFile] = []
        for reading in _outside(run):
            lack = _lack(asset, reading, sealed, store)
            if lack is None:
                found.append(_kept(reading, sealed.stored[reading.ref], ports))
            else:
                lacks.append(lack)
                lacking.add(asset)
        lacks += [Lack("quarantined", name, asset, f"{name} was damaged and left out; its bytes were not kept.") for name, _ in run.quarantined]
        named, unsure = _as_called(asset, run, ports, found)
        lacks += unsure
        kept[asset] = tuple(named)
    return PlannedInputs(kept, tuple(lacks), frozenset(lacking))


def _outside(run: RecordedRun) -> Iterator[Reading]:
    """Yield what a run read from outside: everything with the name of a file, but for its program."""
    yield from (reading for reading in run.readings if reading.file is not None and reading.role != "program")


def _lack(asset: str, reading: Reading, sealed: RecordedBuild, store: Store) -> Lack | None:
    artifact = sealed.stored.get(reading.ref)
    if reading.ref in sealed.erased:
        return Lack("erased", reading.ref, asset, f"{reading.file}: {sealed.erased[reading.ref]}")
    if artifact is None:
        return Lack("input", reading.ref, asset, f"{reading.file} was only looked at: its digest is recorded, its bytes are not kept.")
    if not store.exists(artifact):
        return Lack("input", reading.ref, asset, f"{reading.file} is missing from the store ({artifact.location}).")
    if store.verify(artifact):
        return Lack("damaged", reading.ref, asset, f"{reading.file} is damaged in the store: its bytes are not what was recorded.")
    return None


def _kept(reading: Reading, artifact: Artifact, ports: Mapping[str, Files]) -> KeptFile:
    port = next((name for name, each in ports.items() if each.note == reading.note), next(iter(ports)))
    return KeptFile(port, str(reading.file), artifact.digest, artifact)


def _as_called(asset: str, run: RecordedRun, ports: Mapping[str, Files], found: Sequence[KeptFile]) -> tuple[list[KeptFile], list[Lack]]:
    """Call files as this very run found them.

    One that an earlier run kept under another name has that name as its origin; the run's own list of names, which its parameters hold, tells.
    """
    named = list(found)
    lacks: list[Lack] = []
    for port, declared in ports.items():
        listed = [str(name) for name in run.params.get(declared.param) or ()]
        gone = {name for name, _ in run.quarantined} | {str(each.file) for each in _outside(run)} - {each.name for each in found}
        loose = _without(listed, [*(each.name for each in named if each.port == port), *gone])
        known = set(listed)
        strange = [place for place, each in enumerate(named) if each.port == port and each.name not in known]
        for place, name in zip(strange, loose, strict=False):
            if len(strange) > 1:
                why = f"{name} is one of {len(strange)} files whose bytes are kept under other names: which of them is not recorded."
                lacks.append(Lack("name", name, asset, why))
            named[place] = replace(named[place], name=name)
        same = "had the very bytes of another file of the run, which was kept once; of which is not recorded"
        lacks += [Lack("name", name, asset, f"{name} {same}.") for name in loose[len(strange) :]]
    return named, lacks


def _without(names: Iterable[str], taken: Iterable[str]) -> list[str]:
    left = Counter(taken)
    kept: list[str] = []
    for name in names:
        if left[name]:
            left[name] -= 1
        else:
            kept.append(name)
    return kept


def lay_out(files: Sequence[KeptFile], ports: Mapping[str, Files], folder: Path, store: Store) -> dict[str, list[str]]:
    """Put an asset's files in place.

    Args:
        files: of the asset.
        ports: its stage's file ports.
        folder: where to; the asset's own.
        store: keeps the bytes.

    Returns:
        By file port: the paths to give it, so that it calls each file what it was called.
    """
    paths: dict[str, list[str]] = {}
    wanted: set[Path] = set()
    for port, declared in ports.items():
        named: dict[str, None] = {}
        mine = sorted((each for each in files if each.port == port), key=lambda each: (each.name, each.digest))
        for file in mine:
            parts = PurePosixPath(file.name)
            if parts.is_absolute() or ".." in parts.parts:
                continue  # the record may come from elsewhere: nothing is written outside the scratch folder
            root = folder / port / _room(file, mine)
            target = root.joinpath(*parts.parts)
            _place(store, file, target)
            wanted.add(target)
            # A file that was found in a folder is called by that folder's name first; one named outright by its own name alone.
            named[str(root / parts.parts[0]) if declared.nested else str(target)] = None
        paths[port] = list(named)
    _clear(folder, wanted)
    return paths


def _room(file: KeptFile, files: Sequence[KeptFile]) -> str:
    """Keep files of one name apart."""
    return str([each.digest for each in files if each.name == file.name].index(file.digest))


def _place(store: Store, file: KeptFile, target: Path) -> None:
    if target.is_file() and digest_file(target) == file.digest:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source = store.open(file.artifact)
    assert isinstance(source, Path)  # what came from outside is kept as files
    # Copied, not linked: a stage that writes to its input must not reach the original store.
    partial = target.with_name(f".{target.name}.partial")
    shutil.copyfile(source, partial)
    partial.replace(target)


def _clear(folder: Path, wanted: set[Path]) -> None:
    """Remove what an earlier attempt left that this one does not want: a folder is searched whole."""
    for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
        if path.is_file() and path not in wanted:
            path.unlink()
