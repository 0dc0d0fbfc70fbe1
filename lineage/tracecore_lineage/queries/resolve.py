"""Which runs a reading of a version resolves to: the one relation that `trace` follows backward and `impact` forward.

Each rule is a small function that is looked up when it is called. Nothing depends on the order in which events arrived: what happened is ordered by
(eventTime, event digest).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from tracecore_lineage.queries.inference import UNVERSIONED, dataset_of, is_unversioned
from tracecore_lineage.queries.prefix import chunks
from tracecore_lineage.queries.reader import Link, Reader, RunFacts
from tracecore_lineage.tables import FACETS
from tracecore_schemas.refs import external_ref, parse_ref

__all__ = ["Relation", "Resolved"]

_REPLACING = frozenset({"OVERWRITE", "CREATE"})
_EMPTYING = frozenset({"DROP", "TRUNCATE"})
_UNWRITTEN = frozenset({"RENAME", "ALTER"})


Instant = tuple[str, str]
"""(eventTime, event digest)."""


@dataclass(frozen=True, slots=True)
class Rename:
    """One RENAME: from its instant on `new` holds what `old` held, and `old` nothing."""

    at: Instant
    new: str
    old: str


@dataclass(frozen=True, slots=True)
class Resolved:
    """What one reading resolves to.

    Attributes:
        reading: an input edge of a run.
        makers: output edges of the runs that made what was read; empty where none is recorded.
        inferred: whether the makers are the likely ones, since the reading names no version.
        times_made: number of runs that made a version of this label, where the label was no digest.
        ended_by: `DROP` or `TRUNCATE` where that is the last thing that happened to the dataset before the reading.
    """

    reading: Link
    makers: tuple[Link, ...]
    inferred: bool = False
    times_made: int = 1
    ended_by: str | None = None

    @property
    def gap(self) -> str | None:
        """Why the version that was read is not known; None where it is."""
        if not self.inferred:
            return None
        read = f"run/{self.reading.run} read it without saying which version"
        if self.ended_by is not None:
            did = "dropped" if self.ended_by == "DROP" else "truncated"
            return f"{read}, and it was {did} before: no output of that dataset is recorded since."
        if not self.makers:
            return f"{read}, and no earlier output of that dataset is recorded."
        if len(self.makers) == 1:
            return f"{read}; the newest earlier output is shown, by run/{self.makers[0].run}."
        return f"{read}; the {len(self.makers)} outputs since it was last replaced are shown."


class Relation:
    """Resolves readings within one prefix.

    Args:
        reader: of the asked prefix.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self._same: dict[str, frozenset[str]] | None = None
        self._near: dict[str, frozenset[str]] = {}
        self._renames: list[Rename] = []
        self._changes: dict[tuple[str, str], str] = {}
        self._written: dict[str, list[Link]] = {}

    def of_readings(self, readings: Iterable[Link]) -> list[Resolved]:
        """Resolve each reading to the output edges of the runs that made what it read."""
        listed = list(readings)
        self._load(link.ref for link in listed if _is_external(link.ref))
        ours = {link.ref for link in listed if not _is_external(link.ref)}
        made: dict[str, list[Link]] = {}
        for link in self.reader.outputs_like(ours):
            made.setdefault(link.ref, []).append(link)
        self.reader.runs({link.run for link in listed})
        return [self._external(link) if _is_external(link.ref) else Resolved(link, our_maker(link, made.get(link.ref, []))) for link in listed]

    def makers_of(self, ref: str) -> list[Link]:
        """Return every output edge that a version asked about by itself is known to have come from."""
        if not _is_external(ref):
            return self.reader.outputs_like([ref])[:1]
        self._load([ref])
        if is_unversioned(ref):
            return []
        return one_a_run(self._labelled(ref), self.reader)

    def readers_of(self, made: Iterable[tuple[str, str | None]]) -> list[Resolved]:
        """Return the readings that resolve to one of these (ref, making run); without a run, also every reading of the ref as it stands."""
        wanted = set(made)
        self._load(ref for ref, _ in wanted if _is_external(ref))
        names = {ref for ref, _ in wanted}
        for ref, _ in wanted:
            if _is_external(ref):
                version = ref.partition("@")[2]
                for dataset in self.near(dataset_of(ref)):
                    names |= {f"{dataset}@{version}", f"{dataset}@{UNVERSIONED}"}
        links = self.reader.inputs_like(names)
        checks = self.reader.check_runs({link.run for link in links})
        return [
            each
            for each in self.of_readings(link for link in links if link.run not in checks)
            if (each.reading.ref, None) in wanted or any((made.ref, made.run) in wanted or (made.ref, None) in wanted for made in each.makers)
        ]

    def written(self, outputs: Iterable[Link]) -> list[Link]:
        """Leave out the outputs that only changed the state of a dataset."""
        listed = list(outputs)
        changes = state_changes(self.reader, (link.ref for link in listed if _is_external(link.ref)))
        return [link for link in listed if makes_bytes(changes.get((link.ref, link.event_id), ""))]

    def same(self, dataset: str) -> frozenset[str]:
        """Return every name of a dataset of other producers, itself among them."""
        self._names()
        return (self._same or {}).get(dataset, frozenset({dataset}))

    def near(self, dataset: str) -> frozenset[str]:
        """Return every name from or to which a dataset's contents may have come by renaming, itself among them."""
        self._names()
        return self._near.get(dataset, frozenset({dataset}))

    def _names(self) -> None:
        if self._same is None:
            aliases = alias_pairs(self.reader)
            self._renames = renames(self.reader)
            self._same = joined(aliases)
            self._near = joined([*aliases, *((each.new, each.old) for each in self._renames)])

    def _load(self, refs: Iterable[str]) -> None:
        wanted = {name for ref in refs for name in self.near(dataset_of(ref))} - self._written.keys()
        if not wanted:
            return
        for name in wanted:
            self._written[name] = []
        for link in self.reader.outputs_of("external", {parse_ref(name).name for name in wanted}):
            if dataset_of(link.ref) in wanted:
                self._written[dataset_of(link.ref)].append(link)
        subjects = {link.ref for name in wanted for link in self._written[name]}
        self._changes.update(state_changes(self.reader, subjects))

    def _history(self, dataset: str) -> list[Link]:
        return sorted((link for name in self.same(dataset) for link in self._written.get(name, ())), key=lambda link: link.order)

    def _change(self, link: Link) -> str:
        return self._changes.get((link.ref, link.event_id), "")

    def _labelled(self, ref: str) -> list[Link]:
        """Find the outputs that carry the version label of a ref, under any name of its dataset; where none does, under the names it had before."""
        dataset, _, version = ref.partition("@")
        waiting, seen = [dataset], set[str]()
        while waiting:
            written = [link for name in waiting for link in self._history(name) if link.ref.partition("@")[2] == version]
            made = [link for link in written if makes_bytes(self._change(link))]
            if made:
                return made
            seen.update(name for one in waiting for name in self.same(one))
            waiting = [each.old for each in self._renames if each.new in seen and each.old not in seen]
        return []

    def _external(self, reading: Link) -> Resolved:
        run = self.reader.runs([reading.run])[reading.run]
        if is_unversioned(reading.ref):
            makers, ended = self._held(dataset_of(reading.ref), read_at(reading, run))
            return Resolved(reading, tuple(link for link in makers if link.run != reading.run), inferred=True, ended_by=ended)
        every = one_a_run(self._labelled(reading.ref), self.reader)
        others = [link for link in every if link.run != reading.run]
        if reading.producer_run is not None:
            named = [link for link in others if link.run == reading.producer_run]
            return Resolved(reading, tuple(named[:1]))
        return Resolved(reading, nearest_before(read_at(reading, run), others, self.reader), times_made=len(every))

    def _held(self, dataset: str, before: Instant) -> tuple[list[Link], str | None]:
        """Return the outputs that a dataset held before an instant, and `DROP` or `TRUNCATE` where that emptied it last."""
        names = self.same(dataset)
        events: list[tuple[Instant, Link | Rename]] = [(made_at(link, self.reader), link) for link in self._history(dataset)]
        events += [(each.at, each) for each in self._renames if each.new in names or each.old in names]
        makers: dict[str, Link] = {}
        ended: str | None = None
        for at, event in sorted((pair for pair in events if pair[0] < before), key=lambda pair: pair[0]):
            if isinstance(event, Rename):
                held = self._held(event.old, at) if event.new in names and event.old not in names else ([], None)
                makers, ended = {link.run: link for link in held[0]}, held[1]
                continue
            change = self._change(event)
            if change in _EMPTYING:
                makers, ended = {}, change
            elif makes_bytes(change):
                if change in _REPLACING:
                    makers = {}
                makers[event.run], ended = event, None
        return list(makers.values()), ended


