"""`consent withdraw`: erases a drive's bytes in the whole workspace, leaves a signed tombstone, and lists every build that they reached."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection

from tracecore.errors import UsageError
from tracecore.store import open_store
from tracecore.system.failures import clear_disk_errors
from tracecore_lineage.catalog import pseudonyms
from tracecore_lineage.catalog.prefix import head, readable_catalog
from tracecore_lineage.catalog.recorder import RecordWriter
from tracecore_lineage.catalog.stored_artifacts import stored_artifacts
from tracecore_lineage.catalog.tombstones import tombstones
from tracecore_lineage.model import rfc3339
from tracecore_lineage.model.erasure import WITHDRAWAL, Erased, Erasure
from tracecore_lineage.retention.erasures import carry_out, promise
from tracecore_lineage.retention.inventory import Inventory, Subject, find_subject, read_inventory
from tracecore_lineage.retention.recover import exclusive_store, finish_promised
from tracecore_lineage.trace.reader import Reader
from tracecore_lineage.trace.walk import Walk, walk_forward
from tracecore_schemas.kinds import BUILT_IN_KINDS, kind_of
from tracecore_schemas.refs import Ref, parse_ref

__all__ = ["Withdrawal", "withdraw"]


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """Result of a withdrawal, or of its dry run.

    Attributes:
        erasure: None if there was nothing left to erase or forget.
        finished: run ids of earlier interrupted erasures that were completed now.
        reached: (ref, reason) of derived versions that are kept.
        vehicles: refs of vehicles in which a reached build was installed.
        outside: names of source files outside the workspace.
    """

    subject: Subject
    erasure: Erasure | None
    finished: tuple[str, ...]
    reached: tuple[tuple[str, str], ...]
    vehicles: tuple[str, ...]
    outside: tuple[str, ...]

    @property
    def kept(self) -> list[tuple[str, str]]:
        """(name, reason) of each thing that the withdrawal keeps: derived versions, the ledger, and source files outside the workspace."""
        kept = [*self.reached, ("the ledger", "digests, names and what events say of the drive: nothing in it is ever changed")]
        return [*kept, *([(", ".join(self.outside), "outside the workspace: where it was read from it still lies")] if self.outside else [])]

    def document(self, *, dry_run: bool) -> dict[str, Any]:
        """Return the withdrawal's result (its plan for a `dry_run`) as a JSON object: drives, people, erased versions, kept ones, and so on."""
        versions = () if self.erasure is None else self.erasure.versions
        return {
            "dry_run": dry_run,
            "run": None if self.erasure is None or dry_run else f"run/{self.erasure.run}",
            "drives": list(self.subject.drives),
            "people": [pseudonym for pseudonym, _ in self.subject.people],
            "erased": [{"ref": each.ref, "files": len(each.files), "bytes": each.size_bytes, "rows": each.rows} for each in versions],
            "bytes": sum(each.size_bytes for each in versions),
            "builds": [] if self.erasure is None else list(self.erasure.builds),
            "vehicles": list(self.vehicles),
            "artifacts": [each.ref for each in versions],
            "commits": [] if self.erasure is None else [each.path for each in self.erasure.commits],
            "kept": [{"what": what, "why": why} for what, why in self.kept],
            "finished": [f"run/{run}" for run in self.finished],
        }


def withdraw(recorder: RecordWriter, target: str, reason: str, *, dry_run: bool = False) -> Withdrawal:
    """Erase a drive, or all drives of a subject, from the whole workspace, and record the erasure; `dry_run` only plans it.

    Args:
        target: a drive, a value in drives' metadata (driver, vehicle), or a person.
        reason: kept in the record permanently, so it should not name a person.

    Raises:
        UsageError: unknown target (names the nearest match), or an empty reason.
        NegativeVerdict: a run is live, or the catalog differs from the ledger.
    """
    stated = " ".join(reason.split()).rstrip(".")
    if not stated:
        raise UsageError("A withdrawal needs its reason, which stays in the record: give --reason TEXT.")
    with clear_disk_errors(recorder.workspace.root), exclusive_store(recorder, "withdrawn"):
        finished = () if dry_run else tuple(erasure.run for erasure in finish_promised(recorder))
        planned = _plan(recorder, target, stated)
        if dry_run or planned.erasure is None:
            return replace(planned, finished=finished)

        def forget(connection: Connection) -> None:
            recorder.database.dialect.overwrite_deleted(connection)
            for pseudonym, _ in planned.subject.people:
                pseudonyms.forget(connection, pseudonym)

        done = carry_out(recorder, promise(recorder, planned.erasure, forget))
        return replace(planned, erasure=done, finished=finished)


