"""What an intruder with the files and the database can do behind a record's back, on SQLite and PostgreSQL, and what `verify` says of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, delete, text
from stored_world import StoredWorld

from tracecore_lineage.catalog.replay import rebuild_catalog
from tracecore_lineage.crypto import merkle
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.migrations.upgrade import metadata
from tracecore_lineage.ledger.sql_tables import HEAD

__all__ = ["edit_log", "failures", "flip", "move_rows", "refit_head", "rehash", "select", "sql"]


def failures(world: StoredWorld, ref: str | None = None, **more: Any) -> list[tuple[str, str]]:
    return [(failure["ref"].partition("@")[0], failure["what"]) for failure in world.record.verify(ref, **more)["failures"]]


def flip(path: Path, place: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def edit_log(world: StoredWorld, change: Callable[[dict[str, Any]], None]) -> str:
    [log] = sorted(world.path("drives", "_delta_log").glob("*.json"))
    actions = [json.loads(line) for line in log.read_text().splitlines()]
    change(next(action["add"] for action in actions if "add" in action))
    log.write_text("".join(json.dumps(action) + "\n" for action in actions))
    return log.relative_to(world.store.root).as_posix()


def move_rows(file: Path, url: str) -> None:
    """Take every row of a record in SQLite over into an empty one in PostgreSQL, and the file away: a workspace moved to a team's server."""
    source, target = create_engine(f"sqlite:///{file}"), create_engine(url)
    with source.connect() as one, target.connect() as other, other.begin():
        other.execute(delete(HEAD))
        for table in metadata().sorted_tables:
            rows = [dict(row) for row in one.execute(table.select()).mappings()]
            if rows:
                other.execute(table.insert(), rows)
    source.dispose()
    target.dispose()
    file.unlink()


def sql(world: StoredWorld, statement: str, *values: Any) -> None:
    """Do what a database owner can do behind the record's back."""
    with world.record.database.engine.connect() as connection, connection.begin():
        connection.execute(text(_named(statement)), _by_name(values))


def select(world: StoredWorld, statement: str, *values: Any) -> Any:
    with world.record.database.engine.connect() as connection:
        return connection.execute(text(_named(statement)), _by_name(values)).first()


def _named(statement: str) -> str:
    for place in range(statement.count("?")):
        statement = statement.replace("?", f":v{place}", 1)
    return statement


def _by_name(values: Sequence[Any]) -> dict[str, Any]:
    return {f"v{place}": value for place, value in enumerate(values)}


def rehash(world: StoredWorld, seq: int, body: bytes) -> None:
    """Edit an event and every hash that an attacker without the key can make fit."""
    identity = ledger.event_id(body)
    recorded_at = select(world, "SELECT recorded_at FROM ledger_event WHERE seq = ?", seq)[0]
    leaf = ledger.leaf_hash(recorded_at, body).hex()
    sql(world, "UPDATE ledger_event SET body = ?, event_id = ?, leaf_hash = ? WHERE seq = ?", body, identity, leaf, seq)
    refit_head(world)
    rebuild_catalog(world.record.database, world.record.ledger)


def refit_head(world: StoredWorld) -> None:
    frontier = merkle.Frontier()
    with world.record.database.read() as connection:
        for leaf in ledger.read(connection):
            frontier.append(ledger.leaf_hash(leaf.recorded_at, leaf.body))
    stored = json.dumps([subtree.hex() for subtree in frontier.hashes])
    sql(world, "UPDATE ledger_head SET size = ?, root = ?, frontier = ?", frontier.size, frontier.root().hex(), stored)
