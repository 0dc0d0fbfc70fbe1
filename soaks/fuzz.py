"""Hostile events, sent one after the other: each is taken whole or refused whole, with a reason, and what was taken gives one catalog for ever."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from click.testing import CliRunner
from hostile_events import SLUG, giant, hostile_events, many
from hypothesis import HealthCheck, Phase, Verbosity, given, seed, settings
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy import func, select
from trials import Trial, Try

from tracecore.commands.shell import cli
from tracecore.errors import TracecoreError
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.catalog.replay import catalog_differences, rebuild_catalog
from tracecore_lineage.exchange.ingest import Ingested
from tracecore_lineage.ledger.sql_tables import EDGES, EVENTS, OUTBOX, PROJECTION, RUN_EVENTS
from tracecore_lineage.trace.show import show

__all__ = ["EVENTS_A_TRIAL", "Fuzz", "Sent", "drawn_events", "judge_import", "judge_one"]

EVENTS_A_TRIAL = 100
_LONGEST_REASON = 600
_MOST_STATEMENTS = 40
"""SQL statements that one event may cost, whatever it holds: so the time it takes grows with its bytes alone."""
_GIANT_EVERY = 150
_MANY_EVERY = 10
_IMPORT_EVERY = 5
_ASK_EVERY = 4
_ASKED = 5


class Fuzz:
    """Send a hundred hostile events to a fresh record, each judged by itself, then judge what they left."""

    name = "fuzz"
    unit = f"trials of {EVENTS_A_TRIAL} events"
    full = 1_000

    @contextmanager
    def trials(self, folder: Path) -> Iterator[Try]:
        empty = folder / "empty"
        Record.open(Workspace.create(empty, slug=SLUG)).close()
        before = os.environ.get("OPENLINEAGE_URL")
        os.environ["OPENLINEAGE_URL"] = "http://localhost:9"  # so that events are noted for delivery; nothing is delivered here

        def attempt(number: int) -> Trial:
            bodies = drawn_events(number)
            if number % _GIANT_EVERY == 0:
                bodies.append(giant(number // _GIANT_EVERY))
            if number % _MANY_EVERY == 0:
                bodies.append(many(number // _MANY_EVERY))
            root = folder / "attacked"
            shutil.rmtree(root, ignore_errors=True)
            shutil.copytree(empty, root)
            counts: Counter[str] = Counter()
            with Record.open(root) as record:
                broken = [*_each(record, bodies, counts), *_left(record)]
                if number % _ASK_EVERY == 0:
                    broken += _asked(record, counts)
            if number % _IMPORT_EVERY == 0:
                broken += judge_import(root, bodies, folder / "imported.ndjson", counts)
                with Record.open(root) as record:
                    broken += [*_replayed(record), *_asked(record, counts)]
            return Trial(number, tuple(broken), dict(counts))

        try:
            yield attempt
        finally:
            if before is None:
                del os.environ["OPENLINEAGE_URL"]
            else:
                os.environ["OPENLINEAGE_URL"] = before


def drawn_events(number: int) -> list[bytes]:
    """Return a trial's events, which are the same each time."""
    drawn: list[bytes] = []

    @seed(number)
    @settings(
        max_examples=EVENTS_A_TRIAL, database=None, deadline=None, phases=[Phase.generate], verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(hostile_events())
    def draw(body: bytes) -> None:
        drawn.append(body)

    draw()
    return drawn


class Sent:
    """What a record holds, counted: ledger, catalog and outbox."""

    def __init__(self, record: Record) -> None:
        with record.database.read() as connection:
            tables = (EVENTS, OUTBOX, *PROJECTION)
            self.rows = {table.name: connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables}
        self.head = record.recorder.checkpoint() if self.rows["ledger_event"] else ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sent) and (self.rows, self.head) == (other.rows, other.head)

    __hash__ = None  # type: ignore[assignment]  # compared, never kept in sets


def _each(record: Record, bodies: Sequence[bytes], counts: Counter[str]) -> Iterator[str]:
    for place, body in enumerate(bodies):
        why = judge_one(record, body, counts)
        if why is not None:
            yield f"event {place} ({len(body):,} bytes, {body[:80]!r}): {why}"


def judge_one(record: Record, body: bytes, counts: Counter[str]) -> str | None:
    """Send one event, and say which promise its answer breaks."""
    before = Sent(record)
    with _statements(record) as statements:
        try:
            answer = record.ingest([body])
        except BaseException as error:  # noqa: BLE001  # whatever comes out is a broken promise, even what ends a process
            return f"ingest raised {type(error).__name__}: {str(error)[:200]}"
    counts["events"] += 1
    if len(statements) > _MOST_STATEMENTS:
        return f"it cost {len(statements)} SQL statements, at most {_MOST_STATEMENTS} were expected"
    return _judge_answer(answer, before, Sent(record), counts)


