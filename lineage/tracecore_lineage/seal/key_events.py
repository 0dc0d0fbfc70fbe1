"""Events about keys: rotation of the signing key, keys of further hosts, key policies and cosignatures; checked when written and by every reader."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, select

from tracecore.errors import UsageError, suggestion
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.catalog.signatures import COSIGN, POLICY, home, ledger_keys, policies, seal_signatures
from tracecore_lineage.crypto.envelope import IN_TOTO, Opened, open_envelope, seal_payload
from tracecore_lineage.crypto.keys import PrivateKey, PublicKey, short_id
from tracecore_lineage.crypto.notes import CheckpointError, canonical_base64
from tracecore_lineage.crypto.policy import POLICY_PAYLOAD, KeyPolicy, SealSignatures, refusal, short
from tracecore_lineage.ledger.sql_tables import FACETS, RUN_EVENTS, recorded_by
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.seal import seal
from tracecore_schemas.build import SealedBuild
from tracecore_schemas.canonical import jcs
from tracecore_schemas.kinds import ArtifactKind, Media
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.run import Artifact, RunInput

if TYPE_CHECKING:
    from tracecore_lineage.model.facets import TracecoreKeyRunFacet

__all__ = [
    "KEY_ADD",
    "KEY_ROTATE",
    "Cosigned",
    "add_key",
    "add_signature",
    "cosign",
    "draft_policy",
    "finish_joining",
    "finish_rotation",
    "key_statement",
    "policy_in_force",
    "rotate_key",
    "set_policy",
]

KEY_ROTATE = "key_rotate"
KEY_ADD = "key_add"
"""Verbs of the jobs that record a new key."""


def key_statement(verb: str, old: str, new: PublicKey) -> bytes:
    """Return the bytes signed by the key with id `old` to make `new` its successor (verb `key_rotate`) or an additional key (`key_add`)."""
    return jcs({"v": 1, "type": f"tracecore.{verb}", "old": old, "new": new.id, "public_key": new.pem})


def add_key(recorder: RecordWriter, key: PublicKey) -> bool:
    """Record another host's signing key in the ledger, signed by this host's active key; return False, recording nothing, if it is known."""
    with recorder.database.read() as connection:
        if key.id in {each.id for each in recorder.public_keys(connection)}:
            return False
    signer = recorder.keys.private()
    facet = _key_facet(KEY_ADD, signer.public.id, signer, key)
    with recorder.database.write() as connection:
        recorder.append_fact(connection, KEY_ADD, datetime.now(UTC), facets={"tracecore_key": facet})
    return True


def finish_joining(recorder: RecordWriter) -> None:
    """Activate this host's key that waits to be added by another host, if the ledger names it by now; else do nothing."""
    waiting = recorder.keys.joining()
    if waiting is None:
        return
    with recorder.database.read() as connection:
        if waiting.id in {key.id for key in ledger_keys(connection, recorder.ledger)}:
            recorder.keys.activate(waiting.id)


def rotate_key(recorder: RecordWriter) -> PublicKey:
    """Replace this host's signing key by a new one recorded in the ledger, and return its public key; signatures by the old key stay valid.

    The key is on disk before it is recorded, and becomes active only after its event is durable.
    """
    ring = recorder.keys
    with ring.changing():
        ring.refuse_joining()
        old, signer = ring.active_id(), None
        if old is not None:
            with suppress(UsageError):  # the old private key may be lost: then the event has no signature for the new one
                signer = ring.private()
        key = PrivateKey.generate()
        ring.add(key)
        facet = _key_facet(KEY_ROTATE, old, signer, key.public)
        events = recorder.events.fact(KEY_ROTATE, recorder.new_run_id(), {"tracecore_key": facet}, datetime.now(UTC))
        with recorder.database.write() as connection:
            recorder.append(connection, events, key=signer or key)
        ring.activate(key.public.id)
    return key.public


def _key_facet(verb: str, old: str | None, signer: PrivateKey | None, new: PublicKey) -> TracecoreKeyRunFacet:
    """Return the facet that records `new` as the key after the key with id `old` (None if there was none), signed by `signer` if it is given."""
    from tracecore_lineage.model.facets import TracecoreKeyRunFacet

    signature = base64.b64encode(signer.sign(key_statement(verb, signer.public.id, new))).decode() if signer else None
    return TracecoreKeyRunFacet(old, new.id, new.pem, signature)


def finish_rotation(recorder: RecordWriter) -> str | None:
    """Complete a key rotation that a crash interrupted; return the id of the key activated now, or None if nothing was to complete."""
    if _unfinished(recorder) is None:
        return None
    with recorder.keys.changing():  # waits for a rotation in progress
        last = _unfinished(recorder)
        if last is not None:
            recorder.keys.activate(last)
        return last


