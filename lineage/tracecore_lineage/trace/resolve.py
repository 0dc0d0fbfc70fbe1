"""Resolve refs as typed to recorded versions (newest version, digest prefix), builds and labelers; suggest the nearest match if there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, or_, select

from tracecore.errors import UsageError, nearest
from tracecore_lineage.catalog.prefix import Prefix
from tracecore_lineage.ledger.sql_tables import BUILDS, EDGES, FACETS
from tracecore_lineage.trace.facts import Link
from tracecore_lineage.trace.reader import Reader
from tracecore_schemas.facets import LABELS_FACET
from tracecore_schemas.kinds import BUILT_IN_KINDS
from tracecore_schemas.refs import NO_ARTIFACTS, Ref, RefError, parse_ref

__all__ = ["ROLE", "Batch", "Build", "batches_of", "build_named", "find_build", "known_labelers", "known_refs", "read_ref", "resolve_version"]

ROLE = "labeler"
"""Role of the labeler's edge in a run that made a label batch."""
_LABELERS_SHOWN = 5
_BUILT_IN = frozenset({*BUILT_IN_KINDS, *NO_ARTIFACTS})


@dataclass(frozen=True, slots=True)
class Batch:
    """A version of a label batch with its facet `tracecore_labels` and its output edges, earliest first."""

    ref: str
    facet: dict[str, Any]
    made: tuple[Link, ...]


def batches_of(reader: Reader, ref: Ref) -> list[Batch]:
    """Return the label batches of a labeler, by time first made, then by ref. Raises UsageError, with the nearest pseudonym, if there are none."""
    pseudonym = ref.segments[0]
    # Search the facets' JSON text in SQL first, and parse only those that may match.
    spelled = json.dumps(pseudonym, ensure_ascii=False)
    query = select(FACETS.c.subject).where(
        FACETS.c.name == LABELS_FACET.name, FACETS.c.seq < reader.prefix.bound, FACETS.c.value.contains(spelled, autoescape=True)
    )
    subjects = set(reader.connection.execute(query).scalars())
    facets = {subject: found[LABELS_FACET.name].value for subject, found in reader.facets(subjects).items() if LABELS_FACET.name in found}
    named = {subject: facet for subject, facet in facets.items() if pseudonym in _labelers(facet)}
    if not named:
        raise UsageError(_unknown_labeler(reader, ref))
    made: dict[str, list[Link]] = {}
    for link in reader.outputs_like(named):
        made.setdefault(link.ref, []).append(link)
    found = [Batch(subject, facet, tuple(made.get(subject, ()))) for subject, facet in named.items()]
    return sorted(found, key=lambda batch: (batch.made[0].event_time if batch.made else "", batch.ref))


def known_labelers(reader: Reader) -> list[str]:
    """Return the pseudonym of every labeler that a recorded label batch names, sorted."""
    query = select(FACETS.c.value).where(FACETS.c.name == LABELS_FACET.name, FACETS.c.seq < reader.prefix.bound)
    return sorted({name for value in reader.connection.execute(query).scalars() for name in _labelers(json.loads(value))})


def _labelers(facet: Any) -> list[str]:
    """Return the pseudonyms that a facet `tracecore_labels` names; empty for a malformed one."""
    listed = facet.get("labelers") if isinstance(facet, dict) else None
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def _unknown_labeler(reader: Reader, ref: Ref) -> str:
    """Return the error message for a labeler without batches, with the nearest known one."""
    known = known_labelers(reader)
    offer, absent = nearest(ref.segments[0], known), f"{ref} is not in this part of the record"
    if offer is not None:
        return f"{absent}. Did you mean '{Ref('labeler', (offer,))}'?"
    return f"{absent}. Its label batches name {_listed(known, _LABELERS_SHOWN)}." if known else f"{absent}: no label batch in it names its labelers."


_SHOWN = 10
_KNOWN = or_(EDGES.c.direction.in_(["input", "output"]), EDGES.c.kind == "external")
"""Edges that prove that a version exists. For an artifact a run must have read or made it; a static edge is not enough."""


@dataclass(frozen=True, slots=True)
class Build:
    """A sealed build: its release run, the `seq` of that run's COMPLETE, and the position that it was sealed over."""

    name: str
    ref: str
    run: str
    seq: int
    position: int

    @property
    def prefix(self) -> Prefix:
        """The ledger prefix (first events) over which the build was sealed, plus the events up to COMPLETE of its release run."""
        return Prefix(self.seq + 1, self.position)


def read_ref(reader: Reader, text: str) -> Ref:
    """Parse a ref typed by a user. Raises UsageError, with the nearest recorded ref, if it is invalid or of an unknown kind."""
    try:
        ref = parse_ref(text)
    except RefError as error:
        problem = str(error)
    else:
        if ref.kind in _BUILT_IN or _has_kind(reader, ref.kind):
            return ref
        problem = f"{text!r} is not a valid ref: expected 'kind/name' with one of these kinds: {', '.join(sorted(_BUILT_IN))}."
    offer = nearest(text, [*known_refs(reader), *(str(Ref("labeler", (name,))) for name in known_labelers(reader))])
    raise UsageError(f"{problem}{f' Did you mean {offer!r}?' if offer else ''}")


def _has_kind(reader: Reader, kind: str) -> bool:
    """Whether any version of an artifact kind is recorded, regardless of installed plugins."""
    query = select(EDGES.c.seq).where(EDGES.c.kind == kind, EDGES.c.seq < reader.prefix.bound).limit(1)
    return reader.connection.execute(query).first() is not None


