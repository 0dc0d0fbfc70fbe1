"""Outside files of a rebuild, copied from the store under their original names; original paths are never touched.

Repeatable: a file with the right digest is kept, others are replaced atomically.
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
from tracecore_assets.rebuild.answer import MissingInput
from tracecore_assets.rebuild.recorded_build import RecordedBuild, RecordedInput, RecordedRun
from tracecore_schemas.canonical import digest_file
from tracecore_schemas.run import Artifact

__all__ = ["KeptFile", "PlannedInputs", "lay_out", "plan_inputs"]


@dataclass(frozen=True, slots=True)
class KeptFile:
    """An outside file of an asset, with its bytes in the store; `port` is the file port that reads it."""

    port: str
    name: str
    artifact: Artifact


@dataclass(frozen=True, slots=True)
class PlannedInputs:
    """The outside files of a rebuild: available ones by asset, missing ones, and assets without a file that their run read (`lacking`)."""

    kept: Mapping[str, tuple[KeptFile, ...]]
    missing: tuple[MissingInput, ...]
    lacking: frozenset[str]


def plan_inputs(sealed: RecordedBuild, stages: Mapping[str, RegisteredStage], store: Store) -> PlannedInputs:
    """Return which source files of a build's assets (drives, labels) are available in the store, and which are missing."""
    kept: dict[str, tuple[KeptFile, ...]] = {}
    missing: list[MissingInput] = []
    lacking: set[str] = set()
    for asset, run in sealed.runs.items():
        ports = stages[asset].stage_class.file_ports()
        if not ports:
            continue
        found: list[KeptFile] = []
        for read in _outside_inputs(run):
            missed = _why_missing(asset, read, sealed, store)
            if missed is None:
                port = next((name for name, each in ports.items() if each.note == read.note), next(iter(ports)))
                found.append(KeptFile(port, str(read.file), sealed.stored[read.ref]))
            else:
                missing.append(missed)
                lacking.add(asset)
        missing += [
            MissingInput("quarantined", name, asset, f"{name} was damaged and left out; its bytes were not kept.") for name in run.quarantined
        ]
        named, unsure = _with_names(asset, run, ports, found)
        missing += unsure
        kept[asset] = tuple(named)
    return PlannedInputs(kept, tuple(missing), frozenset(lacking))


def _outside_inputs(run: RecordedRun) -> Iterator[RecordedInput]:
    """Yield the source files, from outside the workspace, that a run read: all inputs with a file name, except its program."""
    yield from (read for read in run.inputs if read.file is not None and read.role != "program")


def _why_missing(asset: str, read: RecordedInput, sealed: RecordedBuild, store: Store) -> MissingInput | None:
    """Return a source file as a missing input, with the reason; None if its bytes are in the store and undamaged."""
    artifact = sealed.stored.get(read.ref)
    if read.ref in sealed.erased:
        return MissingInput("erased", read.ref, asset, f"{read.file}: {sealed.erased[read.ref]}")
    if artifact is None:
        return MissingInput("input", read.ref, asset, f"{read.file} was only looked at: its digest is recorded, its bytes are not kept.")
    if not store.exists(artifact):
        return MissingInput("input", read.ref, asset, f"{read.file} is missing from the store ({artifact.location}).")
    if store.verify(artifact):
        return MissingInput("damaged", read.ref, asset, f"{read.file} is damaged in the store: its bytes are not what was recorded.")
    return None


def _with_names(asset: str, run: RecordedRun, ports: Mapping[str, Files], found: Sequence[KeptFile]) -> tuple[list[KeptFile], list[MissingInput]]:
    """Return the files under the names by which `run` found them, and a missing input for each name whose file is not certain.

    The store keeps a file under the name that it had when first stored; the run's parameters list the names at the time of the run.
    """
    named = list(found)
    missing: list[MissingInput] = []
    for port, declared in ports.items():
        listed = [str(name) for name in run.params.get(declared.param) or ()]
        absent = set(run.quarantined) | {str(each.file) for each in _outside_inputs(run)} - {each.name for each in found}
        unmatched = _remove_names(listed, [*(each.name for each in named if each.port == port), *absent])
        known = set(listed)
        renamed = [place for place, each in enumerate(named) if each.port == port and each.name not in known]
        for place, name in zip(renamed, unmatched, strict=False):
            if len(renamed) > 1:
                why = f"{name} is one of {len(renamed)} files whose bytes are kept under other names: which of them is not recorded."
                missing.append(MissingInput("name", name, asset, why))
            named[place] = replace(named[place], name=name)
        same = "had the very bytes of another file of the run, which was kept once; of which is not recorded"
        missing += [MissingInput("name", name, asset, f"{name} {same}.") for name in unmatched[len(renamed) :]]
    return named, missing


def _remove_names(names: Iterable[str], taken: Iterable[str]) -> list[str]:
    """Return the names in order without those in `taken`; a name is removed as often as it occurs in `taken`."""
    left = Counter(taken)
    kept: list[str] = []
    for name in names:
        if left[name]:
            left[name] -= 1
        else:
            kept.append(name)
    return kept


def lay_out(files: Sequence[KeptFile], ports: Mapping[str, Files], folder: Path, store: Store) -> dict[str, list[str]]:
    """Copy an asset's source files from the store into `folder`, and delete all other files in `folder`.

    Returns the paths for the stage's file parameters, by file port (declared file input). The stage finds each file there under its original name.
    """
    paths: dict[str, list[str]] = {}
    wanted: set[Path] = set()
    for port, declared in ports.items():
        named: dict[str, None] = {}
        mine = sorted((each for each in files if each.port == port), key=lambda each: (each.name, each.artifact.digest))
        for file in mine:
            parts = PurePosixPath(file.name)
            if parts.is_absolute() or ".." in parts.parts:
                continue  # the record may come from elsewhere: nothing is written outside the scratch folder
            # Files of one name lie in different folders.
            root = folder / port / str([each.artifact.digest for each in mine if each.name == file.name].index(file.artifact.digest))
            target = root.joinpath(*parts.parts)
            _copy_file(store, file, target)
            wanted.add(target)
            # The name of a file found in a folder begins with the folder's name; that of a file named directly is the file's own.
            named[str(root / parts.parts[0]) if declared.nested else str(target)] = None
        paths[port] = list(named)
    # Files that an earlier attempt left are deleted, since stages read whole folders.
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path not in wanted:
            path.unlink()
    return paths


def _copy_file(store: Store, file: KeptFile, target: Path) -> None:
    if target.is_file() and digest_file(target) == file.artifact.digest:
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    source = store.open(file.artifact)
    assert isinstance(source, Path)  # outside files are stored as files
    # Copied, not linked: a stage that writes to its input must not reach the original store.
    partial = target.with_name(f".{target.name}.partial")
    shutil.copyfile(source, partial)
    partial.replace(target)
