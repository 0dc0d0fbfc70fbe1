"""Keys trusted by a verification, and whether enough of them signed each build."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tracecore.errors import UsageError
from tracecore_lineage.crypto.envelope import EnvelopeError, open_envelope
from tracecore_lineage.crypto.keys import PublicKey, short_id
from tracecore_lineage.crypto.notes import Checkpoint
from tracecore_lineage.crypto.policy import Policies, raw_signers, short, signatures_of
from tracecore_lineage.model.findings import Findings
from tracecore_lineage.seal.key_events import KEY_ROTATE, key_statement
from tracecore_lineage.verify.history import History, KeyChange, SealEvent

__all__ = ["Pins", "Trust", "check_active", "check_cosignatures", "check_policies", "check_signatures", "read_file", "read_key", "read_pins", "trust"]


@dataclass(frozen=True, slots=True)
class Pins:
    """Public keys pinned by the caller; `threshold` of them must have signed each build."""

    keys: tuple[PublicKey, ...]
    threshold: int


@dataclass(frozen=True, slots=True)
class Trust:
    """Trusted keys; `families` are, for each pinned key, the ids of the keys linked to it by rotations, its own included."""

    keys: tuple[PublicKey, ...]
    pins: Pins | None
    families: tuple[frozenset[str], ...] = ()

    @property
    def expected(self) -> str:
        """Description, for failure messages, of the signatures that these trusted keys accept."""
        if self.pins is not None:
            names = ", ".join(short_id(key.id) for key in self.pins.keys)
            return f"a signature by the pinned key {names}" if len(self.pins.keys) == 1 else f"a signature by one of the pinned keys {names}"
        return "a signature by a key of this workspace" if self.keys else "a public key in the workspace's keys folder"

    def counted(self, signed: Iterable[PublicKey]) -> int:
        """Return how many pinned keys signed. A key that rotations link to a pinned key signs for it, but for only one pinned key."""
        if self.pins is None:
            return 0
        own = [key.id for key in self.pins.keys]
        left = dict(zip(own, self.families, strict=True))
        ids = [key.id for key in signed]
        others = [identity for identity in ids if left.pop(identity, None) is None]  # pinned keys first, then keys of their families
        for identity in others:
            found = next((pin for pin, family in left.items() if identity in family), None)
            if found is not None:
                del left[found]
        return len(own) - len(left)


def read_file(path: Path, what: str) -> bytes:
    """Return a file's bytes; raise UsageError, naming the file as `what`, if it can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"The {what} {path} can't be read: {(error.strerror or str(error)).lower()}.") from None


def read_key(path: Path) -> PublicKey:
    """Return the public key in a file; raise UsageError if it can't be read or is not an Ed25519 public key in PEM."""
    return PublicKey.from_pem(read_file(path, "public key"), str(path))


def read_pins(files: Path | str | Sequence[Path | str] | None, threshold: int | None) -> Pins | None:
    """Return the public keys in `files` as pins, None without files; `threshold` of them must have signed each build, all if it is None.

    Raises UsageError if a key can't be read or is given twice, or the threshold can't be met.
    """
    keys = [read_key(Path(file)) for file in ([] if files is None else [files] if isinstance(files, (str, Path)) else files)]
    if not keys:
        if threshold is not None:
            raise UsageError("A threshold says how many of the pinned keys must have signed: add --key PUB for each of them.")
        return None
    if len({key.id for key in keys}) < len(keys):
        raise UsageError("A key is pinned twice: each counts once, so leave one out.")
    needed = len(keys) if threshold is None else threshold
    if not 1 <= needed <= len(keys):
        raise UsageError(f"A threshold of {needed} can't be met by {len(keys)} pinned key{'' if len(keys) == 1 else 's'}: expected 1 to {len(keys)}.")
    return Pins(tuple(keys), needed)


