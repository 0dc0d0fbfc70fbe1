"""Resolution of readings (input edges) to the runs that made what was read; `trace` follows it backward, `impact` forward."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tracecore_lineage.trace.external import Dataset, Datasets, Instant, Write
from tracecore_lineage.trace.facts import UNVERSIONED, Link, RunFacts, dataset_of, is_external, is_unversioned, label_of
from tracecore_lineage.trace.reader import Reader
from tracecore_schemas.canonical import is_digest
from tracecore_schemas.kinds import RunState

__all__ = ["Reached", "Relation", "Resolved", "lost"]

_COLUMN = "column"
"""Role of an input that is named only by `columnLineage`."""


@dataclass(frozen=True, slots=True, eq=False)
class Resolved:
    """Result of resolving one reading.

    Attributes:
        makers: output edges of the runs that made what was read; empty if none is recorded.
        others: output edges of other runs, except the reader, that made a version of the same name.
        rewritten: whether the reader itself made a version of that name.
        missing: what is unknown about this reading; empty if nothing is.
        why: reason for `missing`.
        added: output edges of earlier runs, since the last overwrite, to whose data the read version was appended.
    """

    reading: Link
    makers: tuple[Link, ...]
    others: tuple[Link, ...] = ()
    rewritten: bool = False
    missing: str = ""
    why: str = ""
    added: tuple[Link, ...] = ()

    @property
    def inferred(self) -> bool:
        """Whether the makers of this input are only likely, because the run that read it named no version."""
        return is_unversioned(self.reading.ref)

    @property
    def made_by(self) -> str | None:
        """Id of the run that made the version that was read, if several runs made versions with the same label; else None."""
        ambiguous = not self.inferred and self.makers and (self.others or self.rewritten)
        return self.makers[0].run if ambiguous else None

    @property
    def unmade(self) -> bool:
        """Whether the input edge names a version that no recorded run made, and `missing` states no reason for that."""
        return not (self.inferred or self.makers or self.others or self.rewritten or self.missing)

    @property
    def unknown(self) -> tuple[str, str]:
        """(what is not known about this input edge, why); two empty texts if nothing is unknown."""
        if self.unmade:
            return "version", f"run/{self.reading.run} read {self.reading.ref}, and no recorded run says that it made that version."
        return self.missing, self.why

    @property
    def times_made(self) -> int:
        """Number of runs that made the version that was read; 1 if a digest identifies the version, or if the reader named none."""
        is_label = is_external(self.reading.ref) and not self.inferred and not any(not is_external(link.ref) for link in self.makers)
        return len(self.makers) + len(self.others) if is_label else 1


@dataclass(frozen=True, slots=True)
class Reached:
    """A reading found when following version `at` forward, through some of the makers of what was read.

    `certain` is whether the reading read that version; otherwise it only may have.
    """

    resolved: Resolved
    through: tuple[Link, ...]
    at: str
    certain: bool = True


class Relation:
    """Resolves readings within one prefix, and caches those of the names it has seen."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.datasets = Datasets(reader)
        self._by_maker: dict[tuple[str, str | None], list[Resolved]] = {}
        """Resolved readings by version and the run that made it."""
        self._by_ref: dict[str, list[Resolved]] = {}
        """By ref: readings without a version, or of a version without a maker."""
        self._unmade_of: dict[str, set[str]] = {}
        self._doubtful: dict[str, list[Resolved]] = {}
        """By external ref: readings that may still be reported as uncertain; unversioned ones are reported once."""

    def of_readings(self, readings: Iterable[Link]) -> list[Resolved]:
        """Return, for each input edge, the output edges of the runs that made the version it read.

        Input edges without a version that only repeat another input of the same run are left out.
        """
        listed = list(readings)
        self.datasets.load(link.ref for link in listed if is_external(link.ref))
        made: dict[str, list[Link]] = {}
        for link in self.reader.outputs_like({link.ref for link in listed if not is_external(link.ref)}):
            made.setdefault(link.ref, []).append(link)
        self.reader.runs({link.run for link in listed} | {link.producer_run for link in listed if link.producer_run})
        others_read = self._other_readings([link for link in listed if is_unversioned(link.ref)])
        return [
            self._external(link) if is_external(link.ref) else self._ours(link, made.get(link.ref, []))
            for link in listed
            if not (is_unversioned(link.ref) and repeats_other_input(link, self.datasets.of(link.ref), others_read[link.run]))
        ]

    def makers_of(self, ref: str) -> list[Link]:
        """Return one output edge for each run that made a version; empty for an external ref without a version."""
        if not is_external(ref):
            return one_a_run(self.reader.ours_first(self.reader.outputs_like([ref])))
        self.datasets.load([ref])
        return [] if is_unversioned(ref) else [write.link for write in self.datasets.labelled(ref)]

    def added_to(self, ref: str) -> list[Link]:
        """Return the output edges of the earlier writes to whose data the version `ref` was appended."""
        if not is_external(ref) or is_unversioned(ref):
            return []
        return [each.link for write in self.datasets.labelled(ref) for each in self.datasets.added_to(write)]

    def adding_to(self, made: Iterable[tuple[str, str | None]]) -> list[tuple[Link, Link]]:
        """Return (output edge of a write, output edge of a later append to it) for external versions given as (ref, maker, or None for all)."""
        wanted = [(ref, run) for ref, run in made if is_external(ref) and not is_unversioned(ref)]
        self.datasets.load(ref for ref, _ in wanted)
        writes = [write for ref, run in wanted for write in self.datasets.labelled(ref) if run in {None, write.link.run}]
        return [(write.link, later.link) for write in writes for later in self.datasets.adding_to(write)]

    def readers_of(self, made: Iterable[tuple[str, str | None]]) -> list[Reached]:
        """Return, by time, the input edges that read, or may have read, versions given as (ref, run that made it, or None for all runs)."""
        wanted = list(made)
        self.datasets.load(ref for ref, _ in wanted)
        reached = {(self.datasets.canonical(ref), run): ref for ref, run in reversed(wanted)}
        reached |= {(self.datasets.canonical(link.ref), link.run): ref for ref, run in wanted if run is None for link in self.makers_of(ref)}
        names = {ref for ref, _ in wanted} | {later.ref for _, later in self.adding_to(wanted)}
        for ref in set(names):
            for dataset in self.datasets.near(ref):
                names |= {f"{dataset}@{label_of(ref)}", f"{dataset}@{UNVERSIONED}"} | self._unmade(dataset)
        self._read(names)
        through: dict[Resolved, list[Link]] = {}
        for key in reached:
            for each in self._by_maker.get(key, ()):
                through.setdefault(each, []).extend(link for link in (*each.makers, *each.added) if self._key(link) == key)
        found = [Reached(each, tuple(links), reached[self._key(links[0])]) for each, links in through.items()]
        for (ref, run), shown in reached.items():
            found += [Reached(each, each.makers, shown) for each in self._by_ref.get(ref, ()) if run is None and each not in through]
        doubt, followed = _Uncertain(self.datasets, reached), {each.resolved for each in found}
        for name in names:
            left = [each for each in self._doubtful[name] if each not in followed]
            uncertain = [Reached(each, (), at, certain=False) for each in left if (at := doubt.about(each)) is not None]
            found += uncertain
            named = {each.resolved for each in uncertain if each.resolved.inferred}
            self._doubtful[name] = [each for each in left if each not in named]
        return sorted(found, key=lambda each: each.resolved.reading.order)

    def _unmade(self, name: str) -> set[str]:
        """Return the refs under which dataset `name` was read with a version label that no run made but that may mean its content."""
        if name not in self._unmade_of:
            dataset = self.datasets.of(name)
            read = self.reader.read_of(name) if any(map(may_be_unmade, self.datasets.lineage(dataset))) else set[str]()
            self._unmade_of[name] = {ref for ref in read if label_of(ref) not in dataset.by_label}
        return self._unmade_of[name]

    def _read(self, names: Iterable[str]) -> None:
        """Resolve and index the input edges of refs not seen before; those of check runs are left out, since checks make nothing."""
        new = [name for name in names if name not in self._doubtful]
        links = self.reader.inputs_like(new)
        checks = self.reader.check_runs({link.run for link in links})
        self._doubtful.update((name, []) for name in new)
        for each in self.of_readings(link for link in links if link.run not in checks):
            for link in (*each.makers, *each.added):
                self._by_maker.setdefault(self._key(link), []).append(each)
            if each.inferred or not each.makers:
                self._by_ref.setdefault(self.datasets.canonical(each.reading.ref), []).append(each)
            if is_external(each.reading.ref):
                self._doubtful[each.reading.ref].append(each)

    def written(self, outputs: Iterable[Link]) -> list[Link]:
        """Return the output edges except those to external datasets that wrote no data: state changes, and claims about artifacts."""
        listed = list(outputs)
        self.datasets.load(link.ref for link in listed if is_external(link.ref))
        return [
            link
            for link in listed
            if not is_external(link.ref)
            or any(write.link.run == link.run for write in self.datasets.of(link.ref).by_label.get(label_of(link.ref), ()))
        ]

    def _key(self, link: Link) -> tuple[str, str]:
        """Return (the ref that is the same for all aliases of the version, run id) for an output edge."""
        return self.datasets.canonical(link.ref), link.run

    def _other_readings(self, unversioned: Sequence[Link]) -> dict[str, _OtherReadings]:
        """Return {run id: names of its versioned inputs, and names of its inputs not from column lineage} for the runs of these edges."""
        links = [link for link in self.reader.links_of({link.run for link in unversioned}) if link.direction == "input"]
        if any(self.datasets.of(link.ref).ours for link in unversioned):  # a reading under another name may be of the same artifact
            self.datasets.load(link.ref for link in links if is_external(link.ref))
        found = {link.run: _OtherReadings(set(), set()) for link in unversioned}
        for link in links:
            names = {dataset_of(link.ref), *self.datasets.artifacts_of(link.ref)}
            found[link.run].versioned.update(() if is_unversioned(link.ref) else names)
            found[link.run].listed.update(() if link.role == _COLUMN else names)
        return found

    def _ours(self, reading: Link, made: Sequence[Link]) -> Resolved:
        """Resolve an input edge of an artifact to the runs that made it, chosen from `made`, the artifact's output edges."""
        makers = our_makers(reading, self.reader.ours_first(made) if reading.producer_run is None else made)
        if makers or reading.producer_run is None:
            return Resolved(reading, makers)
        return Resolved(reading, (), missing="producing run", why=lost(self.reader, reading.producer_run))

    def _external(self, reading: Link) -> Resolved:
        """Resolve an input edge of another producer's dataset to the runs that made it, by version label or, without one, by time."""
        dataset, at = self.datasets.of(reading.ref), read_at(self.reader.runs([reading.run])[reading.run])
        if is_unversioned(reading.ref):
            held, ended = self.datasets.content(dataset, at)
            makers = tuple(write.link for write in held if write.link.run != reading.run)
            return Resolved(reading, makers, missing="version", why=_unversioned(reading, makers, ended))
        every = self.datasets.labelled(reading.ref)
        if dataset.ours and every:
            return self._ours(reading, [write.link for write in every])
        others = [write for write in every if write.link.run != reading.run]
        rewritten = len(others) < len(every)
        if reading.producer_run is not None:
            chosen = [write for write in others if write.link.run == reading.producer_run][:1]
            why = "" if chosen else lost(self.reader, reading.producer_run)
        else:
            chosen = nearest_before(at, others)
            why = "" if chosen or not every else _made_too_late(reading, others)
        left = tuple(write.link for write in others if write not in chosen)
        added = tuple(each.link for write in chosen for each in self.datasets.added_to(write) if each.link.run != reading.run)
        return Resolved(reading, tuple(write.link for write in chosen), left, rewritten, "producing run" if why else "", why, added)


