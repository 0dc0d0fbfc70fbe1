"""Changing the signing key: an event of the ledger, so that who trusts the old key can follow to the new one."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import select

from tracecore.errors import UsageProblem
from tracecore_lineage.sealing.keys import PrivateKey, PublicKey
from tracecore_lineage.tables import FACETS, RUN_EVENTS, recorded_by
from tracecore_schemas.canonical import jcs

if TYPE_CHECKING:
    from tracecore_lineage.recorder import RecordWriter

__all__ = ["finish", "rotate", "statement"]


def statement(old: str, new: PublicKey) -> bytes:
    """Give what the old key signs: that the new one follows it."""
    return jcs({"v": 1, "type": "tracecore.key_rotate", "old": old, "new": new.id, "public_key": new.pem})


def rotate(writer: RecordWriter) -> PublicKey:
    """Make a new signing key and record the change; the old public key stays, and what it signed keeps verifying.

    A key that the record names is on disk before; the new one signs only after its event is durable.

    Returns:
        The new key.
    """
    with writer.keys.changing():
        return _rotate(writer)


def _rotate(writer: RecordWriter) -> PublicKey:
    from tracecore_lineage.facets import TracecoreKeyRunFacet

    ring = writer.keys
    old, signer = ring.active_id(), None
    if old is not None:
        try:
            signer = ring.private()
        except UsageProblem:  # the old private key is lost: the new one can't be vouched for, and the event says so by its missing signature
            signer = None
    key = PrivateKey.generate()
    ring.add(key)
    signature = base64.b64encode(signer.sign(statement(signer.public.id, key.public))).decode() if signer else None
    facet = TracecoreKeyRunFacet(old, key.public.id, key.public.pem, signature)
    events = writer.events.fact("key_rotate", writer.new_run_id(), {"tracecore_key": facet}, datetime.now(UTC))
    writer.append_signed(events, signer or key)
    ring.activate(key.public.id)
    return key.public


def finish(writer: RecordWriter) -> str | None:
    """Make the last key that the ledger names the one that signs, where a crash came between its event and that.

    Returns:
        The id of the key that now signs; None where nothing was to be done.
    """
    if _unfinished(writer) is None:
        return None
    with writer.keys.changing():  # whoever is in the middle of it finishes it
        last = _unfinished(writer)
        if last is not None:
            writer.keys.activate(last)
        return last


def _unfinished(writer: RecordWriter) -> str | None:
    """Give the last key that the ledger names, where it is kept here and doesn't sign."""
    query = (
        select(FACETS.c.value)
        .join(RUN_EVENTS, RUN_EVENTS.c.event_id == FACETS.c.event_id)
        .where(
            FACETS.c.name == "tracecore_key",
            RUN_EVENTS.c.event_type == "COMPLETE",
            recorded_by(writer.ledger),
            RUN_EVENTS.c.job_name == "tracecore.key_rotate",
        )
        .order_by(FACETS.c.seq.desc())
        .limit(1)
    )
    with writer.database.read() as connection:
        told = connection.execute(query).scalar_one_or_none()
    last = None if told is None else str(json.loads(told).get("new"))
    kept = last is not None and last in {key.id for key in writer.keys.public_keys()}
    return last if kept and last != writer.keys.active_id() else None
