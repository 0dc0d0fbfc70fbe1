"""Datasets of other producers: their aliases, writes, and lifecycle changes (overwrite, truncate, drop, rename).

All order is by (eventTime, event digest), independent of the arrival of events.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tracecore_lineage.catalog.projection import STATED, WRITES
from tracecore_lineage.trace.facts import Link, Naming, RunFacts, dataset_of, is_external, label_of
from tracecore_lineage.trace.reader import Reader
from tracecore_schemas.refs import parse_ref

__all__ = ["Dataset", "Datasets", "Instant", "Write"]

_REPLACING = frozenset({"OVERWRITE", "CREATE"})
_EMPTYING = frozenset({"DROP", "TRUNCATE"})
_UNWRITTEN = frozenset({"RENAME", "ALTER"})

Instant = tuple[str, str]
"""(eventTime, event digest)."""
_EVER: Instant = ("~", "")
"""Sorts after every instant."""


@dataclass(frozen=True, slots=True)
class Write:
    """One version of a dataset written by one run; `at` is when the write took effect."""

    at: Instant
    label: str
    link: Link


@dataclass(frozen=True, slots=True, order=True)
class Change:
    """A change that ends a dataset's previous content.

    `what` is `DROP`, `TRUNCATE`, `OVERWRITE`, `CREATE`, `RENAME` (from dataset `old`), `MOVED` (to another name) or, for artifacts, possibly empty.
    """

    at: Instant
    what: str
    old: str = ""


@dataclass(slots=True, eq=False)
class Dataset:
    """One dataset under all its names.

    Attributes:
        names: names used by other producers.
        ours: artifacts of the workspace that those names denote; if any, writes and changes by other producers are only claims.
        writes: sorted by time, as are `changes`.
        by_label: writes by version label.
        relabelled: version labels used by runs that only renamed or altered the dataset.
        renamed: by id of each RENAME event, the instant it took effect.
    """

    names: frozenset[str]
    ours: frozenset[str] = frozenset()
    writes: list[Write] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    by_label: dict[str, list[Write]] = field(default_factory=dict)
    relabelled: set[str] = field(default_factory=set)
    renamed: dict[str, Instant] = field(default_factory=dict)


class Datasets:
    """Loads and caches datasets, together with the datasets they were renamed from or to, within one prefix."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._by_name: dict[str, Dataset] = {}
        self._near: dict[str, frozenset[str]] = {}

    def load(self, refs: Iterable[str]) -> None:
        """Load the datasets that these refs name, and all datasets connected to them by aliases or renames, unless loaded before."""
        listed = set(refs)
        missing = ({dataset_of(ref) for ref in listed} | {ref for ref in listed if not is_external(ref)}) - self._near.keys()
        if not missing:
            return
        rows: dict[tuple[str, int], Naming] = {}
        known, waiting = set[str](), missing
        while waiting:
            known |= waiting
            found = {(row.event_id, row.ordinal): row for row in self.reader.names(waiting)}
            rows |= found
            # Not joined through artifacts: two names of one artifact are not two names of one dataset.
            waiting = {name for row in found.values() for name in (row.name, row.other) if is_external(name)} - known
        named = [rows[key] for key in sorted(rows)]
        new = self._build({name for name in known if is_external(name)} - self._by_name.keys(), named)
        for row in renames(named):
            self._rename(row, new)
        for dataset in new:
            dataset.changes.sort()
        near = joined((row.name, row.other) for row in named if row.other)
        self._near.update((name, near.get(name, frozenset({name}))) for name in known)

    def of(self, ref: str) -> Dataset:
        """Return the loaded dataset that an external ref names. Raises KeyError if it is not loaded."""
        return self._by_name[dataset_of(ref)]

    def near(self, ref: str) -> list[str]:
        """Return, sorted, the external dataset names under which the version with ref `ref` may have been read, because of aliases and renames."""
        return sorted(name for name in self._near[dataset_of(ref)] | self._near.get(ref, frozenset()) if is_external(name))

    def artifacts_of(self, ref: str) -> frozenset[str]:
        """Return the refs of this workspace's artifacts that the dataset named by `ref` denotes; empty if none, or if it is not loaded."""
        known = self._by_name.get(dataset_of(ref))
        return known.ours if known is not None else frozenset()

    def canonical(self, ref: str) -> str:
        """Return one ref for a version that is the same for all aliases: the artifact that they denote, else the alphabetically first alias."""
        if not is_external(ref):
            return ref
        dataset, label = self.of(ref), label_of(ref)
        made = dataset.by_label.get(label)
        return made[0].link.ref if made and dataset.ours else f"{min(dataset.names)}@{label}"

    def content(self, dataset: Dataset, before: Instant) -> tuple[list[Write], str]:
        """Return (writes, emptied): the writes that made up the dataset's content just before an instant, followed through renames.

        `emptied` is `DROP` or `TRUNCATE` if such a change left the dataset without content, else empty text.
        """
        found: list[Write] = []
        while True:
            since = last_change(dataset, before)
            found = between(dataset.writes, since.at, before) + found
            if not since.old:
                return found, since.what if since.what in _EMPTYING and not found else ""
            dataset, before = self.of(since.old), since.at

    def added_to(self, write: Write) -> list[Write]:
        """Return the earlier writes of the same dataset, since its last overwrite, to which `write` appended.

        Empty if no overwrite is recorded, since an append can't then be distinguished from a replacement.
        """
        dataset, since = self._appending(write)
        return [each for each in between(dataset.writes, since.at, write.at) if _distinct(each, write)] if dataset is not None else []

    def adding_to(self, write: Write) -> list[Write]:
        """Return the later writes that appended to `write`, up to its dataset's next change; empty if no overwrite before `write` is recorded."""
        dataset, _ = self._appending(write)
        if dataset is None:
            return []
        place = bisect_right(dataset.changes, write.at, key=_at)
        until = dataset.changes[place].at if place < len(dataset.changes) else _EVER
        return [each for each in between(dataset.writes, write.at, until) if _distinct(each, write)]

    def _appending(self, write: Write) -> tuple[Dataset | None, Change]:
        """Return (dataset, its last change up to and including `write`); the dataset is None unless that change is an overwrite or creation."""
        if not is_external(write.link.ref):
            return None, Change(("", ""), "")
        dataset = self.of(write.link.ref)
        since = last_change(dataset, (write.at[0], f"{write.at[1]}~"))
        return (dataset if since.what in _REPLACING else None), since

    def lineage(self, dataset: Dataset, before: Instant = _EVER) -> dict[Dataset, Instant]:
        """Return {dataset: instant up to which its writes count} for `dataset` and each one renamed to it, in one or more steps, before `before`."""
        until = {dataset: before}
        waiting = [dataset]
        while waiting:
            current = waiting.pop()
            for change in current.changes:
                if change.old and change.at < until[current] and change.at > until.get(old := self.of(change.old), ("", "")):
                    until[old] = change.at
                    waiting.append(old)
        return until

    def labelled(self, ref: str) -> list[Write]:
        """Return the writes that made the version named by `ref`, sorted by time, one per run.

        Writes of datasets that this one was renamed from count; if a run wrote under several names, the write under the ref's own name is kept.
        """
        own, label = self.of(ref), label_of(ref)
        found = [
            (dataset is not own, write.at, write.link.ref, write)
            for dataset, until in self.lineage(own).items()
            for write in dataset.by_label.get(label, ())
            if write.at < until
        ]
        first: dict[str, Write] = {}
        for *_, write in sorted(found, key=lambda each: each[:3]):
            first.setdefault(write.link.run, write)
        return sorted(first.values(), key=_at)

    def _build(self, names: set[str], named: Sequence[Naming]) -> list[Dataset]:
        """Create and return the datasets of `names` (merged by the aliases in `named`) that are not loaded, with their writes and changes."""
        groups, ours = joined(aliases(named)), artifacts_by_name(named)
        made: list[Dataset] = []
        for name in sorted(names):
            if name not in self._by_name:
                group = groups.get(name, frozenset({name}))
                made.append(Dataset(group, frozenset().union(*(ours.get(each, ()) for each in group))))
                self._by_name.update(dict.fromkeys(group, made[-1]))
        called: dict[str, set[str]] = defaultdict(set)
        for ref in (parse_ref(name) for dataset in made for name in dataset.ours or dataset.names):
            called[ref.kind].add(ref.name)
        outputs: dict[str, list[Link]] = defaultdict(list)
        for kind, written in called.items():
            for link in self.reader.outputs_of(kind, written):
                outputs[dataset_of(link.ref)].append(link)
                if not is_external(link.ref):
                    outputs[link.ref].append(link)  # a store path denotes a single version
        runs = self.reader.runs({link.run for links in outputs.values() for link in links})
        emptied: dict[str, list[Link]] = defaultdict(list)
        for link in self.reader.links("name", called["external"], STATED, WRITES, kind="external"):
            emptied[dataset_of(link.ref)].append(link)
        for dataset in made:
            stated = [] if dataset.ours else [link for name in dataset.names for link in emptied.get(name, ()) if link.change in _EMPTYING]
            dataset.changes.extend(Change((link.event_time, link.event_id), link.change) for link in stated)
            links = [link for name in dataset.ours or dataset.names for link in outputs.get(name, ())]
            _fill(dataset, sorted(links, key=lambda link: link.order), runs)
        return made

    def _rename(self, row: Naming, new: Sequence[Dataset]) -> None:
        """Add the rename that a row records to the changes of its two datasets, unless either denotes an artifact of this workspace."""
        to, from_ = self.of(row.name), self._by_name.get(row.other)
        if from_ is None or to is from_ or to.ours or from_.ours or to not in new:
            return
        at = to.renamed.get(row.event_id, (row.event_time, row.event_id))
        to.changes.append(Change(at, "RENAME", row.other))
        from_.changes.append(Change(at, "MOVED"))


