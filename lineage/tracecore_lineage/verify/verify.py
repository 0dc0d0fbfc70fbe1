"""`verify`: recomputes a whole workspace, or one build, from stored bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, insert

from tracecore.errors import UsageError
from tracecore.store import open_store
from tracecore.workspace import Workspace, written
from tracecore_lineage.catalog import replay
from tracecore_lineage.catalog.delegation import Import, delegations_of
from tracecore_lineage.catalog.prefix import Prefix
from tracecore_lineage.catalog.projection import project
from tracecore_lineage.catalog.pseudonyms import check_names
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.catalog.stored_artifacts import stored_artifacts, stored_sources
from tracecore_lineage.crypto.keys import PrivateKey, readable_keys
from tracecore_lineage.crypto.notes import Checkpoint
from tracecore_lineage.crypto.notes import read as read_checkpoint
from tracecore_lineage.events.parse import BadEvent
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.sql_tables import EVENTS
from tracecore_lineage.model.findings import Findings, Progress, Verdict
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.trace.lineage import trace
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.resolve import find_build, read_ref
from tracecore_lineage.verify.bundle import check_imports
from tracecore_lineage.verify.content import check_content, check_sources, erased_on_purpose
from tracecore_lineage.verify.history import History, read_history
from tracecore_lineage.verify.seals import LedgerVerifier, check_attestations, read_attestations, stored_head
from tracecore_lineage.verify.trust import Pins, Trust, check_active, check_cosignatures, check_policies, check_signatures, read_pins, trust
from tracecore_schemas.refs import Ref, parse_ref
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["check_own_files", "verify"]

_CONFIG = "workspace.json"


def check_own_files(workspace: Workspace, head: Checkpoint | None, findings: Findings) -> None:
    """Report a `workspace.json` or key file that is not as tracecore writes it; `head` is the ledger's checkpoint, None if unreadable."""
    _check_config(workspace, head, findings)
    kept = list(readable_keys(workspace.keys))
    for path in sorted(workspace.keys.glob("*.pub")):
        key = next((key for key in kept if key.file_name == path.stem), None)
        _same_bytes(f"keys/{path.name}", "the public key whose id is its name", path, None if key is None else key.pem.encode(), findings)
    for path in sorted(workspace.keys.glob("*.pem")):
        _same_bytes(f"keys/{path.name}", "the private key whose id is its name", path, _private(path), findings)
    known = [f"{key.id}\n".encode() for key in kept]
    for name in ("active", "joining"):
        path = workspace.keys / name
        if path.is_file() and (found := path.read_bytes()) not in known:
            findings.fail(f"keys/{name}", "the key that signs", "the id of a key whose public part is kept here", _shown(found))


def _check_config(workspace: Workspace, head: Checkpoint | None, findings: Findings) -> None:
    data = (workspace.root / _CONFIG).read_bytes()
    try:
        expected = written(loads_strict(data))
    except (StrictJSONError, AttributeError) as error:
        findings.fail(_CONFIG, "what the workspace is", "JSON as 'tracecore init' writes it", error)
        return
    if data != expected:
        findings.fail(_CONFIG, "what the workspace is", _shown(expected), _shown(data))
    if head is not None:
        findings.equal(_CONFIG, "the workspace's name, which the ledger is signed under", head.origin, LedgerName.of(workspace).origin)


def _same_bytes(ref: str, what: str, path: Path, written: bytes | None, findings: Findings) -> None:
    """Report a key file whose bytes differ from `written` (expected bytes; None if the file has no readable key, or not the key it is named for)."""
    if written is None:
        findings.fail(ref, what, "an Ed25519 key in PEM form", "none that can be read, or another key")
    elif path.read_bytes() != written:
        findings.fail(ref, what, "the key in the one form in which it is written", "the same key in other bytes")


def _private(path: Path) -> bytes | None:
    try:
        key = PrivateKey.from_pem(path.read_bytes(), str(path))
    except (UsageError, OSError):
        return None
    return key.pem() if key.public.file_name == path.stem else None


def _shown(data: bytes) -> str:
    return repr(data[:200])[1:]


