"""`verify`: the whole workspace or one build, recomputed from bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, create_engine, insert
from sqlmodel import SQLModel

from tracecore.errors import UsageProblem
from tracecore.store import open_store
from tracecore_lineage import catalog, ledger, replay
from tracecore_lineage.checkpoint import Checkpoint, CheckpointError, origin_of, parse
from tracecore_lineage.keys import PublicKey
from tracecore_lineage.projection import project
from tracecore_lineage.queries.named import find_build, read_ref
from tracecore_lineage.queries.prefix import head
from tracecore_lineage.queries.question import trace
from tracecore_lineage.queries.reader import Reader
from tracecore_lineage.reading import BadEvent
from tracecore_lineage.stored import stored_artifacts
from tracecore_lineage.tables import EVENTS, HEAD
from tracecore_lineage.verification.content import check_content
from tracecore_lineage.verification.findings import Findings, Verdict
from tracecore_lineage.verification.history import History, read_history
from tracecore_lineage.verification.seals import check_head, check_kept_checkpoint, check_seal, parsed_head
from tracecore_lineage.verification.trust import read_key, trust

if TYPE_CHECKING:
    from tracecore_lineage.recorder import RecordWriter

__all__ = ["verify"]

Progress = Callable[[int, int, str], None]


def verify(
    record: RecordWriter,
    ref: str | None = None,
    *,
    key: Path | str | None = None,
    checkpoint: Path | str | None = None,
    progress: Progress | None = None,
) -> Verdict:
    """Recompute a build, or everything, and name what is not as recorded.

    Args:
        record: the workspace's.
        ref: what to verify: its trace's bytes, and the ledger as far as the trace stands on it; everything without it.
        key: file of the public key that the caller trusts; without it the workspace's own are taken, and the answer says `unpinned`.
        checkpoint: file of a signed checkpoint kept elsewhere, which the ledger must extend.
        progress: told how many stored versions are done, of how many, and which was last.

    Raises:
        UsageProblem: an unknown ref, or a key or checkpoint file that can't be read.
    """
    pinned = None if key is None else read_key(Path(key))
    kept = None if checkpoint is None else _read_checkpoint(Path(checkpoint))
    findings = Findings()
    with record.database.read() as connection:
        history = read_history(connection, record.namespace, positions=() if kept is None else {kept.size})
        bound = None if ref is None else _bound(connection, ref, history)
        history.tell(findings, bound)
        _check_seals(connection, record, findings, history, bound, pinned, kept)
        agrees = _check_catalog(connection, record.namespace, findings, bound)
        with _believable(connection, record.namespace, agrees=agrees) as believed:
            refs = None if ref is None else {node["ref"] for node in trace(believed, ref)["nodes"]}
            artifacts = stored_artifacts(believed, record.namespace, refs=refs, bound=bound)
    check_content(open_store(record.workspace), artifacts, findings, progress)
    return findings.verdict(pinned=pinned is not None)


def _read_checkpoint(path: Path) -> Checkpoint:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageProblem(f"The checkpoint {path} can't be read: {(error.strerror or str(error)).lower()}.") from None
    except (CheckpointError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{path} is no checkpoint as 'tracecore checkpoint' writes it: {error}") from None


def _bound(connection: Connection, text: str, history: History) -> int | None:
    """Give how far the ledger matters to a ref: for a build up to its own event, as the ledger says, not the catalog; else all of it."""
    ref = read_ref(Reader(connection, head(connection)), text)
    if ref.kind != "build":
        return None
    sealed = [seal for seal in history.seals if seal.build["name"] == ref.segments[0]]
    if not sealed:
        find_build(Reader(connection, head(connection)), ref)  # says what is there instead
    return sealed[0].seq + 1 if sealed else None


def _check_seals(
    connection: Connection,
    record: RecordWriter,
    findings: Findings,
    history: History,
    bound: int | None,
    pinned: PublicKey | None,
    kept: Checkpoint | None,
) -> None:
    """Compare seals, checkpoints and the ledger's head with the recomputed ledger."""
    stored = ledger.head(connection)
    believed = trust(record.keys, pinned, history, parsed_head(stored))
    origin = origin_of(record.namespace)
    if bound is None:
        check_head(stored, history, origin, believed, findings)
    if kept is not None:
        check_kept_checkpoint(kept, history, origin, believed, findings)
    names: set[str] = set()
    for seal in history.seals:
        if bound is None or seal.seq < bound:
            if seal.build["name"] in names:
                findings.fail(f"build/{seal.build['name']}", "name", "a name that is written once", f"sealed again at position {seal.seq}")
            names.add(seal.build["name"])
            check_seal(seal, history, record.namespace, believed, findings)


def _check_catalog(connection: Connection, namespace: str, findings: Findings, bound: int | None) -> bool:
    """Name every catalog row that is not what the ledger's events say; give whether all are."""
    agrees = True
    for difference in replay.compare(connection, namespace, stop=bound):
        agrees = False
        what = f"catalog row {difference.what}" + (f": {difference.column}" if difference.column else "")
        findings.fail(difference.row, what, difference.expected or "what the ledger's events say", difference.found or "nothing such")
    return agrees


@contextmanager
def _believable(connection: Connection, namespace: str, *, agrees: bool) -> Iterator[Connection]:
    """Give a catalog that says what the ledger says: the stored one where it agrees, else one made anew in memory."""
    if agrees:
        yield connection
        return
    engine = create_engine("sqlite://")
    with engine.connect() as made, made.begin():
        SQLModel.metadata.create_all(made)
        stored = ledger.head(connection)
        made.execute(insert(HEAD), {"id": 1, "size": stored.size, "root": stored.root.hex(), "frontier": "[]", "checkpoint": ""})
        for leaf in ledger.read(connection):
            row = {"seq": leaf.seq, "event_id": leaf.event_id, "recorded_at": leaf.recorded_at, "leaf_hash": leaf.leaf_hash, "body": b""}
            made.execute(insert(EVENTS), row)
            with suppress(BadEvent):  # named where the catalog was compared
                catalog.write(made, project(leaf.body, leaf.seq, namespace))
        yield made
    engine.dispose()
