"""The plain reference model of what OpenLineage events mean: obvious, quadratic, and independent of the record's code.

Rules that the prose leaves open, and how they are read here:
- A run begins at its earliest event, which is its START unless its clock is wrong; every input is read then. An output is from its run's deciding
  terminal event on; a run without one is open, and its output is from the first event naming it.
- One maker of a version label is the maker at whatever time. Of several the nearest before the reading counts; where all of them are later, none
  does, and that is a gap. What the reader makes itself is not what it read.
- Where one event of a run names a version of a dataset and another names none, the second says the same with less.
- What a run does to a dataset is what the last of its events to say anything says. OVERWRITE and CREATE replace what it held, DROP and TRUNCATE
  empty it and make nothing, RENAME hands the old name's content to the new one and makes nothing, ALTER alters nothing; else an output appends.
  Where a replacement is recorded, a version holds what was appended since the last one too; else it represents itself.
- A reading by version follows that version's makers, under the names that the dataset had before too, until it was renamed; a reading without one
  follows every write since the last replacement, and may be of any write before it. A version that no run made may be one written without a version.
- Aliases join names for all time. A name that was declared to be one of ours represents that, so far as reading goes, and joins nothing. A version of
  ours is whole, and every run of ours that made its bytes is its producer.
- `columnLineage` adds a reading without version of each dataset that its run lists under no input. An event without a run is a DatasetEvent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

Name = tuple[str, str]  # namespace, name
Node = tuple[Name, str]  # a dataset's one name, and a version; `?` where a reading names none
Moment = tuple[int, str]
TERMINAL, EMPTYING, REPLACING = frozenset({"COMPLETE", "FAIL", "ABORT"}), frozenset({"DROP", "TRUNCATE"}), frozenset({"OVERWRITE", "CREATE"})
EVER: Moment = (1 << 60, "")


@dataclass(frozen=True)
class Port:  # One dataset that an event lists; `producer` is the run that the reader took it from
    name: Name
    version: str | None = None
    change: str | None = None
    previous: Name | None = None
    aliases: tuple[Name, ...] = ()
    columns: tuple[Name, ...] = ()
    producer: str | None = None


@dataclass(frozen=True)
class Event:  # One run event; `time` and `recorded` count seconds, `ours` says that the recorder made it
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
class Made:  # One version as one run made it: `at` orders it among the dataset's writes
    at: Moment
    run: str
    name: Name
    version: str
    node = property(lambda self: (self.name, self.version))


@dataclass(frozen=True)
class Read:  # One reading: what it resolves to, which other runs made that version, and of what it may be besides
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
class Answer:  # What a walk reached; an edge is (run, node, direction, role, made by, inferred)
    made: set[Made] = field(default_factory=set)
    runs: set[str] = field(default_factory=set)
    edges: set[tuple[str, Node, str, str, str | None, bool]] = field(default_factory=set)
    gaps: set[Node] = field(default_factory=set)
    doubts: set[Node] = field(default_factory=set)
    times: dict[Node, int] = field(default_factory=dict)

    def count(self, node: Node, runs: Iterable[Made]) -> None:
        if node[1] != "?" and not node[1].startswith("sha256:") and len(times := {made for made in runs if made.version == node[1]}) > 1:
            self.times[node] = max(len(times), self.times.get(node, 0))

    def read(self, read: Read) -> None:
        ambiguous = read.node[1] != "?" and read.makers and (read.others or read.rewritten)
        self.edges.add((read.run, read.node, "input", read.role, max(read.makers).run if ambiguous else None, False))
        self.runs, self.gaps = self.runs | {read.run}, self.gaps | ({read.node} if read.gap else set())
        self.count(read.node, read.makers | read.others)


class World:
    """A whole history, resolved. Events come in any order; names of the namespace `ours` are the workspace's own."""

    def __init__(self, events: Iterable[Event], ours: str) -> None:
        self.ours, self.events = ours, sorted(set(events), key=lambda event: (event.time, event.digest))
        self.runs: dict[str, list[Event]] = {}
        for event in self.events:
            self.runs.setdefault(event.run, []).append(event)
        self.classes = self._aliases()
        stated = [(event, port) for event in self.runs.pop("", []) for port in event.outputs if port.change in EMPTYING]
        self.ends = {run: next((event for event in events if event.type in TERMINAL), None) for run, events in self.runs.items()}
        self.writes: list[Made] = []
        self.changes: list[tuple[Moment, Name, str, Name | None]] = []
        for event, port in (each for each in stated if not self.stands_for(each[1].name)):
            self.changes.append(((event.time, event.digest), self.dataset(port.name), port.change or "", None))
        self.claims, self.relabelled = set[tuple[Name, str | None, str]](), set[tuple[Name, str | None]]()
        for run in self.runs:
            self._write(run)
        self.changes.sort(key=lambda change: change[0])
        self.reads = [read for run in self.runs for read in self._reads(run)]

    def _aliases(self) -> dict[Name, set[Name]]:
        found: dict[Name, set[Name]] = {}
        ports = [port for event in self.events for port in (*event.inputs, *event.outputs) if port.name[0] != self.ours]
        for name, other in ((port.name, other) for port in ports for other in (port.name, *port.aliases)):
            both = found.get(name, {name}) | (found.get(other, {other}) if other[0] != self.ours else {other})
            found |= {each: both for each in both if each[0] != self.ours}
        return found

    def stands_for(self, name: Name) -> set[Name]:
        return {each for each in self.classes.get(name, {name}) if each[0] == self.ours}

    def dataset(self, name: Name) -> Name:
        return name if name[0] == self.ours else min(self.classes.get(name, {name}) - self.stands_for(name))

    def called(self, name: Name) -> set[Name]:
        return self.stands_for(name) | {self.dataset(name)}

    def node(self, name: Name, version: str | None) -> Node:
        ours = [made for made in self.writes if made.name in self.stands_for(name) and made.version == version]
        return ours[0].node if ours else (self.dataset(name), version or "?")

    def unknowns(self, run: str) -> set[str]:
        events, end = self.runs[run], self.ends[run]
        start = next((event for event in events if event.type == "START"), events[0])
        clock = (end and start.time > end.time) or any(event.time > event.recorded for event in events)
        ends, jobs = sum(event.type in TERMINAL for event in events), {event.job for event in events}
        return {what for what, so in {"end": ends > 1, "job": len(jobs) > 1, "clock": clock}.items() if so}

    def _write(self, run: str) -> None:
        told: dict[Name, list[tuple[Event, Port]]] = {}
        for event in self.runs[run]:
            for port in event.outputs:
                if bool(self.stands_for(port.name)) == event.ours:
                    told.setdefault(self.dataset(port.name), []).append((event, port))
                version = port.version if (port.version or "").startswith("sha256:") else None
                self.claims |= {(name, version, run) for name in (port.name, *port.aliases) if name[0] == self.ours and not event.ours}
        for name, ports in told.items():
            end = self.ends[run]
            since = ((end or ports[0][0]).time, (end or ports[0][0]).digest)
            change = next((port.change for _, port in reversed(ports) if port.change), "OVERWRITE" if name[0] == self.ours else "")
            for old in {port.previous for _, port in ports if port.change == "RENAME" and port.previous}:
                if self.dataset(old) != name and not self.stands_for(old):
                    self.changes += [(since, name, "RENAME", old), (since, self.dataset(old), "MOVED", None)]
            self.changes += [(since, name, change, None)] if change in EMPTYING | REPLACING else []
            versions = {port.version for _, port in ports}
            self.relabelled |= {(name, version) for version in versions if change in {"RENAME", "ALTER"}}
            for version in versions - {None} or versions if change not in EMPTYING | {"RENAME", "ALTER"} else ():
                first = end or next(event for event, port in ports if port.version == version)
                self.writes.append(Made((first.time, first.digest), run, name, version or f"run:{run}"))

    def written(self, name: Name) -> list[Made]:  # What was written to a dataset; to one that represents ours, what we wrote
        return sorted(made for made in self.writes if made.name in (self.stands_for(name) or {name}))

    def before(self, name: Name, moment: Moment) -> list[tuple[Moment, str, Name | None]]:
        return [(at, what, old) for at, of, what, old in self.changes if of in (self.stands_for(name) or {name}) and at < moment]

    def held(self, name: Name, moment: Moment) -> frozenset[Made]:
        since, _, old = (self.before(name, moment) or [((-1, ""), "", None)])[-1]
        return (self.held(self.dataset(old), since) if old else frozenset()) | {made for made in self.written(name) if since <= made.at < moment}

    def lineage(self, name: Name, moment: Moment) -> set[tuple[Name, Moment]]:  # A dataset, and those that it took its content over from, until then
        return {(name, moment)}.union(*(self.lineage(self.dataset(old), at) for at, _, old in self.before(name, moment) if old))

    def makers(self, name: Name, version: str, producer: str | None = None) -> list[Made]:
        until, own = self.lineage(self.dataset(name), EVER), self.called(name)
        found = [one for each, moment in until for one in self.written(each) if one.version == version and one.at < moment]
        made = {one.run: one for one in sorted(found, key=lambda one: (one.name not in own, one), reverse=True)}
        return sorted(one for one in made.values() if producer in {None, one.run})

    def _reads(self, run: str) -> list[Read]:
        listed = {(port.name, port.version, port.producer): "" for event in self.runs[run] for port in event.inputs}
        versioned = set[Name]().union(*(self.called(name) for name, version, _ in listed if version))
        any_ = versioned.union(self.dataset(name) for name, _, _ in listed)
        columns = [column for event in self.runs[run] for port in event.outputs for column in port.columns]
        listed |= {(name, None, None): "column" for name in columns if not any_ & self.called(name)}
        return [self._read(run, *port, role) for port, role in listed.items() if port[1] or not versioned & self.called(port[0])]

    def _read(self, run: str, name: Name, version: str | None, producer: str | None, role: str) -> Read:
        start = (self.runs[run][0].time, "")
        until = self.lineage(self.dataset(name), start)
        maybe = frozenset(made for each, moment in until for made in self.written(each) if made.at < moment and made.run != run)
        if version is None:
            held = frozenset(made for made in self.held(self.dataset(name), start) if made.run != run)
            return Read(run, self.node(name, None), role, held, maybe=maybe, of=frozenset(each for each, _ in until), gap=True)
        every, ours = self.makers(name, version, producer), self.stands_for(name)
        others = [made for made in every if made.run != run or ours]
        chosen = frozenset(others if ours or len(others) == 1 else [made for made in others if made.at < start][-1:])
        free = (self.dataset(name), version) in self.relabelled or (ours and not version.startswith("sha256:"))
        vague = {made for made in maybe if not every and producer is None and (free or made.version.startswith("run:"))}
        left, gap = frozenset(others) - chosen, not chosen and bool(every or producer)
        held = frozenset(made for made in chosen.union(*map(self.appended, chosen)) if made.run != run or ours)
        return Read(run, self.node(name, version), role, held, left, left | vague, rewritten=len(others) < len(every), gap=gap)

    def appended(self, made: Made) -> set[Made]:
        since, what, _ = (self.before(made.name, (made.at[0], f"{made.at[1]}~")) or [(made.at, "", None)])[-1]
        held = {one for one in self.written(made.name) if since <= one.at < made.at and one.version != made.version and one.run != made.run}
        return held if what in REPLACING else set()

    def trace(self, name: Name, version: str) -> Answer:
        answer, makers = Answer(), frozenset(self.makers(name, version))
        answer.count((asked := Read("", self.node(name, version), "", makers.union(*map(self.appended, makers)))).node, asked.makers)
        answer.gaps |= set() if asked.makers else {asked.node}
        waiting = [(asked, made) for made in asked.makers]
        while waiting:
            read, made = waiting.pop()
            answer.edges |= {(made.run, node, "output", "", None, made.version != node[1]) for node in (made.node, read.node)}
            for each in [one for one in self.reads if one.run == made.run and made.run not in answer.runs]:
                answer.read(each)
                answer.gaps |= set() if each.makers else {each.node}
                waiting.extend((each, one) for one in each.makers)
            answer.made, answer.runs = answer.made | {made}, answer.runs | {made.run}
        return answer

    def impact(self, name: Name, version: str) -> Answer:
        answer, target, asked = Answer(), self.node(name, version), set(self.makers(name, version))
        readers: set[Read] = set()
        of = {read for read in self.reads if not read.makers and read.node == target}
        while more := (of | {read for read in self.reads if read.makers & (asked | answer.made)}) - readers:
            readers |= more
            answer.made |= {made for made in self.writes if made.run in {read.run for read in more}}
        for read in readers:
            answer.read(read)
        answer.edges |= {(made.run, made.node, "output", "", None, False) for made in answer.made}
        added = {(made.run, later.node) for later in self.writes for made in self.appended(later) & (asked | answer.made)}
        answer.edges, answer.runs = answer.edges | {(*one, "output", "", None, True) for one in added}, answer.runs | {run for run, _ in added}
        for read in self.reads:
            doubtful = read.maybe & (asked | answer.made) if read.node[1] == "?" or read not in readers else set()
            unmade = [target] if not asked and self.dataset(name) in read.of else []
            about = {target if made in asked else made.node for made in doubtful}.union(unmade)
            answer.doubts |= about | {made.node for made in doubtful} if read.gap or not read.makers else set()
            for node in about if read.node[1] != "?" else ():
                answer.count(node, read.makers | read.others)
        return answer
