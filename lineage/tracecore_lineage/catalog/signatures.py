"""Key policies, signing keys and cosignatures, read from the catalog's facets of the workspace's own runs."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from sqlalchemy import Connection, Row, select

from tracecore.errors import UsageError
from tracecore_lineage.crypto.envelope import Opened, open_envelope
from tracecore_lineage.crypto.keys import PublicKey
from tracecore_lineage.crypto.notes import CheckpointError, canonical_base64
from tracecore_lineage.crypto.policy import FacetEvent, Policies, SealSignatures, signatures_of
from tracecore_lineage.events.artifacts import bare
from tracecore_lineage.ledger.sql_tables import BUILDS, FACETS, RUN_EVENTS, recorded_by
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_schemas.build import SealedBuild

__all__ = ["COSIGN", "POLICY", "cosignatures", "home", "ledger_keys", "policies", "read_seal", "seal_signatures", "signed_envelope"]

POLICY = "key_policy"
COSIGN = "cosign"
"""Verbs: the jobs are `tracecore.<verb>`, the facets `tracecore_<verb>`."""


def policies(connection: Connection, ledger: LedgerName, vouching: Sequence[PublicKey]) -> Policies:
    """Return the verified key policies (which keys sign builds, how many must) of a workspace's ledger; `vouching` are keys trusted for it."""
    return Policies.read(_facets_of_job(connection, ledger, POLICY), ledger.origin, vouching)


_OF_KEYS = ("tracecore.init", "tracecore.key_rotate", "tracecore.key_add")
"""Jobs whose runs add a signing key of the ledger."""


def ledger_keys(connection: Connection, ledger: LedgerName) -> list[PublicKey]:
    """Return every signing key that the events in a workspace's ledger name, in ledger order; rows with a damaged key are skipped."""
    query = (
        select(FACETS.c.value)
        .join(RUN_EVENTS, RUN_EVENTS.c.event_id == FACETS.c.event_id)
        .where(RUN_EVENTS.c.job_name.in_(_OF_KEYS), FACETS.c.name.in_(("tracecore_ledger", "tracecore_key")), recorded_by(ledger))
        .where(RUN_EVENTS.c.event_type == "COMPLETE")
        .order_by(FACETS.c.seq)
    )
    found: dict[str, PublicKey] = {}
    for value in connection.execute(query).scalars():
        with suppress(UsageError, ValueError, KeyError, TypeError, AttributeError):  # `verify` reports damaged rows
            key = PublicKey.from_pem(json.loads(value)["public_key"].encode(), "a key in the ledger")
            found.setdefault(key.id, key)
    return list(found.values())


def cosignatures(connection: Connection, ledger: LedgerName) -> list[FacetEvent]:
    """Return every recorded cosignature (signature added to a sealed build), in ledger order and unverified."""
    return list(_facets_of_job(connection, ledger, COSIGN))


def home(connection: Connection, ref: str) -> LedgerName:
    """Return the name of the ledger in which a build was sealed; a name with empty parts if the build is not in the record."""
    query = (
        select(RUN_EVENTS.c.job_namespace, RUN_EVENTS.c.producer)
        .join(BUILDS, BUILDS.c.event_id == RUN_EVENTS.c.event_id)
        .where(BUILDS.c.ref == ref)
        .order_by(BUILDS.c.seq)
        .limit(1)
    )
    row = connection.execute(query).one_or_none()
    return LedgerName("", "") if row is None else LedgerName.of_producer(row.job_namespace, row.producer)


def read_seal(row: Row[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (DSSE envelope, in-toto statement in it) of a row of `catalog_build`, both unverified. Raises UsageError if the seal is not valid."""
    envelope = json.loads(row.envelope)
    try:
        return envelope, json.loads(open_envelope(envelope).payload)
    except ValueError as error:  # EnvelopeError is one
        raise UsageError(f"The seal of build/{row.name} can't be read: {error} 'tracecore verify' says what else is wrong.") from None


def seal_signatures(connection: Connection, ref: str, believed: Sequence[PublicKey]) -> SealSignatures:
    """Return a sealed build's valid signatures, with the key policy at its sealing; `believed` are keys trusted to sign the seal itself.

    Raises EnvelopeError if the seal can't be read.
    """
    row = connection.execute(select(BUILDS.c.seq, BUILDS.c.envelope).where(BUILDS.c.ref == ref).order_by(BUILDS.c.seq).limit(1)).one()
    opened = open_envelope(json.loads(row.envelope))
    ledger = home(connection, ref)
    return signatures_of(ref, row.seq, opened, cosignatures(connection, ledger), policies(connection, ledger, believed), believed)


def signed_envelope(connection: Connection, sealed: SealedBuild) -> dict[str, Any]:
    """Return a build's DSSE envelope with the signatures of all valid cosignatures added, for tools that count signatures."""
    opened = open_envelope(sealed.envelope)
    signatures = {key: {"keyid": key, "sig": base64.b64encode(signature).decode()} for key, signature in opened.signatures}
    for event in cosignatures(connection, home(connection, sealed.ref)):
        if event.facet.get("build") == sealed.ref:
            try:
                key = PublicKey.from_pem(str(event.facet.get("public_key")).encode(), "the event")
                signature = canonical_base64(str(event.facet.get("signature")))
            except (UsageError, CheckpointError):
                continue  # `verify` reports it
            if Opened(opened.payload, opened.payload_type, ((key.id, signature),)).signed_by([key]) is not None:
                signatures.setdefault(key.id, {"keyid": key.id, "sig": str(event.facet["signature"])})
    return {**sealed.envelope, "signatures": list(signatures.values())}


def _facets_of_job(connection: Connection, ledger: LedgerName, verb: str) -> Iterator[FacetEvent]:
    """Yield the facet `tracecore_<verb>` and the position of each COMPLETE of a ledger's job `tracecore.<verb>`, in ledger order."""
    query = (
        select(FACETS.c.seq, FACETS.c.value)
        .join(RUN_EVENTS, RUN_EVENTS.c.event_id == FACETS.c.event_id)
        .where(
            FACETS.c.name == f"tracecore_{verb}",
            FACETS.c.subject.startswith("run:"),
            RUN_EVENTS.c.event_type == "COMPLETE",
            recorded_by(ledger),
            RUN_EVENTS.c.job_name == f"tracecore.{verb}",
        )
        .order_by(FACETS.c.seq)
    )
    for row in connection.execute(query):
        yield FacetEvent(row.seq, bare(json.loads(row.value)))
