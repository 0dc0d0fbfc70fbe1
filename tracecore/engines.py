"""Roles of the files in an engine's folder: files that a vehicle loads, and files that only describe the compilation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from tracecore.errors import RunFailed
from tracecore.store.manifest import scan_directory
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import summarize

__all__ = ["CARRIED", "engine_roles", "rename_inner"]

CARRIED = ("engine", "companion", "checker")
"""Roles of files that a vehicle loads; engines in which these files agree are equivalent."""

_ROLES = (
    (r"model\.engine", "engine"),
    (r"[^/]+\.so", "companion"),
    (r"[^/]+\.checker", "checker"),
    (r"[^/]+\.cache", "timing_cache"),
    (r"inspector\.json", "inspector"),
)


def separate(folder: Path, file: str) -> Path:
    """Move a file of `folder` into the new folder `<folder>.one` and return the new folder."""
    place = folder.with_name(f"{folder.name}.one")
    place.mkdir()
    (folder / file).rename(place / Path(file).name)
    return place


def with_roles(facet: Any, folder: Path, engine: str = "model.engine") -> dict[str, JSON]:
    """Return the facet `tracecore_engine` with a list of the files in an engine's folder: role (`engine`, `companion`, …), name and SHA-256.

    Args:
        facet: facet written by the compile stage; None starts a new one with only a summary.
        engine: name of the engine file.

    Raises:
        RunFailed: a file has no role, two files share one, or the engine file is missing.
    """
    roles: dict[str, JSON] = {}
    for path, _, sha256 in scan_directory(folder):
        role = "engine" if path == engine else next((role for pattern, role in _ROLES if re.fullmatch(pattern, path)), None)
        if role is None or role in roles:
            has = f"'{path}', which has no role in an engine" if role is None else f"two files of the role '{role}'"
            raise RunFailed(
                f"The engine's folder holds {has}; expected {engine}, and at most one each of *.so, *.checker, *.cache and inspector.json."
            )
        roles[role] = {"file": path, "sha256": sha256}
    if "engine" not in roles:
        raise RunFailed(f"The engine's folder lacks {engine}: it holds {', '.join(sorted(roles)) or 'nothing'}.")
    ordered: list[JSON] = [{"role": role, **cast("dict[str, JSON]", roles[role])} for role in dict.fromkeys(("engine", *sorted(roles)))]
    described = facet or {"summary": summarize(engine, *(role for role in sorted(roles) if role != "engine"))}
    return {**described, "roles": ordered}


def engine_roles(facet: Any) -> dict[str, tuple[str, str]]:
    """Return {role (`engine`, `companion`, …): (file name, SHA-256)} from a `tracecore_engine` facet; empty if the facet is malformed."""
    listed: Sequence[Any] = facet.get("roles") or () if isinstance(facet, Mapping) else ()
    whole = [each for each in listed if isinstance(each, Mapping) and {"role", "file", "sha256"} <= each.keys() and "/" not in str(each["file"])]
    return {str(each["role"]): (str(each["file"]), str(each["sha256"])) for each in whole}


def rename_inner(data: bytes) -> bytes:
    """Return an engine's bytes with the compiler's internal names (`__mye2567`) renumbered by order of first appearance.

    TensorRT's numbers depend on how many attempts it made; engines that are equal after renumbering are the same program.
    """
    numbers: dict[bytes, int] = {}
    return re.sub(rb"__mye\d+", lambda found: b"__mye%d" % numbers.setdefault(found[0], len(numbers)), data)
