"""The plain reference model of what OpenLineage events mean: obvious, quadratic, and independent of the record's code.

Rules that the prose leaves open, and how they are read here:

- A run begins at its earliest event, which is its START unless its clock is wrong; every input is read then.
- An output stands from its run's deciding terminal event on; a run without one is open, and its output stands from the first event naming it.
- One maker of a version label is the maker at whatever time. Of several the nearest before the reading counts; where all of them are later, none
  does, and that is a gap. What the reader makes itself is not what it read.
- Where one event of a run names a version of a dataset and another names none, the second says the same with less.
- What a run does to a dataset is what the last of its events to say anything says. OVERWRITE and CREATE replace what it held, DROP and TRUNCATE
  empty it and make nothing, RENAME hands the old name's content to the new one and makes nothing, ALTER alters no content; without a change, an
  output appends.
- A reading by version follows that version's makers, under the names that the dataset had before too, until it was renamed; a reading without one
  follows every write since the last replacement, and may be of any write before it.
- Aliases join names for all time; a renamed name is another dataset from the rename on. A name that was said to be one of ours stands for that, so
  far as reading goes; two names of the same one of ours are not joined by it.
- A version of ours is whole, and every run of ours that made its bytes is its producer.
- `columnLineage` adds a reading without version of each dataset that its run lists under no input.
- Static events (of a job, of a dataset) are no runs and are not modelled.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

Name = tuple[str, str]  # namespace, name
Node = tuple[Name, str]  # a dataset's one name, and a version; `?` where a reading names none
Moment = tuple[int, str]
TERMINAL = frozenset({"COMPLETE", "FAIL", "ABORT"})
EMPTYING = frozenset({"DROP", "TRUNCATE"})
REPLACING = frozenset({"OVERWRITE", "CREATE"})
EVER: Moment = (1 << 60, "")


@dataclass(frozen=True)
class Port:
    """One dataset that an event lists; `producer` is the run that the reader took it from."""

    name: Name
    version: str | None = None
    change: str | None = None
    previous: Name | None = None
    aliases: tuple[Name, ...] = ()
    columns: tuple[Name, ...] = ()
    producer: str | None = None


@dataclass(frozen=True)
class Event:
    """One run event; `time` and `recorded` count seconds, `ours` says that the recorder made it."""

    run: str
    job: str
    time: int
    type: str
    inputs: tuple[Port, ...] = ()
    outputs: tuple[Port, ...] = ()
    ours: bool = False
    digest: str = ""
    recorded: int = 1 << 59


@dataclass(frozen=True, order=True)
class Made:
    """One version as one run made it: `at` orders it among the dataset's writes."""

    at: Moment
    run: str
    name: Name
    version: str

    @property
    def node(self) -> Node:
        return self.name, self.version


@dataclass(frozen=True)
class Read:
    """One reading: what it resolves to, which other runs made that version, and of what it may be besides."""

    run: str
    node: Node
    role: str
    makers: frozenset[Made]
    others: frozenset[Made] = frozenset()
    maybe: frozenset[Made] = frozenset()
    of: frozenset[Name] = frozenset()
    rewritten: bool = False
    gap: bool = False


@dataclass
class Answer:
    """What a walk reached; an edge is (run, node, direction, role, made by, inferred)."""

    made: set[Made] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    edges: set[tuple[str, Node, str, str, str | None, bool]] = field(default_factory=set)
    gaps: set[Node] = field(default_factory=set)
    doubts: set[Node] = field(default_factory=set)
    times: dict[Node, int] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        return not self.gaps and not self.doubts

    def count(self, node: Node, times: int) -> None:
        if times > 1:
            self.times[node] = max(times, self.times.get(node, 0))

    def read(self, read: Read) -> None:
        ambiguous = read.node[1] != "?" and read.makers and (read.others or read.rewritten)
        self.edges.add((read.run, read.node, "input", read.role, min(read.makers).run if ambiguous else None, False))
        self.runs.add(read.run)
        self.count(read.node, len(read.makers | read.others) if read.node[1] != "?" and read.node[0] != self.ours else 1)

    ours: str = ""