def trust(kept: Iterable[PublicKey], pins: Pins | None, history: History, head: Checkpoint | None) -> Trust:
    """Return the keys that a verification trusts; `kept` are the public key files of the workspace or the keys of a bundle, `head` the checkpoint.

    Without pins all known keys are trusted. With pins: the pinned keys, and each key that a trusted key signed as successor or addition. Keys before
    a pinned key are trusted only if it, or a successor, signed `head`, whose root must follow from the events. If enough pinned keys signed a build,
    the key that its statement names as its sealer is trusted too, with its successors.
    """
    known = _known(kept, history)
    if pins is None:
        return Trust(tuple(known.values()), None)
    families = [{key.id: key} for key in pins.keys]
    for family in families:
        _grow(family, history.key_changes, _successor)
    root = history.roots.get(head.size) if head is not None else None
    for family in families:
        if head is not None and head.root == root and head.signed_by(family.values()) is not None:
            _grow(family, history.key_changes, lambda change, keys: known.get(change.old or "") if change.new in keys else None)
    believed = {identity: key for family in families for identity, key in family.items()}
    pinned = Trust(tuple(believed.values()), pins, tuple(frozenset(family) for family in families))
    vouched = {key.id: key for seal in history.seals if (key := _sealer(seal, history, pinned, known)) is not None}
    _grow(vouched, history.key_changes, _successor)
    return replace(pinned, keys=tuple({**believed, **vouched}.values()))


def check_active(folder: Path, history: History, findings: Findings) -> None:
    """Report an active key (the one that signs) in `folder` that is not the last of its line, and missing public key files of that line.

    Keys form lines: the ledger's first key and its successors, for each further host its first key and its successors, and a new line after the loss
    of all keys. A host keeps the keys of its own line, and signs with the last.
    """
    lines: dict[str, list[str]] = {}
    for change in history.key_changes:
        line = next((line for line in lines.values() if change.old in line), None)
        if change.verb == KEY_ROTATE and line is not None:
            line.append(change.new)
        else:
            lines[change.new] = [change.new]
    if not lines or (not (folder / "active").exists() and (folder / "joining").exists()):
        return  # a further host whose key is not recorded yet has no active key
    active = folder / "active"
    found = active.read_bytes() if active.is_file() else b""
    own = next((line for line in lines.values() if found == f"{line[-1]}\n".encode()), None)
    if own is None:
        shown = repr(found[:80])[2:-1].removesuffix("\\n") or "none"
        last = " or ".join(line[-1] for line in lines.values())
        findings.fail("keys/active", "the key that signs", f"{last}, the last that the ledger names", shown)
        own = next((line for line in lines.values() if shown in line), next(iter(lines.values())))
    for identity in own:
        if not (folder / f"{identity.replace(':', '-')}.pub").is_file():
            findings.fail(f"keys/{identity.replace(':', '-')}.pub", "a public key that the ledger names", "its file", "none")


def _known(kept: Iterable[PublicKey], history: History) -> dict[str, PublicKey]:
    """Return {id: key} for the keys in `kept` and for the valid keys named by key changes in the ledger."""
    known = {key.id: key for key in kept}
    for change in history.key_changes:
        try:
            key = PublicKey.from_pem(change.public_key.encode(), "a key change in the ledger")
        except (UsageError, AttributeError):
            continue
        if key.id == change.new:
            known.setdefault(key.id, key)
    return known


def _sealer(seal: SealEvent, history: History, trust: Trust, known: Mapping[str, PublicKey]) -> PublicKey | None:
    """Return the key that a build's signed statement names as its sealer, if it is known and enough pinned keys signed; else None."""
    try:
        opened = open_envelope(json.loads(seal.build["envelope"]))
        named: Any = json.loads(opened.payload)["predicate"]["key"]
    except (EnvelopeError, ValueError, KeyError, TypeError):
        return None  # reported by `check_seal`
    signed = raw_signers(str(seal.build["ref"]), opened, history.cosignatures, trust.keys)
    enough = trust.pins is not None and trust.counted(signed) >= trust.pins.threshold
    return known.get(named) if isinstance(named, str) and enough else None