def known_refs(reader: Reader) -> list[str]:
    """Return, sorted, every recorded name as `kind/name` or `build/name`, without versions."""
    rows = reader.connection.execute(select(EDGES.c.kind, EDGES.c.name).where(EDGES.c.seq < reader.prefix.bound).distinct())
    return sorted(
        {f"{row.kind}/{row.name}" for row in rows} | {f"build/{quote(build.name, safe='')}" for build in _builds(reader.connection, reader.prefix)}
    )


def find_build(reader: Reader, ref: Ref) -> Build:
    """Return a sealed build by its ref. Raises UsageError if the build is unknown or has another digest."""
    builds = _builds(reader.connection, reader.prefix, ref.segments[0])
    if not builds:
        raise UsageError(_unknown(reader, ref))
    for build in builds:
        if ref.version is None or (parse_ref(build.ref).version or "").startswith(ref.version):
            return build
    raise UsageError(f"{ref} is not in the record; what is sealed under that name is {builds[0].ref}.")


def build_named(reader: Reader, text: str) -> Build:
    """Return a sealed build by its name or ref. Raises UsageError, with the nearest match, if it is unknown."""
    return find_build(reader, read_ref(reader, text) if text.startswith("build/") else Ref("build", (text,)))


def _builds(connection: Connection, prefix: Prefix, name: str | None = None) -> list[Build]:
    """Return the builds sealed within a ledger prefix, in sealing order; only those called `name`, if it is given."""
    query = select(BUILDS).where(BUILDS.c.seq < prefix.bound).order_by(BUILDS.c.seq)
    found = connection.execute(query if name is None else query.where(BUILDS.c.name == name))
    return [Build(row.name, row.ref, row.run_id, row.seq, row.position) for row in found]


def resolve_version(reader: Reader, ref: Ref) -> str:
    """Return the full ref that a ref means: itself, the version with its digest prefix, or its name's newest. UsageError if none or several."""
    recorded = select(EDGES).where(_KNOWN, EDGES.c.seq < reader.prefix.bound)
    if ref.is_whole and reader.connection.execute(recorded.where(EDGES.c.ref == str(ref)).limit(1)).first() is not None:
        return str(ref)
    versions = [Link.of(row) for row in reader.connection.execute(recorded.where(EDGES.c.kind == ref.kind, EDGES.c.name == ref.name))]
    if not versions:
        raise UsageError(_unknown(reader, ref))
    if ref.version is None:
        known = next(filter(None, _preferred(reader, versions)), None)
        if known is None:
            raise UsageError(_unknown(reader, ref))
        return _newest(reader, known)
    of_version = [link for link in versions if (parse_ref(link.ref).version or "").startswith(ref.version)]
    meant = sorted({link.ref for link in next(filter(None, _preferred(reader, of_version)), of_version)})
    if ref.kind == "external":
        meant = [text for text in meant if text == str(ref)] or meant
    if len(meant) == 1:
        return meant[0]
    if not meant:
        there = _listed(sorted({link.ref for link in versions}))
        raise UsageError(f"{ref} is not in the record. Recorded versions of {ref.unversioned}: {there}.")
    raise UsageError(f"{ref} is ambiguous: it may be any of {_listed(meant)}. Give more digits.")


def _newest(reader: Reader, links: list[Link]) -> str:
    """Return the ref of the newest output of a completed run, by (eventTime, event digest), or of the newest edge if there is none."""
    completed = {run.id for run in reader.runs({link.run for link in links}).values() if run.state.value == "COMPLETE"}
    made = [link for link in links if link.direction == "output" and link.run in completed]
    return max(made or links, key=lambda link: link.order).ref


def _preferred(reader: Reader, links: list[Link]) -> Iterator[list[Link]]:
    """Yield edges in two lists: of versions made in this workspace, then of others stored here. If all are external, yield them as one list."""
    if all(link.ref.startswith("external/") for link in links):
        yield links
        return
    ours = {link.ref for link in links if link.direction == "output" and link.speaker == reader.own.ledger_id}
    yield [link for link in links if link.ref in ours]
    described = reader.facets({link.ref for link in links} - ours)
    yield [
        link
        for link in links
        if "tracecore_artifact" in (facets := described.get(link.ref, {})) and facets["tracecore_artifact"].value.get("location") is not None
    ]


def _unknown(reader: Reader, ref: Ref) -> str:
    """Return the error message for a ref that is not recorded, with the nearest known one or a list of known ones."""
    # Compare names without kinds: the shared prefix would make any two builds look similar.
    known = [(text.partition("/")[2], text) for text in known_refs(reader)]
    every, same_kind = dict(known), {name: text for name, text in known if text.startswith(f"{ref.kind}/")}
    absent, name = f"{ref} is not in this part of the record", ref.unversioned.partition("/")[2]
    shown = _listed([*(same_kind or every).values()])
    offer = same_kind.get(nearest(name, same_kind) or "")
    if ref.kind == "build" and every and offer is None:
        return f"{absent}: no build of that name is sealed, and a refused one is none. It knows {shown}."
    offer = offer or every.get(nearest(name, every) or "")
    if offer is not None:
        return f"{absent}. Did you mean {offer!r}?"
    return f"{absent}, which knows {shown or 'nothing yet'}."


def _listed(refs: list[str], most: int = _SHOWN) -> str:
    """Return the first `most` refs joined by commas, with the number of further ones, for a message."""
    return ", ".join(refs[:most]) + (f" and {len(refs) - most} more" if len(refs) > most else "")
