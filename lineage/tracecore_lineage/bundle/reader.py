"""Reader of bundles: the manifest, the entries it names, and traces without a workspace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tracecore.files import fsync_file
from tracecore.store.place import leads_out
from tracecore.system.failures import clear_disk_errors
from tracecore_lineage.bundle.container import Container, NotABundle
from tracecore_lineage.bundle.manifest import EVENTS, MANIFEST, SIGNATURES, STORE, TREE, Manifest, read_manifest, read_signatures
from tracecore_lineage.catalog.replay import snapshot
from tracecore_lineage.crypto.envelope import Opened
from tracecore_lineage.events.parse import BadEvent
from tracecore_lineage.ledger import ledger, pruned_tree
from tracecore_lineage.model.findings import NONSENSE, Progress, describe
from tracecore_lineage.trace.lineage import trace
from tracecore_schemas.canonical import jcs
from tracecore_schemas.strict_json import StrictJSONError, loads_strict
from tracecore_schemas.trace import Trace

__all__ = ["Bundle", "Differs", "open_bundle", "trace_bundle"]

_MOST_MANIFEST = 1 << 28
_MOST_TREE = 1 << 30
_MOST_EVENTS = 1 << 33
_NAME = 240  # maximum bytes of a path component on common file systems

Differs = Callable[[str, str, str], None]
"""Callback for an entry whose bytes differ from the manifest: entry name, expected digest, found digest."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """An open bundle with its parsed manifest and signatures, both unverified."""

    container: Container
    manifest: Manifest
    signatures: Opened

    def parts(self, differs: Differs) -> tuple[pruned_tree.Part, ...]:
        """Return the bundle's pruned ledger: leaves and roots of omitted subtrees. Calls `differs` if it was changed; NotABundle if unreadable."""
        data = self._whole(TREE, _MOST_TREE, differs)
        try:
            return _read_tree(data)
        except (StrictJSONError, pruned_tree.TreeError, UnicodeDecodeError) as error:
            raise self.container.bad(f"its {TREE} can't be read: {error}") from None

    def leaves(self, parts: Sequence[pruned_tree.Part], differs: Differs) -> list[ledger.Leaf]:
        """Return the bundle's events in ledger order, each with its position in the ledger, recorded time, id and bytes.

        Raises NotABundle if their total size differs from that in `parts` (the pruned ledger). Calls `differs` if the bytes were changed.
        """
        kept = list(pruned_tree.kept(parts))
        if sum(part.size for _, part in kept) != self.container.size(EVENTS):
            raise self.container.bad(f"its {EVENTS} are not as many bytes as its {TREE} says")
        data = memoryview(self._whole(EVENTS, _MOST_EVENTS, differs))
        found: list[ledger.Leaf] = []
        for place, part in kept:
            found.append(ledger.Leaf(place, part.event_id, part.recorded_at, "", bytes(data[: part.size])))
            data = data[part.size :]
        return found

    def unpack(self, folder: Path, differs: Differs, progress: Progress | None = None) -> None:
        """Write the files of the bundle's artifacts below the new folder `folder`, each with fsync; `differs` is called for each changed file.

        Raises NotABundle if two file names conflict (`a`, `a/b`), UsageError if the disk is full.
        """
        files = [entry for entry in self.manifest.entries if entry.name.startswith(STORE)]
        total, done = sum(entry.size for entry in files), 0
        for entry in files:
            target = folder / entry.name.removeprefix(STORE)
            with clear_disk_errors(folder):
                try:
                    target.parent.mkdir(parents=True, exist_ok=True)
                    with target.open("xb") as file:
                        for piece in self.container.pieces(entry.name, entry.sha256, differs):
                            file.write(piece)
                            done += len(piece)
                            if progress is not None:
                                progress(done, total, entry.name)
                    fsync_file(target)
                except (FileExistsError, NotADirectoryError, IsADirectoryError):
                    raise self.container.bad(f"its entry '{entry.name}' excludes another one") from None

    def _whole(self, name: str, most: int, differs: Differs) -> bytes:
        entry = next(entry for entry in self.manifest.entries if entry.name == name)
        return self.container.whole(name, most, entry.sha256, differs)


