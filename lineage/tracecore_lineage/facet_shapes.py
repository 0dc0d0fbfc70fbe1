"""Whether the facets that the record itself writes are of their shape, in events that come back from a file.

What the record wrote it reads back by the letter: so an event that speaks for the workspace, but whose facets no tracecore wrote, stops at the door.
Facets of stages are not looked at: their readers take what they find.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tracecore_lineage.reading import BadEvent

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

__all__ = ["refuse_misshapen"]

_LONGEST = 200
_ON = "on: "
"""How a schema's `$comment` says which kinds of facets it is of."""


def refuse_misshapen(members: Mapping[str, Any]) -> None:
    """Refuse a facet of the record's own that is not as its JSON Schema says, or stands where it can't.

    Args:
        members: of an event that was read.

    Raises:
        BadEvent: the first such facet: where it stands and what is wrong with it.
    """
    from jsonschema.exceptions import best_match

    schemas = _schemas()
    for where, kind, found in _facets(members):
        for name, facet in found.items():
            if name not in schemas:
                continue
            kinds, validator = schemas[name]
            if kind not in kinds:
                raise BadEvent(f"{where}.{name}: expected this facet on {' or '.join(sorted(kinds))} only")
            error = best_match(validator.iter_errors(facet))
            if error is not None:
                inside = "".join(f".{part}" for part in error.absolute_path)
                raise BadEvent(f"{where}.{name}{inside}: expected what urn:tracecore:{name}:1 says: {_short(error.message)}")


def _facets(members: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Give where facets stand, on what, and which."""
    for owner in ("run", "job", "dataset"):
        yield f"{owner}.facets", owner, (members.get(owner) or {}).get("facets") or {}
    for direction in ("inputs", "outputs"):
        for place, dataset in enumerate(members.get(direction) or ()):
            yield f"{direction}[{place}].facets", "dataset", dataset.get("facets") or {}
            kind = direction.removesuffix("s")
            yield f"{direction}[{place}].{kind}Facets", kind, dataset.get(f"{kind}Facets") or {}


def _short(message: str) -> str:
    return message if len(message) <= _LONGEST else f"{message[:_LONGEST]}…"


@cache
def _schemas() -> dict[str, tuple[frozenset[str], Draft202012Validator]]:
    """Give by name of a facet that the record writes what it may stand on and its schema."""
    from jsonschema import Draft202012Validator
    from openlineage.client.facet_v2 import BaseFacet

    from tracecore_lineage import facets

    folder = _folder()
    found: dict[str, tuple[frozenset[str], Draft202012Validator]] = {}
    for name, made in inspect.getmembers(facets, inspect.isclass):
        if name.startswith("Tracecore") and issubclass(made, BaseFacet):
            facet = made._get_schema().split(":")[2]
            schema = json.loads((folder / f"{facet}.json").read_bytes())
            found[facet] = (frozenset(schema["$comment"].removeprefix(_ON).split(", ")), Draft202012Validator(schema))
    return found


def _folder() -> Path:
    """Find the schemas: in the package where it is installed, beside it in the source tree."""
    here = Path(__file__).parent
    return next(folder for folder in (here / "_facets", here.parent / "facets") if folder.is_dir())
