"""Import policy: what a verified bundle must not bring in, and what its import changes in the record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, select

from tracecore.errors import NegativeVerdict
from tracecore.running.erasure_filter import ErasureFilter
from tracecore_lineage.catalog.delegation import Delegations
from tracecore_lineage.events.parse import parse_event
from tracecore_lineage.ledger import ledger
from tracecore_lineage.ledger.sql_tables import RUN_EVENTS, select_in
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_schemas.kinds import ArtifactKind

if TYPE_CHECKING:
    from tracecore_lineage.verify.bundle import Checked

__all__ = ["ImportPlan", "claimed_ledger", "refuse_strangers", "refuse_withdrawn"]


@dataclass(frozen=True, slots=True)
class ImportPlan:
    """The changes that an import makes to the current record.

    Attributes:
        imports: ids of all imports in the ledger so far.
        places: positions of the bundle's events that are already in the ledger.
        own: ids of its events that claim to be from this workspace's ledger.
        before: delegations without this import.
        after: delegations with it.
        stored: refs of the versions whose bytes it must bring.
    """

    imports: tuple[str, ...]
    places: Mapping[str, int]
    own: frozenset[str]
    before: Delegations
    after: Delegations
    stored: frozenset[str]


def refuse_withdrawn(withdrawn: ErasureFilter, checked: Checked) -> None:
    """Raise NegativeVerdict if the bundle contains files or drives that this workspace erased because consent was withdrawn."""
    if not withdrawn:
        return
    for artifact in (*checked.artifacts, *checked.sources):
        parts = checked.store.parts(artifact)
        drives = [value for part in parts for name, value in part.partition if name == "drive"]
        drives += [artifact.name] if artifact.kind == ArtifactKind.DRIVE_LOG else []
        why = next((withdrawn.drives[drive] for drive in drives if drive is not None and drive in withdrawn.drives), None)
        why = why or next((withdrawn.files[part.digest] for part in parts if part.digest in withdrawn.files), None)
        if why is not None:
            raise NegativeVerdict(
                f"{checked.proof.manifest.build} is not imported: {artifact.ref} holds what was withdrawn from this workspace ({why})."
            )


def claimed_ledger(leaf: ledger.Leaf) -> LedgerName | None:
    """Return the ledger that an event names as its producer; None for a DatasetEvent, which has no job."""
    event = parse_event(leaf.body)
    return None if event.kind == "dataset" else LedgerName.of_producer(event.members["job"]["namespace"], event.members["producer"])


def refuse_strangers(connection: Connection, own: LedgerName, checked: Checked, plan: ImportPlan) -> None:
    """Raise NegativeVerdict if bundled events falsely claim to be from this workspace, or name another ledger than the record has for their run.

    An event of an imported run is accepted only if the import shows that it is from the run's ledger.
    """
    build = checked.proof.manifest.build
    strange = sorted(identity for identity in plan.own if identity not in plan.places)
    if strange:
        raise NegativeVerdict(
            f"{build} is not imported: its bundle holds the event {strange[0][:12]} of a job of this workspace ('{own.slug}'), which this"
            " workspace never recorded."
        )
    by_run = _claimed_runs(checked, plan)
    query = select(RUN_EVENTS.c.run_id, RUN_EVENTS.c.job_namespace, RUN_EVENTS.c.speaker).where(RUN_EVENTS.c.speaker != "")
    for row in select_in(connection, query, RUN_EVENTS.c.run_id, by_run):
        known = LedgerName(row.job_namespace, row.speaker)
        for claimed, leaf in by_run[row.run_id]:
            if claimed != known:
                raise NegativeVerdict(
                    f"{build} is not imported: its bundle says of run/{row.run_id} that it ran in ledger {claimed}, but here it is known as"
                    f" one of {known}."
                )
            if claimed != own and not _may_assert(plan.after, leaf.event_id, claimed):
                raise NegativeVerdict(
                    f"{build} is not imported: its bundle holds the event {leaf.event_id[:12]} of run/{row.run_id}, which was imported from"
                    f" {claimed} before, and nothing shows that the event is from there."
                )


def _claimed_runs(checked: Checked, plan: ImportPlan) -> dict[str, list[tuple[LedgerName, ledger.Leaf]]]:
    """Return, by run id, (claimed ledger, event) of each bundled event that is not recorded yet, or may assert facts only by this import."""
    by_run: dict[str, list[tuple[LedgerName, ledger.Leaf]]] = {}
    for leaf in checked.proof.leaves:
        event = parse_event(leaf.body)
        if event.run_id is None:
            continue
        claimed = LedgerName.of_producer(event.members["job"]["namespace"], event.members["producer"])
        more = _may_assert(plan.after, leaf.event_id, claimed) and not _may_assert(plan.before, leaf.event_id, claimed)
        if more or leaf.event_id not in plan.places:
            by_run.setdefault(event.run_id, []).append((claimed, leaf))
    return by_run


def _may_assert(delegations: Delegations, identity: str, ledger_name: LedgerName) -> bool:
    """Whether `delegations` (rights from imports) allow the event with id `identity` to assert facts for the ledger `ledger_name`."""
    return any(each.ledger == ledger_name for each in delegations.get(identity, ()))