def makes_bytes(change: str) -> bool:
    """Whether an output with this `lifecycleStateChange` wrote data; False for dropping, truncating, renaming and altering."""
    return change not in _EMPTYING and change not in _UNWRITTEN


def replaces(change: str) -> bool:
    """Whether an output with this `lifecycleStateChange` replaces or removes its dataset's earlier content; False for empty text (an append)."""
    return change in _EMPTYING or change in _REPLACING


def stated_change(of_run: Sequence[Link]) -> str:
    """Return the last non-empty `lifecycleStateChange` among one run's output edges to a dataset; empty text if there is none."""
    return next((link.change for link in reversed(of_run) if link.change), "")


def made_at(first: Link, run: RunFacts) -> Instant:
    """Return when an output took effect, (time, event digest): the end of its run or, while the run is open, the event of the edge `first`."""
    return (first.event_time, first.event_id) if run.ended_at is None or run.terminal is None else (run.ended_at, run.terminal)


def versions(of_run: Sequence[Link]) -> dict[str, list[Link]]:
    """Return {version label: edges} for one run's output edges to a dataset; edges without a version are dropped if any edge has one."""
    found: dict[str, list[Link]] = {}
    for link in of_run:
        found.setdefault(label_of(link.ref), []).append(link)
    named = {label: links for label, links in found.items() if not label.startswith("run:")}
    return named or found