def _unfinished(recorder: RecordWriter) -> str | None:
    """Return the id of the newest key recorded by a rotation and stored on this host; None if there is none or it is active already."""
    query = (
        select(FACETS.c.value)
        .join(RUN_EVENTS, RUN_EVENTS.c.event_id == FACETS.c.event_id)
        .where(
            FACETS.c.name == "tracecore_key",
            RUN_EVENTS.c.event_type == "COMPLETE",
            recorded_by(recorder.ledger),
            RUN_EVENTS.c.job_name == f"tracecore.{KEY_ROTATE}",
        )
        .order_by(FACETS.c.seq.desc())
    )
    kept = {key.id for key in recorder.keys.public_keys()}
    with recorder.database.read() as connection:
        named = [str(json.loads(facet).get("new")) for facet in connection.execute(query).scalars()]
    last = next((key for key in named if key in kept), None)  # only rotations on this host
    return last if last != recorder.keys.active_id() else None


_NO_POLICY = "say first which keys sign builds ('tracecore key policy --threshold M --signer PUB …')"


@dataclass(frozen=True, slots=True)
class Cosigned:
    """Result of cosigning: the build's ref, ids of the keys that signed now, and all its signatures."""

    ref: str
    new: tuple[str, ...]
    signatures: SealSignatures


def policy_in_force(recorder: RecordWriter) -> KeyPolicy | None:
    """Return the key policy (signers of builds, and how many must sign) in force now; None without one."""
    with recorder.database.read() as connection:
        return policies(connection, recorder.ledger, recorder.public_keys(connection)).now


def draft_policy(recorder: RecordWriter, threshold: int, signers: Sequence[PublicKey]) -> KeyPolicy:
    """Return a new key policy with the policy in force as predecessor; UsageError for a signer given twice or too few for the threshold."""
    keys = sorted(signers, key=lambda key: key.id)
    twice = [key.id for key, other in pairwise(keys) if key.id == other.id]
    if twice:
        raise UsageError(f"The signer {short_id(twice[0])} is given twice: each key counts once.")
    if not 1 <= threshold <= len(keys):
        raise UsageError(f"A threshold of {threshold} can't be met by {len(keys)} signer{'' if len(keys) == 1 else 's'}: expected 1 to {len(keys)}.")
    before = policy_in_force(recorder)
    return KeyPolicy(recorder.ledger.origin, threshold, tuple(keys), None if before is None else before.digest)


def set_policy(recorder: RecordWriter, policy: KeyPolicy, signing: Sequence[PrivateKey] = (), envelopes: Sequence[Mapping[str, Any]] = ()) -> bool:
    """Record a key policy (signers and threshold); return True, or False if the policy in force has the same threshold and signers.

    `signing` are private keys of signers of the policy in force, `envelopes` the new policy's envelope as signed elsewhere. Raises UsageError if
    too few signers of the policy in force signed, or another policy came into force in the meantime.
    """
    from tracecore_lineage.model.facets import TracecoreKeyPolicyRunFacet, producer

    active = recorder.keys.private()

    def work(connection: Connection) -> bool:
        before = policies(connection, recorder.ledger, recorder.public_keys(connection)).now
        if before is not None and (before.threshold, before.signers) == (policy.threshold, policy.signers):
            return False
        known = () if before is None else before.signers
        _require_signers(signing, known, "the policy in force")
        envelope = seal_payload(policy.payload(), *{key.public.id: key for key in (active, *signing)}.values(), payload_type=POLICY_PAYLOAD)
        for given in envelopes:
            for key, signature in _foreign(given, policy.payload(), POLICY_PAYLOAD, [*known, active.public], "the policy"):
                _join(envelope, key, signature)
        wrong = refusal(policy, open_envelope(envelope), before, [active.public])
        if wrong is not None:
            raise UsageError(f"The policy can't be changed: expected {wrong[0]}, found {wrong[1]}. Add --sign PRIVATE.pem for each of its keys.")
        facet = TracecoreKeyPolicyRunFacet(
            policy.threshold, [{"id": key.id, "public_key": key.pem} for key in policy.signers], policy.previous, envelope, producer=producer()
        )
        recorder.append_fact(connection, POLICY, datetime.now(UTC), facets={f"tracecore_{POLICY}": facet})
        return True

    return recorder.commit(work)


def cosign(recorder: RecordWriter, name: str, signing: Sequence[PrivateKey] = (), envelopes: Sequence[Mapping[str, Any]] = ()) -> Cosigned:
    """Record further signatures of a sealed build; return its ref, the keys that signed now, and all signatures. Earlier signers are skipped.

    `signing` are private keys of signers, `envelopes` the build's envelope as signed elsewhere. Raises UsageError if there is no such build or no
    policy, if a key isn't a signer, or if an envelope has another payload.
    """

    def work(connection: Connection) -> Cosigned:
        build = _build(connection, name, recorder.ledger)
        believed = recorder.public_keys(connection)
        before = seal_signatures(connection, build.ref, believed)
        now = policies(connection, recorder.ledger, believed).now
        allowed = {key.id: key for policy in (before.policy, now) if policy is not None for key in policy.signers}
        if not allowed:
            raise UsageError(f"build/{name} can't be cosigned: no key policy is in force; {_NO_POLICY}.")
        _require_signers(signing, allowed.values(), "the policy")
        opened = open_envelope(build.envelope)
        own = {(key, signature) for key, signature in opened.signatures}
        given = [(key.public, _signature(opened.payload, key)) for key in signing]
        for envelope in envelopes:
            given += _foreign(envelope, opened.payload, IN_TOTO, list(allowed.values()), f"build/{name}", own)
        new = {key.id: (key, signature) for key, signature in given if key.id not in {each.id for each in before.signed}}
        for key, signature in new.values():
            _append(recorder, connection, build, key, signature)
        return Cosigned(build.ref, tuple(new), seal_signatures(connection, build.ref, believed))

    return recorder.commit(work)