@dataclass(frozen=True, slots=True)
class _OtherReadings:
    """Names of datasets that a run read with a version (`versioned`), and of those that it lists as inputs (`listed`)."""

    versioned: set[str]
    listed: set[str]


class _Uncertain:
    """Finds readings that may be of a reached version although they resolve to another one.

    `reached` is, by (canonical ref, making run or None), the ref to report; the datasets of all these refs must be loaded.
    """

    def __init__(self, datasets: Datasets, reached: dict[tuple[str, str | None], str]) -> None:
        self.datasets = datasets
        self.reached = reached
        self._in: dict[Dataset, list[tuple[Write | None, str]]] = {}
        for (ref, run), shown in reached.items():
            for name in [ref] if is_external(ref) else datasets.near(ref):
                dataset = datasets.of(name)
                written = [write for write in dataset.by_label.get(label_of(ref), ()) if write.link.run == run]
                if written or (run is None and is_external(ref) and not datasets.labelled(ref)):
                    self._in.setdefault(dataset, []).append((written[0] if written else None, shown))

    def about(self, resolved: Resolved) -> str | None:
        """Return the followed ref (of a forward walk) that an input may have read, though this is not certain; None if there is none."""
        reading = resolved.reading
        if not resolved.inferred:
            keys = ((self.datasets.canonical(link.ref), link.run) for link in resolved.others)
            if not resolved.unmade:
                return next((self.reached[key] for key in keys if key in self.reached), None)
        at = read_at(self.datasets.reader.runs([reading.run])[reading.run])
        read = self.datasets.of(reading.ref)
        for dataset, until in self.datasets.lineage(read, at).items():
            for write, shown in self._in.get(dataset, ()):
                if resolved.unmade and not (write is not None and may_be(label_of(reading.ref), read, write)):
                    continue
                if write is None or (write.at < until and write.link.run != reading.run):
                    return shown
        return None


