"""`verify`: the whole workspace or one build, recomputed from bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection

from tracecore.errors import UsageProblem
from tracecore.store import LocalStore
from tracecore_lineage import ledger, replay
from tracecore_lineage.checkpoint import Checkpoint, CheckpointError, origin_of, parse
from tracecore_lineage.keys import PublicKey
from tracecore_lineage.queries.named import read_ref
from tracecore_lineage.queries.prefix import head
from tracecore_lineage.queries.question import trace
from tracecore_lineage.queries.reader import Reader
from tracecore_lineage.queries.subjects import locate
from tracecore_lineage.stored import stored_artifacts
from tracecore_lineage.verification.content import check_content
from tracecore_lineage.verification.findings import Findings, Verdict
from tracecore_lineage.verification.history import read_history
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
        bound, refs = (None, None) if ref is None else _extent(connection, ref)
        _check_record(connection, record, findings, bound, pinned, kept)
        artifacts = stored_artifacts(connection, record.namespace, refs=refs, bound=bound)
    check_content(LocalStore(record.workspace), artifacts, findings, progress)
    return findings.verdict(pinned=pinned is not None)


def _read_checkpoint(path: Path) -> Checkpoint:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageProblem(f"The checkpoint {path} can't be read: {(error.strerror or str(error)).lower()}.") from None
    except (CheckpointError, UnicodeDecodeError) as error:
        raise UsageProblem(f"{path} is no checkpoint as 'tracecore checkpoint' writes it: {error}") from None


def _extent(connection: Connection, ref: str) -> tuple[int, set[str]]:
    """Give how far the ledger matters to a ref, and the versions that its trace stands on."""
    reader = Reader(connection, head(connection))
    start = locate(reader, read_ref(reader, ref))
    return start.prefix.bound, {node["ref"] for node in trace(connection, ref)["nodes"]}


def _check_record(
    connection: Connection, record: RecordWriter, findings: Findings, bound: int | None, pinned: PublicKey | None, kept: Checkpoint | None
) -> None:
    """Compare ledger, catalog, seals and checkpoints with one another, all of them recomputed from the events' bytes."""
    history = read_history(connection, record.namespace, findings, bound=bound, positions=() if kept is None else {kept.size})
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
    for difference in replay.compare(connection, record.namespace, stop=bound):
        what = f"catalog row {difference.what}" + (f": {difference.column}" if difference.column else "")
        findings.fail(difference.row, what, difference.expected or "what the ledger's events say", difference.found or "nothing such")