def _read_tree(data: bytes) -> tuple[pruned_tree.Part, ...]:
    lines = data.split(b"\n")
    if lines.pop() != b"":
        raise pruned_tree.TreeError("expected a newline at its end")
    values = [loads_strict(line) for line in lines]
    if any(jcs(value) != line for value, line in zip(values, lines, strict=True)):
        raise pruned_tree.TreeError("expected canonical JSON in each line")
    return pruned_tree.read_parts(values)


@contextmanager
def open_bundle(path: Path) -> Iterator[Bundle]:
    """Open a bundle file and yield it for a `with` block. Raises NotABundle if it can't be read or its entries are not those of its manifest."""
    with closing(Container(path)) as container:
        data = container.whole(MANIFEST, _MOST_MANIFEST)
        manifest = read_manifest(data, str(path))
        signatures = read_signatures(data, container.whole(SIGNATURES, _MOST_MANIFEST), str(path))
        bundle = Bundle(container, manifest, signatures)
        _check_entries(bundle)
        yield bundle


def _check_entries(bundle: Bundle) -> None:
    """Raise NotABundle unless names, order and sizes of the entries match the manifest, and every stored file's path is below `store/`."""
    named = bundle.manifest.entries
    expected = [*(entry.name for entry in named), MANIFEST, SIGNATURES]
    if bundle.container.names != expected:
        there, wanted = dict.fromkeys(bundle.container.names), dict.fromkeys(expected)
        odd = next((name for name in there if name not in wanted), None) or next((name for name in wanted if name not in there), "their order")
        raise bundle.container.bad(f"its entries are not those that its manifest names ({odd})")
    if expected[:2] != [TREE, EVENTS] or [entry.name for entry in named[2:]] != sorted(entry.name for entry in named[2:]):
        raise bundle.container.bad("its entries are not in the one order that they can have")
    for entry in named:
        if bundle.container.size(entry.name) != entry.size:
            raise bundle.container.bad(f"'{entry.name}' has {bundle.container.size(entry.name):,} bytes, expected {entry.size:,}")
        inside = entry.name.removeprefix(STORE)
        plain = entry.name.startswith(STORE) and all(map(_is_plain, inside.split("/"))) and not leads_out(inside)
        if entry.name not in {TREE, EVENTS} and not plain:
            raise bundle.container.bad(f"its entry {entry.name!r} is not a plain path below {STORE}")


def _is_plain(part: str) -> bool:
    return part not in {"", ".", ".."} and len(part.encode()) <= _NAME and part.isprintable() and "\\" not in part


def trace_bundle(path: Path | str, ref: str | None = None, *, depth: int | None = None) -> Trace:
    """Return the backward trace of a bundle's build, or of `ref` in it; only its member `later` (facet changes since) differs from the workspace's.

    Raises:
        NotABundle: the file can't be read as a bundle, or is damaged.
        UsageError: the ref is not in the bundle.
    """

    def refuse(name: str, expected: str, found: str) -> None:
        raise NotABundle(f"{path} is damaged: the bytes of its '{name}' are {found}, expected {expected}. 'tracecore verify {path}' says more.")

    with open_bundle(Path(path)) as bundle:
        leaves = bundle.leaves(bundle.parts(refuse), refuse)
        try:
            with snapshot(leaves, bundle.manifest.ledger_name, bundle.manifest.size) as made:
                return trace(made, ref or bundle.manifest.build, depth=depth)
        except BadEvent as error:
            raise bundle.container.bad(f"an event in it can't be read ({error})") from None
        except NONSENSE as error:
            raise bundle.container.bad(f"its events are not what tracecore records ({describe(error)})") from None