def may_be_unmade(dataset: Dataset) -> bool:
    """Whether a version label that no recorded run made may still mean content of this external dataset (see `may_be`)."""
    return bool(dataset.ours or dataset.relabelled) or any(label.startswith("run:") for label in dataset.by_label)


def may_be(label: str, dataset: Dataset, write: Write) -> bool:
    """Whether a version label that no run made may mean the version that `write` made, in this dataset or one that it was renamed from.

    It may if the write has no version, if a run that only renamed or altered the dataset used the label, or if the dataset denotes an artifact and
    the label is not a digest (another producer's own numbering).
    """
    return write.label.startswith("run:") or label in dataset.relabelled or (bool(dataset.ours) and not is_digest(label))


def our_makers(reading: Link, made: Sequence[Link]) -> tuple[Link, ...]:
    """Return one output edge for each run that made an artifact, or only for the producing run if the input edge `reading` names one."""
    return tuple(one_a_run([link for link in made if reading.producer_run in {None, link.run}]))


def one_a_run(made: Sequence[Link]) -> list[Link]:
    """Return, for each run, the first of its output edges in `made`."""
    return list({link.run: link for link in reversed(made)}.values())[::-1]


def nearest_before(at: Instant, made: Sequence[Write]) -> list[Write]:
    """Return the last write before an instant, as a list of at most one; a single write is returned whatever its time."""
    earlier = [write for write in made if write.at < at]
    return earlier[-1:] if len(made) > 1 else list(made)


