"""Bug reports of the record: what a person saw, as a want beside those of the clusters."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import tracecore as tc
from tracecore_schemas.canonical import JSON
from tracecore_schemas.refs import RefError, parse_ref

__all__ = ["Bug", "read_bugs"]

_FACET = "tracecore_bug"


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug report: its id, what it says, the frames it names and the build it was seen in."""

    id: str
    text: str
    frames: tuple[str, ...]
    build: str | None


def read_bugs(refs: Sequence[str], lineage: tc.Lineage) -> list[Bug]:
    """Read bug reports from the record, each once, in the order asked for.

    Raises:
        UsageError: a ref that is no bug's, or of no recorded bug.
    """
    return [_read(ref, lineage) for ref in dict.fromkeys(refs)]


def _read(text: str, lineage: tc.Lineage) -> Bug:
    try:
        ref = parse_ref(text)
    except RefError as error:
        raise tc.UsageError(f"The parameter 'bugs' expects refs of bugs, bug/<id>. {error}") from error
    if ref.kind != "bug":
        raise tc.UsageError(f"The parameter 'bugs' expects refs of bugs, bug/<id>; {text} is a {ref.kind}.")
    facet = lineage.facets(str(ref)).get(_FACET)
    if not isinstance(facet, dict):
        raise tc.UsageError(f"{ref} is not in the record: report it by tracecore bug report TEXT, which gives its id.")
    return Bug(ref.segments[0], str(facet.get("text", "")), _texts(facet.get("frames")), _text(facet.get("build")))


def _texts(value: JSON) -> tuple[str, ...]:
    return tuple(str(each) for each in value) if isinstance(value, list) else ()


def _text(value: JSON) -> str | None:
    return None if value is None else str(value)
