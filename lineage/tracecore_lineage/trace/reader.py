"""Batched reads of the catalog within one prefix, with conflicting events resolved by (eventTime, event digest).

Of a run's terminal events the earliest wins, so a run that ended is never reopened; of facets and check verdicts the latest wins. Events of this
workspace take precedence over those of imported workspaces, which take precedence over those of other producers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from sqlalchemy import Column, Connection, Row, Select, select

from tracecore_lineage.catalog.prefix import Prefix
from tracecore_lineage.catalog.projection import READS, WRITES
from tracecore_lineage.events.artifacts import CHANGES, MADE
from tracecore_lineage.ledger.sql_tables import CHECKS, CLAIMS, EDGES, FACETS, HEAD, NAMES, RUN_EVENTS, select_in
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.trace.facts import CheckVerdict, Facet, Link, Naming, RunFacts, dataset_of, is_external, is_unversioned, resolve_run
from tracecore_lineage.trace.store_paths import StorePlace, digest_at, name_at, paths_of
from tracecore_schemas.kinds import RunState
from tracecore_schemas.trace import Claim, Origin

__all__ = ["Reader"]

_EVER = "~"
"""Sorts after every time: an alias from the store's layout is never revoked."""


class Reader:
    """Reads one prefix of the catalog; use a connection in one transaction for all reads of one answer.

    `places` are the dataset names under which other producers address the workspace's store; empty without a store.
    """

    def __init__(self, connection: Connection, prefix: Prefix, places: Sequence[StorePlace] = ()) -> None:
        self.connection = connection
        self.prefix = prefix
        self.places = places
        self._runs: dict[str, RunFacts] = {}

    @cached_property
    def own(self) -> LedgerName:
        """Name (slug and id) of the ledger that is read."""
        row = self.connection.execute(select(HEAD.c.slug, HEAD.c.ledger_id).where(HEAD.c.id == 1)).one()
        return LedgerName(row.slug, row.ledger_id)

    def origin(self, run: RunFacts) -> Origin | None:
        """Return the workspace and ledger that a run was imported from; None for a run that was not imported."""
        return Origin(ledger_id=run.speaker, slug=run.namespace) if self.rank(run.speaker) == 1 else None

    def rank(self, speaker: str) -> int:
        """Return the precedence of facts from the ledger with id `speaker`: 2 for this workspace, 1 for an imported one, 0 for no ledger (empty)."""
        return 2 if speaker == self.own.ledger_id else 1 if speaker else 0

    def runs(self, ids: Iterable[str]) -> dict[str, RunFacts]:
        """Return the runs with these ids, by id; unknown ids are left out."""
        wanted = set(ids)
        rows: dict[str, list[Row[Any]]] = {}
        for row in self._rows(select(RUN_EVENTS), RUN_EVENTS.c.run_id, wanted - self._runs.keys()):
            rows.setdefault(row.run_id, []).append(row)
        self._runs.update((run, resolve_run(found, self.rank)) for run, found in rows.items())
        return {run: self._runs[run] for run in wanted if run in self._runs}

    def links_of(self, runs: Iterable[str]) -> list[Link]:
        """Return the input and output edges of runs, merged over each run's events; each (run, direction, ref, role) once.

        An unversioned edge is dropped if the run also has a versioned one of the same dataset and direction. Sorted by run, direction, role, ref.
        """
        known = self.runs(runs)
        links = [link for link in self.links("run_id", known, "input", "output") if link.speaker == known[link.run].speaker]
        terminal = {run.terminal for run in known.values()}
        # The terminal event's edge takes precedence: START may not know the producing run yet.
        links.sort(key=lambda link: (link.event_id not in terminal, link.order))
        found: dict[tuple[str, str, str, str], Link] = {}
        for link in links:
            found.setdefault((link.run, link.direction, link.ref, link.role), link)
        versioned = {(link.run, link.direction, dataset_of(link.ref)) for link in found.values() if not is_unversioned(link.ref)}
        kept = [link for link in found.values() if not is_unversioned(link.ref) or (link.run, link.direction, dataset_of(link.ref)) not in versioned]
        return sorted(kept, key=lambda link: (link.run, link.direction, link.role, link.ref))

    def outputs_like(self, refs: Iterable[str]) -> list[Link]:
        """Return every output edge (a run made the version) of these refs, in any state of the run; once per run and role, earliest first."""
        return self._once(self.links("ref", refs, "output"))

    def outputs_of(self, kind: str, names: Iterable[str]) -> list[Link]:
        """Return every output edge (a run made it) of any version of these names of a kind, in any state of the run, earliest first."""
        return sorted(self.links("name", names, "output", kind=kind), key=lambda link: link.order)

    def inputs_like(self, refs: Iterable[str]) -> list[Link]:
        """Return every input edge (a run read the version) of these refs, in any state of the run; once per run and role, earliest first."""
        return self._once(self.links("ref", refs, "input"))

    def read_of(self, dataset: str) -> set[str]:
        """Return every ref, with its version, under which runs read another producer's dataset."""
        read = select(EDGES.c.ref).where(EDGES.c.kind == "external", EDGES.c.name == dataset.removeprefix("external/"), EDGES.c.direction == "input")
        return set(self.connection.execute(read.where(EDGES.c.seq < self.prefix.bound).distinct()).scalars())

    def names(self, names: Iterable[str]) -> list[Naming]:
        """Return recorded aliases and renames from or to one of `names`, and as aliases the external names of artifacts' paths in the store."""
        wanted = set(names)
        found: dict[tuple[str, int], Naming] = {}
        for column in (NAMES.c.name, NAMES.c.other):
            for row in self._rows(select(NAMES), column, wanted):
                found[row.event_id, row.ordinal] = Naming(row.event_id, row.ordinal, row.event_time, row.name, row.what, row.other)
        stored = (Naming("", 0, _EVER, name, "ALIAS", ref) for name, ref in self._stored(wanted))
        return [*found.values(), *(replace(each, ordinal=ordinal) for ordinal, each in enumerate(stored))]

    def _stored(self, names: Iterable[str]) -> list[tuple[str, str]]:
        """Return the sorted pairs (external dataset, artifact ref) of the same bytes, since the external dataset is a path in this record's store.

        Of each pair, at least one is in `names`: an external dataset's name (`external/…`) or an artifact's ref.
        """
        if not self.places:
            return []
        found: set[tuple[str, str]] = set()
        digests: dict[str, list[str]] = {}
        kept: dict[str, str] = {}
        for name in names:
            if not is_external(name):
                kept |= dict.fromkeys(paths_of(name, self.places), name)
            elif (table := name_at(name, self.places)) is not None:
                found.add((name, table))
            elif (digest := digest_at(name, self.places)) is not None:
                digests.setdefault(f"sha256:{digest}", []).append(name)
        made = select(EDGES.c.digest, EDGES.c.ref).where(EDGES.c.speaker == self.own.ledger_id).distinct()
        found.update((name, row.ref) for row in self._rows(made, EDGES.c.digest, digests) for name in digests[row.digest])
        edges = select(EDGES.c.name).where(EDGES.c.kind == "external").distinct()
        known = {f"external/{row.name}" for row in self._rows(edges, EDGES.c.name, (name.removeprefix("external/") for name in kept))}
        known |= {row.other for row in self._rows(select(NAMES.c.other).distinct(), NAMES.c.other, kept)}
        return sorted(found | {(name, kept[name]) for name in known})

    def claims(self, refs: Iterable[str]) -> list[Claim]:
        """Return, sorted, claims (others' statements, not taken as fact) about these versions. A claim without a version is about all versions."""
        named: dict[str, list[str]] = {}
        for ref in refs:
            if not is_external(ref):
                named.setdefault(ref.partition("@")[0], []).append(ref)
        found: set[tuple[str, str, str, str]] = set()
        for row in self._rows(select(CLAIMS), CLAIMS.c.subject, named):
            meant = [ref for ref in named[row.subject] if row.version in {"", ref.partition("@")[2]}]
            found.update((ref, row.run_id or "", row.job, row.says) for ref in meant)
        found.update(self._claimed_by_path(named))
        every = self._once(self.links("ref", (ref for refs in named.values() for ref in refs), "output"))
        runs = self.runs({link.run for link in every})
        others = {(link.ref, link.run) for link in every} - {(link.ref, link.run) for link in self.ours_first(every)}
        found.update((ref, run, f"{runs[run].namespace}/{runs[run].job}", MADE) for ref, run in others)
        return [Claim(at=at, run=run, job=job, says=says) for at, run, job, says in sorted(found)]

    def _claimed_by_path(self, named: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, str, str, str]]:
        """Yield (ref, run id, job, description) of each write by another producer to a store path of the versions in `named`, {name: refs}."""
        stored = self._stored([*named, *(ref for refs in named.values() for ref in refs)])
        kept_at = dict(stored)
        aliases = select(NAMES.c.name, NAMES.c.other).where(NAMES.c.what == "ALIAS").distinct()
        stored += [(row.name, kept_at[row.other]) for row in self._rows(aliases, NAMES.c.other, kept_at)]
        written = self.outputs_of("external", {name.removeprefix("external/") for name, _ in stored})
        runs = self.runs({link.run for link in written})
        for name, kept in stored:
            for link in (link for link in written if dataset_of(link.ref) == name):
                did = CHANGES.get(link.change, "wrote a version of it")
                for ref in [kept] if "@" in kept else named[kept]:
                    yield ref, link.run, f"{runs[link.run].namespace}/{runs[link.run].job}", f"{did}, under the name {name}"

    def ours_first(self, links: Iterable[Link]) -> list[Link]:
        """Return the output edges, in the order of `links`, without others' edges to versions that this workspace also made."""
        listed = list(links)
        ours = {link.ref for link in listed if link.speaker == self.own.ledger_id}
        return [link for link in listed if link.ref not in ours or link.speaker == self.own.ledger_id]

    def first_readings(self, refs: Iterable[str]) -> dict[str, Link]:
        """Return {ref: input edge of the run that read this version first}. A run of this workspace precedes imported runs, even if it read later."""
        found: dict[str, Link] = {}
        for link in sorted(self.inputs_like(refs), key=lambda link: -self.rank(link.speaker)):
            found.setdefault(link.ref, link)
        return found

    def static_by(self, subjects: Iterable[str]) -> list[Link]:
        """Return every static edge (stated without a run) by these subjects: `job:<namespace>/<name>`, or `dataset:…` if no job is named."""
        return self.links("run_id", subjects, READS, WRITES)

    def outputs_named(self, kind: str, names: Iterable[str], *, preferred: bool = False) -> list[Link]:
        """Return the output edges of completed runs to these names, earliest first; `preferred` drops others' edges to names made here."""
        links = self.outputs_of(kind, names)
        known = self.runs({link.run for link in links})
        done = [link for link in links if known[link.run].state is RunState.COMPLETE and link.speaker == known[link.run].speaker]
        ours = {dataset_of(link.ref) for link in done if preferred and link.speaker == self.own.ledger_id}
        return [link for link in done if link.speaker == self.own.ledger_id or dataset_of(link.ref) not in ours]

    def facets(self, subjects: Iterable[str], *, since: int = 0, deleted: bool = False) -> dict[str, dict[str, Facet]]:
        """Return {subject: {facet name: value that takes precedence}}. Imported facets don't count on versions that this workspace made.

        Args:
            subjects: `run:<uuid>`, `job:<namespace>/<name>` or refs with versions.
            since: ledger position; earlier events are ignored.
            deleted: include deleted facets.
        """
        found: dict[str, dict[str, Facet]] = {}
        imported: set[str] = set()
        query = select(FACETS)
        for row in self._rows(query.where(FACETS.c.seq >= since) if since else query, FACETS.c.subject, subjects):
            of_subject = found.setdefault(row.subject, {})
            best = of_subject.get(row.name)
            facet = Facet(row.name, self.rank(row.speaker), row.value, row.seq, row.event_time, row.event_id)
            if best is None or facet.order > best.order:
                of_subject[row.name] = facet
            if facet.rank == 1:
                imported.add(row.subject)
        for subject in self._made_here(imported):
            found[subject] = {name: facet for name, facet in found[subject].items() if facet.rank != 1}
        if deleted:
            return found
        return {subject: {name: facet for name, facet in of_subject.items() if not facet.is_deleted} for subject, of_subject in found.items()}

    def _made_here(self, refs: Iterable[str]) -> set[str]:
        """Return the versions among `refs` that this workspace recorded as an output of a run."""
        return {link.ref for link in self.links("ref", refs, "output") if link.speaker == self.own.ledger_id}

    def checks(self, *, of_runs: Iterable[str] = (), targets: Iterable[str] = ()) -> list[CheckVerdict]:
        """Return the newest verdict of each check on outputs of the runs `of_runs` or on the versions `targets`, by name, target and run.

        Verdicts count only from this workspace and from the workspace of the checked run; on versions made here, only for runs made here.
        """
        wanted = set(of_runs)
        newest: dict[tuple[str, str, str], CheckVerdict] = {}
        rows = [*self._rows(select(CHECKS), CHECKS.c.of_run, wanted), *self._rows(select(CHECKS), CHECKS.c.target, targets)]
        judged = self.runs({row.of_run for row in rows})
        here = self._made_here({row.target for row in rows if row.of_run not in wanted and self._of_another(row.of_run, judged)})
        for row in rows:
            if row.speaker != self.own.ledger_id and not (row.of_run in judged and row.speaker == judged[row.of_run].speaker):
                continue
            if row.target in here and row.of_run not in wanted and self._of_another(row.of_run, judged):
                continue
            key = (row.of_run, row.target, row.name)
            last = newest.get(key)
            if last is None or (row.event_time, row.event_id) > (last.event_time, last.event_id):
                newest[key] = CheckVerdict.of(row)
        return sorted(newest.values(), key=lambda check: (check.name, check.target, check.of_run))

    def _of_another(self, run: str, known: Mapping[str, RunFacts]) -> bool:
        """Whether a run, given by id and looked up in `known`, was imported from another workspace."""
        return run in known and self.rank(known[run].speaker) == 1

    def check_runs(self, runs: Iterable[str]) -> set[str]:
        """Return those of `runs` that are checks: they read an output to judge it and make nothing."""
        query = select(FACETS.c.subject).where(FACETS.c.name == "tracecore_check", FACETS.c.speaker != "")
        return {row.subject.removeprefix("run:") for row in self._rows(query, FACETS.c.subject, (f"run:{run}" for run in runs))}

    def _once(self, links: list[Link]) -> list[Link]:
        """Return one edge per (run, ref, role), the one in the run's terminal event if there is one; earliest first."""
        terminal = {run.terminal for run in self.runs({link.run for link in links}).values()}
        kept: dict[tuple[str, str, str], Link] = {}
        for link in sorted(links, key=lambda link: (link.event_id not in terminal, link.order)):
            kept.setdefault((link.run, link.ref, link.role), link)
        return sorted(kept.values(), key=lambda link: link.order)

    def links(self, column: str, values: Iterable[str], *directions: str, kind: str | None = None) -> list[Link]:
        """Return, unsorted, edges of these directions (and `kind`, if given) with one of `values` in column `column` of table `catalog_edge`.

        The `run` of a static edge is the job or dataset that states it.
        """
        query = select(EDGES).where(EDGES.c.direction.in_(directions))
        return [Link.of(row) for row in self._rows(query if kind is None else query.where(EDGES.c.kind == kind), EDGES.c[column], values)]

    def _rows(self, query: Select[Any], column: Column[Any], values: Iterable[str]) -> Iterator[Row[Any]]:
        """Yield the rows of a query, only from events in the ledger prefix, whose `column` has one of these values."""
        return select_in(self.connection, query.where(column.table.c.seq < self.prefix.bound), column, values)
