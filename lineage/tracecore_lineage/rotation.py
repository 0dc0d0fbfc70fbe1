"""Changing the signing key: an event of the ledger, so that who trusts the old key can follow to the new one."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tracecore.errors import UsageProblem
from tracecore_lineage.keys import PrivateKey, PublicKey
from tracecore_schemas.canonical import jcs

if TYPE_CHECKING:
    from tracecore_lineage.recorder import RecordWriter

__all__ = ["rotate", "statement"]


def statement(old: str, new: PublicKey) -> bytes:
    """Give what the old key signs: that the new one follows it."""
    return jcs({"v": 1, "type": "tracecore.key_rotate", "old": old, "new": new.id, "public_key": new.pem})


def rotate(writer: RecordWriter) -> PublicKey:
    """Make a new signing key and record the change; the old public key stays, and what it signed keeps verifying.

    A key that the record names is on disk before; the new one signs only after its event is durable.

    Returns:
        The new key.
    """
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