class World:
    """A whole history, resolved."""

    def __init__(self, events: Iterable[Event], ours: str) -> None:
        """Take every event, in any order; names of the namespace `ours` are the workspace's own."""
        self.ours = ours
        self.events = sorted(set(events), key=lambda event: (event.time, event.digest))
        self.runs: dict[str, list[Event]] = {}
        for event in self.events:
            self.runs.setdefault(event.run, []).append(event)
        self.classes = self._aliases()
        self.writes: list[Made] = []
        self.changes: list[tuple[Moment, Name, str, Name | None]] = []
        self.claims: set[tuple[Name, str | None, str]] = set()
        for run in self.runs:
            self._write(run)
        self.changes.sort(key=lambda change: change[0])
        self.reads = [read for run in self.runs for read in self._reads(run)]

    def _aliases(self) -> dict[Name, set[Name]]:
        """Return, by each other producer's name, all its names, and those of ours that it was said to be."""
        found: dict[Name, set[Name]] = {}
        for event in self.events:
            for port in (*event.inputs, *event.outputs):
                for name in (port.name, *port.aliases, *port.columns):
                    found.setdefault(name, {name})
                for other in port.aliases if port.name[0] != self.ours else ():
                    if other[0] == self.ours:
                        found[port.name].add(other)
                    elif found[other] is not found[port.name]:
                        found[port.name] |= found[other]
                        found.update(dict.fromkeys([name for name in found[port.name] if name[0] != self.ours], found[port.name]))
        return found

    def dataset(self, name: Name) -> Name:
        """The one name of a dataset."""
        return name if name[0] == self.ours else min(each for each in self.classes.get(name, {name}) if each[0] != self.ours)

    def stands_for(self, name: Name) -> set[Name]:
        """The names of ours that a dataset was said to be."""
        return {name} if name[0] == self.ours else {each for each in self.classes.get(name, ()) if each[0] == self.ours}

    def node(self, name: Name, version: str | None) -> Node:
        """A version of a dataset, by its one name."""
        ours = [made for made in self.writes if made.name in self.stands_for(name) and made.version == version]
        return ours[0].node if ours else (self.dataset(name), version or "?")

    def end(self, run: str) -> Event | None:
        """The terminal event that decides: the smallest."""
        return next((event for event in self.runs[run] if event.type in TERMINAL), None)

    def unknowns(self, run: str) -> set[str]:
        """What a run's events leave open: its clock, its end, its job."""
        events, end = self.runs[run], self.end(run)
        late = end is not None and next((event for event in events if event.type == "START"), events[0]).time > end.time
        found = {"clock"} if late or any(event.time > event.recorded for event in events) else set()
        found |= {"end"} if sum(event.type in TERMINAL for event in events) > 1 else set()
        return found | ({"job"} if len({event.job for event in events}) > 1 else set())

    def _write(self, run: str) -> None:
        """Note what a run made, and what it did to what was there."""
        told: dict[Name, list[tuple[Event, Port]]] = {}
        for event in self.runs[run]:
            for port in event.outputs:
                if bool(self.stands_for(port.name)) == event.ours:
                    told.setdefault(self.dataset(port.name), []).append((event, port))
                version = port.version if port.version and port.version.startswith("sha256:") else None
                said = [name for name in (port.name, *port.aliases) if name[0] == self.ours and not event.ours]
                self.claims |= {(name, version, run) for name in said}
        for name, ports in told.items():
            end = self.end(run)
            since = end or ports[0][0]
            change = next((port.change for _, port in reversed(ports) if port.change), "OVERWRITE" if name[0] == self.ours else "")
            for _, port in ports:
                if port.change == "RENAME" and port.previous and not self.stands_for(port.previous) and self.dataset(port.previous) != name:
                    self.changes.append(((since.time, since.digest), name, "RENAME", port.previous))
                    self.changes.append(((since.time, since.digest), self.dataset(port.previous), "MOVED", None))
            if change in EMPTYING | REPLACING:
                self.changes.append(((since.time, since.digest), name, change, None))
            versions = {port.version for _, port in ports}
            for version in versions - {None} or versions if change not in EMPTYING | {"RENAME", "ALTER"} else ():
                first = end or next(event for event, port in ports if port.version == version)
                self.writes.append(Made((first.time, first.digest), run, name, version or f"run:{run}"))

    def written(self, name: Name) -> list[Made]:
        """What was written to a dataset; to one that stands for ours, what we wrote."""
        return sorted(made for made in self.writes if made.name in (self.stands_for(name) or {name}))

    def before(self, name: Name, moment: Moment) -> list[tuple[Moment, str, Name | None]]:
        """What emptied, replaced, renamed or moved a dataset until a moment."""
        return [(at, what, old) for at, of, what, old in self.changes if of in (self.stands_for(name) or {name}) and at < moment]

    def held(self, name: Name, moment: Moment) -> frozenset[Made]:
        """Every write whose rows a dataset holds at a moment."""
        since, _, old = (self.before(name, moment) or [((-1, ""), "", None)])[-1]
        carried = self.held(self.dataset(old), since) if old else frozenset()
        return carried | {made for made in self.written(name) if since <= made.at < moment}

    def lineage(self, name: Name, moment: Moment) -> set[tuple[Name, Moment]]:
        """A dataset, and those that it took its content over from, each until that."""
        earlier = [self.lineage(self.dataset(old), at) for at, _, old in self.before(name, moment) if old]
        return {(name, moment)}.union(*earlier)

    def makers(self, name: Name, version: str, producer: str | None = None) -> list[Made]:
        """Every maker of a version, each run once, under the names that its dataset had before too."""
        until, own = self.lineage(self.dataset(name), EVER), self.stands_for(name) | {self.dataset(name)}
        found = [one for each, moment in until for one in self.written(each) if one.version == version and one.at < moment]
        made = {one.run: one for one in sorted(found, key=lambda one: (one.name not in own, one), reverse=True)}
        return sorted(one for one in made.values() if producer in {None, one.run})

    def _reads(self, run: str) -> list[Read]:
        start = (self.runs[run][0].time, "")
        listed = {(port.name, port.version, port.producer): "" for event in self.runs[run] for port in event.inputs}
        named = {self.dataset(name) for name, version, _ in listed if version} | {
            each for name, v, _ in listed if v for each in self.stands_for(name)
        }
        any_ = {self.dataset(name) for name, _, _ in listed} | named
        for event in self.runs[run]:
            for column in (column for port in event.outputs for column in port.columns):
                if not any_ & {self.dataset(column), *self.stands_for(column)}:
                    listed.setdefault((column, None, None), "column")
        found = set()
        for (name, version, producer), role in listed.items():
            if version is None:
                if not named & {self.dataset(name), *self.stands_for(name)}:
                    until = self.lineage(self.dataset(name), start)
                    maybe = {made for each, moment in until for made in self.written(each) if made.at < moment and made.run != run}
                    makers = frozenset(made for made in self.held(self.dataset(name), start) if made.run != run)
                    found.add(
                        Read(run, self.node(name, None), role, makers, frozenset(), frozenset(maybe), frozenset(each for each, _ in until), gap=True)
                    )
                continue
            every = self.makers(name, version, producer)
            others = [made for made in every if made.run != run or name[0] == self.ours]
            before = [made for made in others if made.at < start]
            chosen = frozenset(others if name[0] == self.ours or len(others) == 1 else before[-1:])
            left = frozenset(others) - chosen
            gap = not chosen and bool(every or producer)
            found.add(Read(run, self.node(name, version), role, chosen, left, left, rewritten=len(others) < len(every), gap=gap))
        return list(found)

    def _through(self, answer: Answer, read: Read, made: Made) -> None:
        answer.edges.add((made.run, made.node, "output", "", None, False))
        if made.node != read.node:
            answer.edges.add((made.run, read.node, "output", "", None, read.node[1] == "?"))

    def trace(self, name: Name, version: str) -> Answer:
        """Everything that went into a version."""
        answer = Answer()
        target = Read("", self.node(name, version), "", frozenset(self.makers(name, version)))
        answer.count(target.node, len(target.makers) if target.node[0][0] != self.ours else 1)
        waiting = [(target, made) for made in target.makers]
        answer.gaps |= set() if waiting else {target.node}
        while waiting:
            read, made = waiting.pop()
            self._through(answer, read, made)
            if made.run not in answer.runs:
                for each in (one for one in self.reads if one.run == made.run):
                    answer.read(each)
                    answer.gaps |= {each.node} if each.gap or not each.makers else set()
                    waiting.extend((each, one) for one in each.makers)
            answer.made.add(made)
            answer.runs.add(made.run)
        return answer

    def impact(self, name: Name, version: str) -> Answer:
        """Everything that a version went into: the trace's inverse."""
        answer, target = Answer(), self.node(name, version)
        reached = set(self.makers(name, version))
        seen: set[Made] = set()
        while reached - seen or not seen:
            seen |= reached
            for read in self.reads:
                if read.makers & seen or (not read.makers and read.node == target):
                    answer.read(read)
                    answer.gaps |= {read.node} if read.gap else set()
                    for made in self.writes:
                        if made.run == read.run:
                            answer.edges.add((made.run, made.node, "output", "", None, False))
                            answer.made.add(made)
            if not answer.made - seen:
                break
            reached |= answer.made
        asked = set(self.makers(name, version))
        for read in self.reads:
            followed = bool(read.makers & seen) or (not read.makers and read.node == target)
            doubtful = read.maybe & seen if read.node[1] == "?" or not followed else frozenset()
            about = {target if made in asked else made.node for made in doubtful} | (
                {target} if not asked and self.dataset(name) in read.of else set()
            )
            answer.doubts |= about | {made.node for made in doubtful} if read.gap else set()
            for node in about if read.node[1] != "?" else ():
                answer.count(node, len(read.makers | read.others))
        return answer