def read_at(run: RunFacts) -> Instant:
    """Return the instant at which a run read its inputs, which is taken as the time of its first event."""
    return run.times[0][0], ""


def repeats_other_input(reading: Link, dataset: Dataset, others_read: _OtherReadings) -> bool:
    """Whether an input edge without a version repeats a versioned input of its run or, if column lineage states it, an input that the run lists."""
    names = dataset.names | dataset.ours
    return not names.isdisjoint(others_read.versioned) or (reading.role == _COLUMN and not names.isdisjoint(others_read.listed))


def _unversioned(reading: Link, makers: Sequence[Link], ended: str) -> str:
    """Return a sentence on the version that an edge without a version may mean. `ended`: the `DROP` or `TRUNCATE` that emptied it, or empty."""
    read = f"run/{reading.run} read it without saying which version"
    if ended:
        return f"{read}, and it was {'dropped' if ended == 'DROP' else 'truncated'} before: no output of that dataset is recorded since."
    if not makers:
        return f"{read}, and no earlier output of that dataset is recorded."
    if len(makers) == 1:
        return f"{read}; the newest earlier output is shown, by run/{makers[0].run}."
    return f"{read}; the {len(makers)} outputs since it was last replaced are shown."


def _made_too_late(reading: Link, others: Sequence[Write]) -> str:
    """Return a sentence that no run had made a version when it was read: only the reading run made it, or the runs of `others` ended later."""
    if not others:
        return f"run/{reading.run} read it and made it itself; no run is recorded that made it before."
    return f"run/{reading.run} read it before any of the {len(others)} runs that made it had ended."


def lost(reader: Reader, run: str) -> str:
    """Return a sentence on why the run that an input edge names as producer of its version can't be shown as its maker."""
    taken = f"Its reader took it from run/{run}, which"
    known = reader.runs([run]).get(run)
    if known is None:
        return f"{taken} this part of the record does not know."
    if known.state is not RunState.COMPLETE:
        return f"{taken} is {known.state.value} and says nothing of having made it."
    return f"{taken} says nothing of having made it."
