"""When two engines of other digests are the same all the same: what a vehicle carries of them decides."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tracecore.engines import CARRIED, ENGINE_FACET, engine_roles, rename_inner
from tracecore.errors import TracecoreError
from tracecore.store import Store
from tracecore_assets.rebuild.answer import Verdict
from tracecore_schemas.run import Artifact

__all__ = ["compare_engines"]


def compare_engines(
    engines: tuple[Artifact | None, Artifact], facets: tuple[Mapping[str, Any], Mapping[str, Any]], stores: tuple[Store, Store]
) -> tuple[Verdict, str] | None:
    """Return the verdict on two engines and what it rests on; None where they are different, or nobody can tell.

    Args:
        engines: the sealed one, None where its bytes are not kept; and the rebuilt one.
        facets: of both.
        stores: of both.
    """
    told = [each.get(ENGINE_FACET) or {} for each in facets]
    then, now = (engine_roles(each) for each in told)
    differ = sorted(role for role in then.keys() | now.keys() if then.get(role, ("", ""))[1] != now.get(role, ("", ""))[1])
    carried = [role for role in CARRIED if role in differ]
    rest = [role for role in differ if role not in CARRIED]
    beside = f"; no vehicle carries what differs: {', '.join(rest)}" if rest else ""
    if "engine" in then and not carried:
        return Verdict.IDENTICAL, f"the same bytes in all that a vehicle carries{beside}"
    if all(role in then and role in now for role in carried) and _one_program(engines, [(then[role], now[role]) for role in carried], stores):
        return Verdict.PROGRAM, f"{', '.join(carried)} equal once the compiler's inner names are numbered by order of appearance{beside}"
    recipes = [each.get("recipe_digest") for each in told]
    if recipes[0] is None or recipes[0] != recipes[1]:
        return None
    words = "network, config, builder, target and inspector verbosity"
    return Verdict.RECIPE, f"the same recipe ({recipes[0][:19]}…: {words}); an engine's bytes are not reproducible{beside}"


def _one_program(
    engines: tuple[Artifact | None, Artifact], files: Sequence[tuple[tuple[str, str], tuple[str, str]]], stores: tuple[Store, Store]
) -> bool:
    """Whether files are equal but for the compiler's inner names; bytes that are not the recorded ones count for nothing."""
    sealed, rebuilt = engines
    if sealed is None or not files or not stores[0].exists(sealed):
        return False
    try:
        places = stores[0].open(sealed), stores[1].open(rebuilt)
        return all(one is not None and one == other for one, other in (_programs(places, pair) for pair in files))
    except (TracecoreError, OSError):
        return False


def _programs(places: tuple[Any, Any], pair: tuple[tuple[str, str], tuple[str, str]]) -> Iterator[bytes | None]:
    for place, (file, sha256) in zip(places, pair, strict=True):
        data = (Path(place) / file).read_bytes()
        yield rename_inner(data) if hashlib.sha256(data).hexdigest() == sha256 else None