def makes_bytes(change: str) -> bool:
    """Whether an output with this lifecycleStateChange wrote anything: a run that drops, empties, renames or alters a dataset is no producer."""
    return change not in _EMPTYING and change not in _UNWRITTEN


def our_maker(reading: Link, made: list[Link]) -> tuple[Link, ...]:
    """Return the run that a reading of ours names, the earliest producer of the same bytes where it names none."""
    return tuple([link for link in made if reading.producer_run in {None, link.run}][:1])


def nearest_before(at: Instant, made: list[Link], reader: Reader) -> tuple[Link, ...]:
    """Return the maker of a version label nearest before an instant; the first one after it where there is none."""
    earlier = [link for link in made if made_at(link, reader) < at]
    return (earlier[-1],) if earlier else tuple(made[:1])


def read_at(reading: Link, run: RunFacts) -> Instant:
    """Return the instant of a reading: its run's START."""
    return min((run.started_at, ""), (reading.event_time, reading.event_id))


def made_at(link: Link, reader: Reader) -> Instant:
    """Return the instant at which an output stood: its run's end; of an open run, the first event that names it."""
    run = reader.runs([link.run])[link.run]
    return (link.event_time, link.event_id) if run.ended_at is None or run.terminal is None else (run.ended_at, run.terminal)


