"""Rotation of the signing key, and keys of further hosts: events of the ledger, so that trust in the old key extends to the new one."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

from sqlalchemy import select

from tracecore.errors import UsageError
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.catalog.signatures import ledger_keys
from tracecore_lineage.crypto.keys import PrivateKey, PublicKey
from tracecore_lineage.ledger.sql_tables import FACETS, RUN_EVENTS, recorded_by
from tracecore_schemas.canonical import jcs

__all__ = ["KEY_ADD", "KEY_ROTATE", "add", "finish", "finish_joining", "rotate_key", "statement"]

KEY_ROTATE = "key_rotate"
KEY_ADD = "key_add"
"""Verbs of the jobs that record a new key."""


def statement(verb: str, old: str, new: PublicKey) -> bytes:
    """Return the bytes that the old key (an id) signs: the new key replaces it (`key_rotate`) or signs in addition (`key_add`)."""
    return jcs({"v": 1, "type": f"tracecore.{verb}", "old": old, "new": new.id, "public_key": new.pem})


def add(writer: RecordWriter, key: PublicKey) -> bool:
    """Record the key of a further host, signed by the active key; return False if the ledger names it already."""
    from tracecore_lineage.model.facets import TracecoreKeyRunFacet

    with writer.database.read() as connection:
        if key.id in {each.id for each in writer.public_keys(connection)}:
            return False
    signer = writer.keys.private()
    signature = base64.b64encode(signer.sign(statement(KEY_ADD, signer.public.id, key))).decode()
    facet = TracecoreKeyRunFacet(signer.public.id, key.id, key.pem, signature)
    with writer.database.write() as connection:
        writer.append_fact(connection, KEY_ADD, datetime.now(UTC), facets={"tracecore_key": facet})
    return True


def finish_joining(writer: RecordWriter) -> None:
    """Activate this host's waiting key if the ledger names it; else do nothing."""
    waiting = writer.keys.joining()
    if waiting is None:
        return
    with writer.database.read() as connection:
        if waiting.id in {key.id for key in ledger_keys(connection, writer.ledger)}:
            writer.keys.activate(waiting.id)


def rotate_key(writer: RecordWriter) -> PublicKey:
    """Create a new signing key, record it in the ledger, and return it; the old public key stays valid for what it signed.

    The key is on disk before it is recorded, and becomes active only after its event is durable.
    """
    with writer.keys.changing():
        return _rotate(writer)


def _rotate(writer: RecordWriter) -> PublicKey:
    from tracecore_lineage.model.facets import TracecoreKeyRunFacet

    ring = writer.keys
    ring.refuse_joining()
    old, signer = ring.active_id(), None
    if old is not None:
        try:
            signer = ring.private()
        except UsageError:  # the old private key is lost: the event has no signature for the new one
            signer = None
    key = PrivateKey.generate()
    ring.add(key)
    signature = base64.b64encode(signer.sign(statement(KEY_ROTATE, signer.public.id, key.public))).decode() if signer else None
    facet = TracecoreKeyRunFacet(old, key.public.id, key.public.pem, signature)
    events = writer.events.fact(KEY_ROTATE, writer.new_run_id(), {"tracecore_key": facet}, datetime.now(UTC))
    with writer.database.write() as connection:
        writer.append(connection, events, key=signer or key)
    ring.activate(key.public.id)
    return key.public


def finish(writer: RecordWriter) -> str | None:
    """Complete a rotation that a crash interrupted; return the id of the activated key, or None if there was none."""
    if _unfinished(writer) is None:
        return None
    with writer.keys.changing():  # waits for a rotation in progress
        last = _unfinished(writer)
        if last is not None:
            writer.keys.activate(last)
        return last


def _unfinished(writer: RecordWriter) -> str | None:
    """Return the id of the last rotated-to key whose file is here; None if that key is active."""
    query = (
        select(FACETS.c.value)
        .join(RUN_EVENTS, RUN_EVENTS.c.event_id == FACETS.c.event_id)
        .where(
            FACETS.c.name == "tracecore_key",
            RUN_EVENTS.c.event_type == "COMPLETE",
            recorded_by(writer.ledger),
            RUN_EVENTS.c.job_name == f"tracecore.{KEY_ROTATE}",
        )
        .order_by(FACETS.c.seq.desc())
    )
    kept = {key.id for key in writer.keys.public_keys()}
    with writer.database.read() as connection:
        named = [str(json.loads(facet).get("new")) for facet in connection.execute(query).scalars()]
    last = next((key for key in named if key in kept), None)  # only rotations on this host
    return last if last != writer.keys.active_id() else None