def _judge_answer(answer: Ingested, before: Sent, after: Sent, counts: Counter[str]) -> str | None:
    """Compare an answer with what became of the record: one more event and one to deliver, or nothing at all."""
    match (answer.recorded, answer.known, len(answer.refused)):
        case (1, 0, 0):
            counts["taken"] += 1
            grown = tuple(after.rows[table] - before.rows[table] for table in ("ledger_event", "outbox_item"))
            return None if grown == (1, 1) else f"it was taken, and ledger and outbox grew by {grown}"
        case (0, 1, 0) | (0, 0, 1) if before != after:
            return f"it was not taken, and the record changed from {before.rows} to {after.rows}"
        case (0, 1, 0):
            counts["known"] += 1
            return None
        case (0, 0, 1):
            counts["refused"] += 1
            return _bad_reason(answer.refused[0].reason)
    return f"the answer makes no sense: {answer}"


def _bad_reason(reason: str) -> str | None:
    """Return what is wrong with a reason: it is one sentence, for people, of bounded length."""
    if not reason.strip():
        return "it was refused without a reason"
    if len(reason) > _LONGEST_REASON or "\n" in reason or "Traceback" in reason or not reason.isprintable():
        return f"the reason is no sentence that can be shown ({len(reason):,} characters): {reason[:200]!r}"
    return None


@contextmanager
def _statements(record: Record) -> Iterator[list[str]]:
    seen: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        seen.append(statement)

    sqlalchemy_event.listen(record.database.engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        sqlalchemy_event.remove(record.database.engine, "before_cursor_execute", note)


def _left(record: Record) -> Iterator[str]:
    """Judge what all events of a trial left: the ledger verifies, and its catalog is what the events say."""
    for failure in record.verify()["failures"][:3]:
        yield f"verify names {failure['ref']}: {failure['what']} ({failure['expected'][:80]} / {failure['found'][:80]})"


def _replayed(record: Record) -> Iterator[str]:
    """Judge that the catalog is made again as it is: its rows' number, and each against what the events say."""
    before = Sent(record)
    rebuild_catalog(record.database, record.ledger)
    if Sent(record) != before or record.query(catalog_differences, record.ledger):
        yield "replay makes another catalog"


def _asked(record: Record, counts: Counter[str]) -> Iterator[str]:
    """Ask about what the events named: whatever they contain, a question has an answer or a sentence why it has none."""
    with record.database.read() as connection:
        refs = sorted(set(connection.execute(select(EDGES.c.ref)).scalars()))[:_ASKED]
        runs = sorted(set(connection.execute(select(RUN_EVENTS.c.run_id)).scalars()))[:_ASKED]
    questions: list[tuple[str, Callable[[], object]]] = [("verify", record.verify)]
    asks: dict[str, Callable[[str], object]] = {"trace": record.trace, "impact": record.impact, "show": lambda ref: record.query(show, ref)}
    for ref in (*refs, *(f"run/{run}" for run in runs)):
        questions += [(f"{name} {ref}", partial(ask, ref)) for name, ask in asks.items()]
    for told, ask in questions:
        counts["questions"] += 1
        try:
            json.dumps(ask(), allow_nan=False)
        except TracecoreError:
            continue
        except Exception as error:  # noqa: BLE001  # whatever comes out is a broken promise
            yield f"{told[:120]} raised {type(error).__name__}: {str(error)[:200]}"


def judge_import(root: Path, bodies: Sequence[bytes], file: Path, counts: Counter[str]) -> list[str]:
    """Send events through `tracecore events import`, whole and with the bad ones left out; each is one line or several."""
    file.write_bytes(b"\n".join(bodies))
    broken: list[str] = []
    for more in ((), ("--skip-invalid",)):
        with Record.open(root) as record:
            before = Sent(record)
        done = CliRunner().invoke(cli, ["events", "import", str(file), "--workspace", str(root), *more])
        with Record.open(root) as record:
            after = Sent(record)
        counts["imports"] += 1
        said = done.stderr.strip()
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            broken.append(f"events import {' '.join(more)} crashed with {type(done.exception).__name__}: {str(done.exception)[:200]}")
        elif done.exit_code not in {0, 2}:
            broken.append(f"events import {' '.join(more)} ended with {done.exit_code}: {said[:200]}")
        elif done.exit_code == 2 and (before != after or not said or len(said) > 2 * _LONGEST_REASON or "Traceback" in said):
            broken.append(f"events import {' '.join(more)} refused the file in no clear sentence, or left something: {said[:200]!r}")
    return broken
