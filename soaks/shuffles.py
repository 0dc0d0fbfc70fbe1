"""Real events of other producers, shuffled and repeated: whatever the order, the catalog holds one state and questions get one answer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from real_events import real_events
from sqlalchemy import delete, select, update
from trials import Trial, Try

from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.crypto.merkle import EMPTY_ROOT
from tracecore_lineage.ledger.sql_tables import BLOCKS, EDGES, EVENTS, HEAD, PROJECTION, RUN_EVENTS

__all__ = ["EmptiedRecord", "Shuffles", "answers", "refs_and_runs", "state"]

_BATCHES = 3
_ASKED = 2


class Shuffles:
    """Send every event one to three times, in an order and in batches of its own each time, to an empty record."""

    name = "shuffles"
    unit = "shuffles"
    full = 1_000

    @contextmanager
    def trials(self, folder: Path) -> Iterator[Try]:
        bodies = real_events()
        if not bodies:
            raise RuntimeError("The real events to shuffle are absent: set TRACECORE_SHARED_DATA to the folder that holds openlineage/.")
        emptied = EmptiedRecord(folder / "record")
        record = emptied.filled([bodies])
        expected, answered = state(record), answers(record)

        def attempt(number: int) -> Trial:
            random = Random(number)
            sent = [body for body in bodies for _ in range(random.randint(1, 3))]
            random.shuffle(sent)
            cuts = sorted(random.randrange(len(sent)) for _ in range(_BATCHES - 1))
            record = emptied.filled([sent[: cuts[0]], sent[cuts[0] : cuts[1]], sent[cuts[1] :]])
            broken = []
            if state(record) != expected:
                broken.append("the catalog's state is another")
            if record.recorder.position() != len(bodies):
                broken.append(f"the ledger holds {record.recorder.position()} events, {len(bodies)} were sent")
            if answers(record) != answered:
                broken.append("a question is answered in another way")
            return Trial(number, tuple(broken), {"events sent": len(sent)})

        yield attempt
        emptied.record.close()


class EmptiedRecord:
    """One record that is emptied again and again: to make a new one costs more than to fill it."""

    def __init__(self, folder: Path) -> None:
        self.record = Record.open(Workspace.create(folder, slug="order"))

    def filled(self, batches: Sequence[Sequence[bytes]]) -> Record:
        """Empty the record, then take batches of good events."""
        with self.record.database.write() as connection:
            for table in (EVENTS, BLOCKS, *PROJECTION):
                connection.execute(delete(table))
            connection.execute(update(HEAD).values(size=0, root=EMPTY_ROOT.hex(), frontier="[]", checkpoint=""))
        for batch in batches:
            refused = self.record.ingest(batch).refused
            if refused:
                raise AssertionError(f"A good event was refused: {refused[0].reason}")
        return self.record


def state(record: Record) -> dict[str, set[tuple[Any, ...]]]:
    """Everything in the catalog but where in the ledger it came from."""
    found: dict[str, set[tuple[Any, ...]]] = {}
    with record.database.read() as connection:
        for table in PROJECTION:
            columns = [column for column in table.columns if column.name != "seq"]
            found[table.name] = {tuple(row) for row in connection.execute(select(*columns))}
    return found


def refs_and_runs(record: Record) -> tuple[list[str], list[str]]:
    """Return every version that has one, and every run."""
    with record.database.read() as connection:
        refs = sorted(set(connection.execute(select(EDGES.c.ref)).scalars()))
        runs = sorted(set(connection.execute(select(RUN_EVENTS.c.run_id)).scalars()))
    return [ref for ref in refs if not ref.endswith("@unversioned")], runs


def answers(record: Record) -> str:
    """Ask for the trace and the impact of several nodes; the answers without what the order decides, the time at which each was recorded."""
    refs, runs = refs_and_runs(record)
    asked = [*refs[:: max(1, len(refs) // _ASKED)], *(f"run/{run}" for run in runs[:: max(1, len(runs) // _ASKED)])]
    return json.dumps([_timeless(answer) for ref in asked for answer in (record.trace(ref), record.impact(ref))])


def _timeless(answer: Any) -> Any:
    if isinstance(answer, Mapping):
        return {name: _timeless(value) for name, value in answer.items() if name != "recorded_at"}
    return [_timeless(value) for value in answer] if isinstance(answer, list) else answer
