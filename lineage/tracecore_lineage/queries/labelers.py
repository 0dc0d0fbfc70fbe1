"""Labelers: people, known by pseudonym alone, whom the facets of label batches name. Where a walk from one of them starts.

No event is about a labeler; a batch's facet `tracecore_labels` lists who labeled it. So the walk goes on from the batches that do, and the run that
made a batch is drawn as having had its labelers among its inputs.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select

from tracecore.errors import UsageError, nearest
from tracecore_lineage.queries.facts import Link
from tracecore_lineage.queries.reader import Reader
from tracecore_lineage.tables import FACETS
from tracecore_schemas.refs import Ref

__all__ = ["ROLE", "Batch", "batches_of", "known_labelers"]

ROLE = "labeler"
"""What a labeler is to the run that made a batch of labels."""
_FACET = "tracecore_labels"
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Batch:
    """A version of a label batch that names a labeler.

    Attributes:
        ref: whole.
        facet: `tracecore_labels`, as it stands in the asked prefix.
        made: the outputs of runs that it is, earliest first; empty where no recorded run made it.
    """

    ref: str
    facet: dict[str, Any]
    made: tuple[Link, ...]


def batches_of(reader: Reader, ref: Ref) -> list[Batch]:
    """Give the batches that a labeler labeled.

    Args:
        reader: of the asked prefix.
        ref: `labeler/<pseudonym>`.

    Returns:
        Sorted by the first time each was made, then by ref.

    Raises:
        UsageError: no recorded batch names that pseudonym; the nearest that one names is offered.
    """
    pseudonym = ref.segments[0]
    # As the facet's text spells it: a quick look into the text of each batch's facet, of which only those that may match are read.
    spelled = json.dumps(pseudonym, ensure_ascii=False)
    query = select(FACETS.c.subject).where(
        FACETS.c.name == _FACET, FACETS.c.seq < reader.prefix.bound, FACETS.c.value.contains(spelled, autoescape=True)
    )
    subjects = set(reader.connection.execute(query).scalars())
    facets = {subject: found[_FACET].value for subject, found in reader.facets(subjects).items() if _FACET in found}
    named = {subject: facet for subject, facet in facets.items() if pseudonym in _labelers(facet)}
    if not named:
        raise UsageError(_unknown(reader, ref))
    made: dict[str, list[Link]] = {}
    for link in reader.outputs_like(named):
        made.setdefault(link.ref, []).append(link)
    found = [Batch(subject, facet, tuple(made.get(subject, ()))) for subject, facet in named.items()]
    return sorted(found, key=lambda batch: (batch.made[0].event_time if batch.made else "", batch.ref))


def known_labelers(reader: Reader) -> list[str]:
    """Give every pseudonym that a recorded batch names, sorted."""
    query = select(FACETS.c.value).where(FACETS.c.name == _FACET, FACETS.c.seq < reader.prefix.bound)
    return sorted({name for value in reader.connection.execute(query).scalars() for name in _labelers(json.loads(value))})


def _labelers(facet: Any) -> list[str]:
    listed = facet.get("labelers") if isinstance(facet, dict) else None
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def _unknown(reader: Reader, ref: Ref) -> str:
    known = known_labelers(reader)
    offer = nearest(ref.segments[0], known)
    if offer is not None:
        return f"{ref} is not in this part of the record. Did you mean '{Ref('labeler', (offer,))}'?"
    if not known:
        return f"{ref} is not in this part of the record: no label batch in it names who labeled."
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"{ref} is not in this part of the record. Its label batches name {', '.join(known[:_SHOWN])}{more}."