def last_change(dataset: Dataset, before: Instant) -> Change:
    """Return the last change of a dataset (such as an overwrite) before an instant; if none, an empty change that sorts before all others."""
    place = bisect_left(dataset.changes, before, key=_at)
    return dataset.changes[place - 1] if place else Change(("", ""), "")


def between(writes: list[Write], since: Instant, until: Instant) -> list[Write]:
    """Return the writes with `since` <= time < `until`; `writes` is sorted by time."""
    return writes[bisect_left(writes, since, key=_at) : bisect_left(writes, until, key=_at)]


def in_force(named: Iterable[Naming]) -> list[Naming]:
    """Return the rows that record an alias of a dataset (facet `symlinks`) and that no later deletion of that facet revokes."""
    listed = list(named)
    gone: dict[str, Instant] = {}
    for row in listed:
        if row.what == "GONE":
            gone[row.name] = max(gone.get(row.name, ("", "")), (row.event_time, row.event_id))
    return [row for row in listed if row.what == "ALIAS" and (row.event_time, row.event_id) >= gone.get(row.name, ("", ""))]


def aliases(named: Iterable[Naming]) -> list[tuple[str, str]]:
    """Return the pairs of external dataset names that `symlinks` facets, if not revoked, state to be one dataset."""
    return [(row.name, row.other) for row in in_force(named) if is_external(row.other)]


def artifacts_by_name(named: Iterable[Naming]) -> dict[str, set[str]]:
    """Return {external dataset name: refs of this workspace's artifacts that it denotes}, from `symlinks` facets that are not revoked."""
    found: dict[str, set[str]] = {}
    for row in in_force(named):
        if not is_external(row.other):
            found.setdefault(row.name, set()).add(row.other)
    return found


def renames(named: Iterable[Naming]) -> list[Naming]:
    """Return the rows that record the rename of a dataset."""
    return [row for row in named if row.what == "RENAME"]


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Return {name: set of all names connected to it by `pairs`, directly or indirectly, and itself} (connected components)."""
    groups: dict[str, set[str]] = {}
    for one, other in pairs:
        merged = groups.get(one, {one})
        further = groups.get(other, {other})
        if merged is further:
            continue
        if len(merged) < len(further):
            merged, further = further, merged
        merged |= further
        for name in (*further, one, other):
            groups[name] = merged
    return {name: frozenset(group) for name, group in groups.items()}


def _fill(dataset: Dataset, links: Sequence[Link], runs: Mapping[str, RunFacts]) -> None:
    """Add to a dataset the writes and changes (such as overwrites) that the output edges `links` state; sort its writes by time."""
    by_run: dict[str, list[Link]] = defaultdict(list)
    for link in links:
        by_run[link.run].append(link)
    for run, of_run in by_run.items():
        change, at = stated_change(of_run), made_at(of_run[0], runs[run])
        dataset.renamed.update((link.event_id, at) for link in of_run if link.change == "RENAME")
        if replaces(change) or dataset.ours:  # each version of an artifact is complete
            dataset.changes.append(Change(at, change))
        if change in _UNWRITTEN:
            dataset.relabelled.update(label for label in versions(of_run) if not label.startswith("run:"))
        if makes_bytes(change):
            for label, named in versions(of_run).items():
                link = next((each for each in named if each.event_id == runs[run].terminal), named[0])
                dataset.writes.append(Write(made_at(named[0], runs[run]), label, link))
    dataset.writes.sort(key=_at)
    for write in dataset.writes:
        dataset.by_label.setdefault(write.label, []).append(write)


def _distinct(one: Write, other: Write) -> bool:
    """Whether two writes are by different runs and have different version labels; making the same version again is not an append."""
    return one.label != other.label and one.link.run != other.link.run


def _at(one: Write | Change) -> Instant:
    return one.at