def _grow(keys: dict[str, PublicKey], changes: Sequence[KeyChange], step: Callable[[KeyChange, dict[str, PublicKey]], PublicKey | None]) -> None:
    """Add to `keys` ({id: key}), in place, every key that `step` returns for a key change and the keys so far, until none is new."""
    grown = True
    while grown:
        grown = False
        for change in changes:
            found = step(change, keys)
            if found is not None and found.id not in keys:
                keys[found.id] = found
                grown = True


def _successor(change: KeyChange, keys: dict[str, PublicKey]) -> PublicKey | None:
    """Return the new key of a key change if the old key is in `keys` and its signature over the new one is valid; else None."""
    old = keys.get(change.old or "")
    if old is None or change.signature is None:
        return None
    try:
        new = PublicKey.from_pem(change.public_key.encode(), "a key change in the ledger")
        signature = base64.b64decode(change.signature, validate=True)
    except (UsageError, ValueError):
        return None
    return new if new.id == change.new and old.verifies(signature, key_statement(change.verb, old.id, new)) else None


def check_policies(history: History, origin: str, trust: Trust, bound: int | None, findings: Findings) -> Policies:
    """Return the key policies (signers, and how many must sign builds) in the ledger; report invalid ones before `bound` (None: all)."""
    policies = Policies.read(history.policies, origin, trust.keys)
    for seq, expected, found in policies.problems:
        if bound is None or seq < bound:
            findings.fail(f"event/{seq}", "key policy", expected, found)
    return policies


def check_cosignatures(history: History, findings: Findings) -> None:
    """Report cosignatures (further signatures) of builds not sealed in this ledger; `check_signatures` verifies those of sealed ones."""
    sealed = {seal.build["ref"] for seal in history.seals}
    for event in history.cosignatures:
        build = event.facet.get("build")
        if not isinstance(build, str) or build not in sealed:  # the value may be of any JSON type, even unhashable
            findings.fail(f"event/{event.seq}", "cosignature", "one of a build that the ledger seals", build)


def check_signatures(seal: SealEvent, history: History, policies: Policies, trust: Trust, findings: Findings) -> None:
    """Report invalid cosignatures (further signatures) of a build, and too few signatures for its key policy or for the pinned keys."""
    where, ref = seal.where, str(seal.build["ref"])
    try:
        opened = open_envelope(json.loads(seal.build["envelope"]))
    except (EnvelopeError, ValueError):
        return  # reported by `check_seal`
    found = signatures_of(ref, seal.seq, opened, history.cosignatures, policies, trust.keys)
    findings.checked["signatures"] += sum(event.facet.get("build") == ref for event in history.cosignatures)
    for seq, expected, given in found.problems:
        findings.fail(where, f"cosignature at event/{seq}", expected, given)
    if found.policy is not None and not found.enough:
        named = f"signatures by {found.policy.words()} keys of the policy{short(found.policy.signers)}"
        findings.fail(where, str(found.words()), named, f"{len(found.counted)}{short(found.counted)}")
    if trust.pins is None or (len(trust.pins.keys) == 1 and opened.signed_by(trust.keys) is None):
        return  # `check_seal` reports the missing signature of a single pinned key
    tied = {identity for family in trust.families for identity in family}
    signed = raw_signers(ref, opened, history.cosignatures, [key for key in trust.keys if key.id in tied])
    counted = trust.counted(signed)
    if counted < trust.pins.threshold:
        of = f"{trust.pins.threshold} of {len(trust.pins.keys)}"
        findings.fail(
            where, f"signatures: {of} pinned keys required, {counted} found", f"signatures by {of} pinned keys", f"{counted}{short(signed)}"
        )