def one_a_run(links: list[Link], reader: Reader) -> list[Link]:
    """Keep one output edge of each run, what its terminal event says before what others say, in the order of making."""
    kept: dict[str, Link] = {}
    runs = reader.runs({link.run for link in links})
    for link in sorted(links, key=lambda link: (link.event_id != runs[link.run].terminal, link.order)):
        kept.setdefault(link.run, link)
    return sorted(kept.values(), key=lambda link: made_at(link, reader))


def alias_pairs(reader: Reader) -> list[tuple[str, str]]:
    """Return the pairs of names that others' `symlinks` join."""
    return [
        (dataset_of(row.subject), other)
        for row in _stated(reader, "symlinks")
        for identifier in _listed(_object(row.value).get("identifiers"))
        if (other := _identified(identifier)) is not None
    ]


def renames(reader: Reader) -> list[Rename]:
    """Return what others renamed, with the instant of the event that says so."""
    found: list[Rename] = []
    for row in _stated(reader, "lifecycleStateChange"):
        value = _object(row.value)
        old = _identified(value.get("previousIdentifier"))
        if value.get("lifecycleStateChange") == "RENAME" and old is not None:
            found.append(Rename((row.event_time, row.event_id), dataset_of(row.subject), old))
    return found


def joined(pairs: Iterable[tuple[str, str]]) -> dict[str, frozenset[str]]:
    """Return, by name, all names that are joined to it by any number of steps."""
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


def state_changes(reader: Reader, subjects: Iterable[str]) -> dict[tuple[str, str], str]:
    """Return what `lifecycleStateChange` each event states of each output."""
    found: dict[tuple[str, str], str] = {}
    for chunk in chunks(sorted(set(subjects))):
        query = select(FACETS).where(FACETS.c.name == "lifecycleStateChange", FACETS.c.subject.in_(chunk), FACETS.c.seq < reader.prefix.bound)
        for row in reader.connection.execute(query):
            change = _object(row.value).get("lifecycleStateChange")
            if isinstance(change, str):
                found[row.subject, row.event_id] = change
    return found


def _stated(reader: Reader, facet: str) -> list[Row[Any]]:
    query = select(FACETS).where(FACETS.c.name == facet, FACETS.c.subject.startswith("external/"), FACETS.c.seq < reader.prefix.bound)
    return list(reader.connection.execute(query).all())


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_external(ref: str) -> bool:
    return ref.startswith("external/")


def _identified(identifier: Any) -> str | None:
    if not isinstance(identifier, dict):
        return None
    namespace, name = identifier.get("namespace"), identifier.get("name")
    if not (isinstance(namespace, str) and isinstance(name, str) and namespace and name):
        return None
    return dataset_of(external_ref(namespace, name, UNVERSIONED))


def _object(text: str) -> Mapping[str, Any]:
    value = json.loads(text)
    return value if isinstance(value, dict) else {}