def _plan(recorder: RecordWriter, target: str, reason: str) -> Withdrawal:
    """Return what a withdrawal erases and keeps, from the current record and the stored bytes, without changing anything."""
    with recorder.database.read() as connection, readable_catalog():
        known = tombstones(connection, recorder.ledger)
        inventory = read_inventory(open_store(recorder.workspace), stored_artifacts(connection), known)
        subject = find_subject(connection, target, inventory)
        digests = inventory.contents(subject)
        first = inventory.of_drives(subject, digests)
        reader = Reader(connection, head(connection))
        logs = reader.outputs_named("drive_log", [Ref("drive_log", (name,)).name for name in subject.logs])  # whether stored here or not
        start = {version.ref for version in first} | {link.ref for link in logs}
        walk = Walk("", "forward")
        if start:
            walk_forward(reader, walk, sorted(start))
        reached = set(walk.levels)
        versions = _with_pictures(reader, inventory, subject, first)
        origins = [facets["tracecore_origin"] for facets in reader.facets(start).values() if "tracecore_origin" in facets]
        outside = tuple(sorted({str(origin.value.get("name")) for origin in origins}))
        kept = _why_kept(reader, reached, {version.ref for version in versions})
    commits = inventory.commits(versions, subject.drives)
    withdrawn = known.withdrawn()
    fresh = {*subject.drives} - withdrawn.drives.keys() or {*digests} - withdrawn.files.keys()
    erasure = None
    if versions or commits or fresh or any(name is not None for _, name in subject.people):
        erasure = Erasure(
            recorder.new_run_id(),
            WITHDRAWAL,
            reason,
            rfc3339.now(),
            drives=tuple(sorted({*subject.drives, *subject.logs})),
            withdrawn=tuple(sorted(digests)),
            people=tuple(sorted(pseudonym for pseudonym, _ in subject.people)),
            builds=tuple(sorted(ref for ref in reached if ref.startswith("build/"))),
            versions=tuple(versions),
            commits=commits,
        )
    vehicles = tuple(sorted(ref for ref in reached if ref.startswith("vehicle/")))
    return Withdrawal(subject, erasure, (), kept, vehicles, outside)


def _with_pictures(reader: Reader, inventory: Inventory, subject: Subject, first: Sequence[Erased]) -> list[Erased]:
    """Return the versions in `first`, adopted files that name the subject's drives, and derived versions that may show or name these drives."""
    found = {(each.ref, each.location, each.version): each for each in first}
    made: set[str] = set()
    more = inventory.pictures(subject, first)
    held = {each.ref for each in first}
    searched: set[str] = set()
    while more or held:
        for each in more:
            place = (each.ref, each.location, each.version)
            files = {gone.path: gone for gone in (*(found[place].files if place in found else ()), *each.files)}
            found[place] = replace(each, files=tuple(files.values()))
        held = (held | {each.ref for each in more}) - searched
        searched |= held
        runs = {link.run for link in reader.inputs_like(held)}
        new = {link.ref for link in reader.links_of(runs) if link.direction == "output"} - made
        made |= new
        more, held = inventory.pictures(subject, first, new), set()
    return list(found.values())


def _why_kept(reader: Reader, reached: Collection[str], touched: Collection[str]) -> tuple[tuple[str, str], ...]:
    """Return (ref, reason) of each kept version in `reached`. A version in `touched` loses files; it is included only if its kind contains data."""
    facets = reader.facets(ref for ref in reached if parse_ref(ref).kind not in BUILT_IN_KINDS)
    found: list[tuple[str, str]] = []
    for ref in sorted(reached):
        stored = facets.get(ref, {}).get("tracecore_artifact")
        kind = kind_of(parse_ref(ref).kind, None if stored is None else stored.value.get("of_kind"))
        if kind.kept and (kind.holds_data or ref not in touched):
            found.append((ref, kind.kept))
    return tuple(found)