def verify(
    recorder: RecordWriter,
    ref: str | None = None,
    *,
    key: Path | str | Sequence[Path | str] | None = None,
    threshold: int | None = None,
    checkpoint: Path | str | None = None,
    attestations: Path | str | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Verify ledger, catalog and stored bytes; with `ref`, only the bytes in its trace and, for a build, only the ledger up to its seal or import.

    Returns the verdict. Arguments are those of `Record.verify`. Raises UsageError for an unknown ref or an unreadable file.
    """
    pinned = read_pins(key, threshold)
    kept = None if checkpoint is None else read_checkpoint(Path(checkpoint))
    attested = None if attestations is None else read_attestations(Path(attestations))
    if attested is not None and ref is None:
        raise UsageError("Attestations are about one build: name it.")
    findings = Findings()
    with recorder.database.read() as connection:
        history = read_history(connection, recorder.ledger, positions=() if kept is None else {kept.size})
        imports = [each for each in history.imports if each.importer == recorder.ledger]
        reader = Reader(connection, Prefix(history.size, history.size))  # as recomputed: the stored head may be damaged
        meant = None if ref is None else read_ref(reader, ref)
        build = meant if meant is not None and meant.kind == "build" else None
        brought = next((each for each in imports if build is not None and parse_ref(each.build).segments == build.segments), None)
        bound = brought.seq + 1 if brought is not None else None if build is None else _bound(reader, build, history)
        history.report(findings, bound)
        # A key pinned for an imported build did not sign this workspace's ledger.
        trusted = _check_seals(connection, recorder, findings, history, bound, pinned if brought is None else None, kept)
        if brought is not None:
            rewritten = check_imports(connection, [brought], pinned, findings)
        else:
            rewritten = check_imports(connection, (each for each in imports if bound is None or each.seq < bound), None, findings)
        check_names(connection, findings)
        agrees = _check_catalog(connection, recorder.ledger, findings, bound, history.imports) and _is_whole(connection, history)
        with _believable(connection, recorder.ledger, history, agrees=agrees) as believed:
            answer = None if ref is None else trace(believed, ref)
            refs = None if answer is None else {node["ref"] for node in answer["nodes"]}
            if attested is not None and answer is not None:
                check_attestations(attested, believed, answer, trusted, findings)
            artifacts = stored_artifacts(believed, refs=refs, bound=bound)
            runs = None if answer is None else {run["id"] for run in answer["runs"]}
            sources = stored_sources(believed, runs=runs, bound=bound)
            erased = replace(erased_on_purpose(believed, recorder.ledger, history, trusted, findings), brought=rewritten)
    store = open_store(recorder.workspace)
    check_content(store, artifacts, findings, progress, erased)
    check_sources(store, sources, findings)
    return findings.verdict(pinned=pinned is not None)


def _bound(reader: Reader, build: Ref, history: History) -> int | None:
    """Return the number of events up to and including a build's seal; None (all) if only the catalog has it. UsageError for an unknown build."""
    bound = next((seal.seq + 1 for seal in history.seals if seal.build["name"] == build.segments[0]), None)
    if bound is None:
        find_build(reader, build)
    return bound


def _check_seals(
    connection: Connection,
    recorder: RecordWriter,
    findings: Findings,
    history: History,
    bound: int | None,
    pinned: Pins | None,
    kept: Checkpoint | None,
) -> Trust:
    """Verify seals, policies and checkpoints, and, if `bound` is None, the head and the workspace's files and keys; return the trusted keys.

    `kept` is a checkpoint kept elsewhere, `bound` the number of events to verify.
    """
    stored = stored_head(connection)
    believed = trust(readable_keys(recorder.keys.folder), pinned, history, stored.note)
    verifier = LedgerVerifier(history, recorder.ledger, believed, findings)
    if bound is None:
        verifier.check_head(stored)
        check_own_files(recorder.workspace, stored.note, findings)
        check_active(recorder.keys.folder, history, findings)
        check_cosignatures(history, findings)
    if kept is not None:
        verifier.check_kept_checkpoint(kept)
    policies = check_policies(history, recorder.ledger.origin, believed, bound, findings)
    names: set[str] = set()
    for seal in history.seals:
        if bound is None or seal.seq < bound:
            if seal.build["name"] in names:
                findings.fail(seal.where, "name", "a name that is written once", f"sealed again at position {seal.seq}")
            names.add(seal.build["name"])
            verifier.check_seal(seal)
            if bound is None or seal.seq == bound - 1:  # signatures of earlier builds don't affect this one
                check_signatures(seal, history, policies, believed, findings)
    return believed


def _check_catalog(connection: Connection, ledger_name: LedgerName, findings: Findings, bound: int | None, imports: Sequence[Import]) -> bool:
    """Report every catalog row that differs from the ledger's first `bound` events (None: all); return whether all rows agree."""
    agrees = True
    for difference in replay.compare(connection, ledger_name, stop=bound, imports=imports):
        agrees = False
        what = f"catalog row {difference.what}" + (f": {difference.column}" if difference.column else "")
        findings.fail(difference.row, what, difference.expected or "what the ledger's events say", difference.found or "nothing such")
    return agrees


def _is_whole(connection: Connection, history: History) -> bool:
    """Whether the stored head of the ledger can be read and counts all events in `history`; every query starts from that head."""
    try:
        return ledger.head(connection).size == history.size
    except UsageError:
        return False


@contextmanager
def _believable(connection: Connection, ledger_name: LedgerName, history: History, *, agrees: bool) -> Iterator[Connection]:
    """Yield a connection to the stored catalog if it `agrees` with the ledger, else to an in-memory catalog replayed from the ledger."""
    if agrees:
        yield connection
        return
    written: set[str] = set()
    delegations, imported_at = delegations_of(history.imports, ledger_name), {each.seq for each in history.imports}
    with replay.in_memory_catalog(ledger_name, history.size, history.frontier.root().hex()) as catalog:
        for leaf in ledger.read(connection):
            # Only imports and the events that they brought in need their bytes, to trace an imported build.
            body = leaf.body if leaf.event_id in delegations or leaf.seq in imported_at else b""
            row = {"seq": leaf.seq, "event_id": leaf.event_id, "recorded_at": leaf.recorded_at, "leaf_hash": leaf.leaf_hash, "body": body}
            catalog.execute(insert(EVENTS), row)
            identity = ledger.event_id(leaf.body)
            if identity in written:
                continue  # the same event under another id: reported when the ledger was read
            written.add(identity)
            with suppress(BadEvent):  # reported when the catalog was compared
                replay.write(catalog, project(leaf.body, leaf.seq, ledger_name, delegations.get(leaf.event_id, ())))
        yield catalog