def add_signature(envelope: Mapping[str, Any], signing: Sequence[PrivateKey]) -> dict[str, Any]:
    """Return a copy of an envelope with signatures by the keys `signing` added; raise EnvelopeError if it is not a canonical DSSE envelope."""
    opened = open_envelope(envelope)
    signed = {"payload": envelope["payload"], "payloadType": envelope["payloadType"], "signatures": list(envelope["signatures"])}
    for key in signing:
        _join(signed, key.public, _signature(opened.payload, key, opened.payload_type))
    return signed


def _append(recorder: RecordWriter, connection: Connection, build: SealedBuild, key: PublicKey, signature: bytes) -> None:
    """Append to the ledger the event that records a cosignature (a further signature) of a sealed build by `key`."""
    from tracecore_lineage.model.facets import TracecoreCosignRunFacet, producer

    facet = TracecoreCosignRunFacet(build.ref, key.id, key.pem, base64.b64encode(signature).decode(), producer=producer())
    digest = f"sha256:{parse_ref(build.ref).version}"
    run = build.statement["predicate"]["run"]
    about = RunInput("build", Artifact(ArtifactKind.BUILD, build.name, digest, Media.NONE), run)
    recorder.append_fact(connection, COSIGN, datetime.now(UTC), inputs=[about], facets={f"tracecore_{COSIGN}": facet})


def _build(connection: Connection, name: str, ledger_name: LedgerName) -> SealedBuild:
    """Return the build sealed under a name in this ledger. Raises UsageError if it is unknown or was sealed in another ledger."""
    found = seal.sealed_build(connection, name)
    if found is None:
        known = [build.name for build in seal.sealed_builds(connection)]
        raise UsageError(f"build/{name} is not in the record. {suggestion(name, known, none_known='No build was sealed yet.')}")
    sealed_in = home(connection, found.ref)
    if sealed_in != ledger_name:
        raise UsageError(f"build/{name} was sealed in the workspace '{sealed_in.slug}': cosign it there, and import it again.")
    return found


def _require_signers(signing: Iterable[PrivateKey], known: Iterable[PublicKey], whose: str) -> None:
    """Raise UsageError if the public key of one of `signing` is not in `known`; `whose` describes these for the message ("the policy")."""
    keys = list(known)
    for key in signing:
        if key.public.id not in {each.id for each in keys}:
            names = short(keys)
            raise UsageError(
                f"The key {short_id(key.public.id)} is not a signer of {whose}: " + (f"expected one of{names}." if names else "none is in force.")
            )


def _signature(payload: bytes, key: PrivateKey, payload_type: str = IN_TOTO) -> bytes:
    """Return the signature bytes that a private key makes for a DSSE envelope with this payload and payload type."""
    return base64.b64decode(seal_payload(payload, key, payload_type=payload_type)["signatures"][0]["sig"])


def _join(envelope: dict[str, Any], key: PublicKey, signature: bytes) -> None:
    """Add a signature by `key` to a DSSE envelope in place, unless the envelope has one by that key."""
    if all(each["keyid"] != key.id for each in envelope["signatures"]):
        envelope["signatures"].append({"keyid": key.id, "sig": base64.b64encode(signature).decode()})


def _foreign(
    envelope: Mapping[str, Any],
    payload: bytes,
    payload_type: str,
    allowed: Sequence[PublicKey],
    what: str,
    own: Iterable[tuple[str, bytes]] = (),
) -> list[tuple[PublicKey, bytes]]:
    """Return (signing key, signature) for each signature in an envelope signed elsewhere, except those in `own`; its key ids are ignored.

    Raises UsageError for an invalid envelope, another payload, or a signature by none of the `allowed` keys.
    """
    try:
        found = canonical_base64(envelope["payload"])
        signatures = [canonical_base64(each["sig"]) for each in envelope["signatures"]]
        kind = envelope["payloadType"]
    except (CheckpointError, KeyError, TypeError) as error:
        raise UsageError(f"The signed file is not a DSSE envelope with payload, payloadType and signatures in canonical base64: {error}") from None
    if found != payload or kind != payload_type:
        raise UsageError(f"The signed file contains something other than {what}: sign what this workspace exports.")
    known = {signature for _, signature in own}
    taken: list[tuple[PublicKey, bytes]] = []
    for signature in signatures:
        if signature in known:
            continue
        key = next((each for each in allowed if Opened(payload, payload_type, ((each.id, signature),)).signed_by([each]) is not None), None)
        if key is None:
            raise UsageError(f"The signed file holds a signature that no signer of the policy made: expected one of{short(allowed)}.")
        taken.append((key, signature))
    return taken
