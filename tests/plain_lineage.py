"""The plain reference model of what others' OpenLineage events mean: obvious, quadratic, and independent of the record's code.

Rules that the prose leaves open, and how they are read here:

- A run begins at its earliest event, which is its START unless its clock is wrong; every input is read then.
- What a run does to a dataset itself is not seen by its own reading.
- An output stands from its run's deciding terminal event on; a run without one is open, and its output stands from the first event naming it.
- One maker of a version label is the maker at whatever time; of several, the nearest before the reading counts, and where none is before it,
  the earliest.
- `lifecycleStateChange` OVERWRITE and CREATE replace what a dataset held, DROP and TRUNCATE empty it and make nothing, RENAME hands the old
  name's content to the new one and makes nothing, ALTER alters no content; an output without a change appends.
- A reading by version follows that version's makers alone; a reading without one follows every write since the last replacement.
- Aliases join names for all time; a renamed name is another dataset from the rename on.
- `columnLineage` adds a reading without version of each dataset that its run lists under no input.
- Static events (of a job, of a dataset) are no runs and are not modelled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

Name = tuple[str, str]  # namespace, name
TERMINAL = frozenset({"COMPLETE", "FAIL", "ABORT"})
EMPTYING = frozenset({"DROP", "TRUNCATE"})
REPLACING = frozenset({"OVERWRITE", "CREATE"})


@dataclass(frozen=True)
class Port:
    """One dataset that an event lists."""

    name: Name
    version: str | None = None
    change: str | None = None
    previous: Name | None = None
    aliases: tuple[Name, ...] = ()
    columns: tuple[Name, ...] = ()


@dataclass(frozen=True)
class Event:
    """One run event; `time` counts seconds, `ours` says that the recorder made it."""

    run: str
    job: str
    time: int
    type: str
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    ours: bool = False
    digest: str = ""


@dataclass(frozen=True, order=True)
class Made:
    """One version as one run made it: `at` orders it among the dataset's writes."""

    at: tuple[int, str]
    run: str
    name: Name
    version: str | None


@dataclass(frozen=True)
class Read:
    """One reading of one run: what it resolves to, and whether anything is missing."""

    run: str
    name: Name
    version: str | None
    role: str
    makers: frozenset[Made]
    gap: bool


@dataclass
class Answer:
    """What a walk reached."""

    made: set[Made] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    unmade: set[tuple[Name, str]] = field(default_factory=set)
    complete: bool = True


class World:
    """A whole history, resolved."""

    def __init__(self, events: Iterable[Event], ours: str) -> None:
        """Take every event, in any order; names of the namespace `ours` are the workspace's own."""
        self.ours = ours
        self.events = sorted(set(events), key=lambda event: (event.time, event.digest))
        self.runs: dict[str, list[Event]] = {}
        for event in self.events:
            self.runs.setdefault(event.run, []).append(event)
        self.alias = self._aliases()
        self.writes = [write for run in self.runs for write in self._writes(run)]
        self.reads = [read for run in self.runs for read in self._reads(run)]
        self.claims = {
            (self.canonical(port.name), port.version, event.run)
            for event in self.events
            for port in event.outputs
            if not event.ours and self.canonical(port.name)[0] == ours
        }

    def _aliases(self) -> dict[Name, Name]:
        """Map each name to its alias class's first name; ours come first, and two of ours are never joined."""
        classes: list[set[Name]] = []
        for event in self.events:
            for port in (*event.inputs, *event.outputs):
                joined = {port.name, *port.aliases}
                if event.ours or len([name for name in joined if name[0] == self.ours]) > 1:
                    continue
                touching = [one for one in classes if one & joined and not self._two_of_ours(one | joined)]
                classes = [one for one in classes if one not in touching] + [joined.union(*touching)]
        return {name: min(one, key=lambda name: (name[0] != self.ours, name)) for one in classes for name in one}

    def _two_of_ours(self, names: set[Name]) -> bool:
        return len({name for name in names if name[0] == self.ours}) > 1

    def canonical(self, name: Name) -> Name:
        """The name that stands for an alias class."""
        return self.alias.get(name, name)

    def start(self, run: str) -> int:
        """When the run began, also where its clock says that it ended before."""
        return self.runs[run][0].time

    def end(self, run: str) -> Event | None:
        """The terminal event that decides: the smallest."""
        return next((event for event in self.runs[run] if event.type in TERMINAL), None)

    def clock(self, run: str) -> bool:
        """Whether the run started after it ended."""
        end = self.end(run)
        return end is not None and any(event.type == "START" and event.time > end.time for event in self.runs[run])

    def _stranger(self, event: Event, port: Port) -> bool:
        """Whether the event speaks of another's dataset as its maker."""
        return (self.canonical(port.name)[0] == self.ours) != event.ours

    def _writes(self, run: str) -> list[Made]:
        outputs: dict[tuple[Name, str | None], Event] = {}
        for event in self.runs[run]:
            for port in event.outputs:
                if not self._stranger(event, port) and port.change not in EMPTYING | {"RENAME", "ALTER"}:
                    outputs.setdefault((self.canonical(port.name), port.version), self.end(run) or event)
        return [Made((event.time, event.digest), run, name, version) for (name, version), event in outputs.items()]

    def _changes(self, name: Name, reader: str = "") -> list[tuple[tuple[int, str], str, Name | None]]:
        """What emptied, replaced, renamed or moved away a dataset, in order."""
        found = []
        for event in self.events:
            for port in event.outputs:
                if self._stranger(event, port) or port.change is None or event.run == reader:
                    continue
                stands = self.end(event.run) or event
                at = (stands.time, stands.digest)
                if self.canonical(port.name) == name:
                    found.append((at, port.change, port.previous))
                elif port.change == "RENAME" and port.previous and self.canonical(port.previous) == name:
                    found.append((at, "DROP", None))
        return sorted(found, key=lambda change: change[0])

    def held(self, name: Name, before: tuple[int, str], reader: str = "") -> frozenset[Made]:
        """Every write whose rows a dataset holds at a time."""
        changes = [change for change in self._changes(name, reader) if change[0] < before]
        since: tuple[int, str] = (-1, "")
        carried: frozenset[Made] = frozenset()
        for at, change, previous in changes:
            if change in EMPTYING | REPLACING | {"RENAME"}:
                since = at
                carried = self.held(self.canonical(previous), at, reader) if change == "RENAME" and previous else frozenset()
        return carried | {write for write in self.writes if write.name == name and since <= write.at < before}

    def makers(self, name: Name, version: str) -> list[Made]:
        """Every maker of a version label, through renames where the name itself has none."""
        own = [write for write in self.writes if write.name == name and write.version == version]
        if own:
            return sorted(own)
        earlier = [previous for _, change, previous in self._changes(name) if change == "RENAME" and previous]
        return sorted(write for previous in earlier for write in self.makers(self.canonical(previous), version))

    def _reads(self, run: str) -> list[Read]:
        start = (self.start(run), "")
        listed: dict[tuple[Name, str | None], str] = {}
        for event in self.runs[run]:
            for port in event.inputs:
                listed.setdefault((self.canonical(port.name), port.version), "input")
        names = {name for name, _ in listed}
        for event in self.runs[run]:
            for port in event.outputs:
                for column in map(self.canonical, port.columns):
                    if column not in names and not self._stranger(event, port):
                        listed[(column, None)] = "column"
        found = []
        for (name, version), role in listed.items():
            if version is None:
                makers = {write for write in self.held(name, start, run) if write.run != run}
                found.append(Read(run, name, version, role, frozenset(makers), gap=True))
                continue
            every = self.makers(name, version)
            others = [write for write in every if write.run != run]
            before = [write for write in others if write.at < start]
            chosen = (before[-1:] or others[:1]) if len(every) > 1 else others
            found.append(Read(run, name, version, role, frozenset(chosen), gap=not chosen))
        return found

    def trace(self, name: Name, version: str) -> Answer:
        """Everything that went into a version."""
        answer = Answer()
        waiting = self.makers(self.canonical(name), version)
        answer.complete = bool(waiting)
        while waiting:
            made = waiting.pop()
            if made in answer.made:
                continue
            answer.made.add(made)
            answer.runs.add(made.run)
            for read in (one for one in self.reads if one.run == made.run):
                answer.complete &= not read.gap
                waiting.extend(read.makers)
                if not read.makers and read.version:
                    answer.unmade.add((read.name, read.version))
        return answer

    def impact(self, name: Name, version: str) -> Answer:
        """Everything that a version went into: the trace's inverse."""
        name = self.canonical(name)
        answer = Answer()
        waiting = self.makers(name, version)
        readers = [read.run for read in self.reads if not read.makers and (read.name, read.version) == (name, version)]
        seen: set[Made] = set()
        while waiting or readers:
            if waiting:
                made = waiting.pop()
                if made not in seen:
                    seen.add(made)
                    readers.extend(read.run for read in self.reads if made in read.makers)
                continue
            run = readers.pop()
            answer.runs.add(run)
            outputs = [write for write in self.writes if write.run == run]
            answer.made.update(outputs)
            waiting.extend(outputs)
        return answer
