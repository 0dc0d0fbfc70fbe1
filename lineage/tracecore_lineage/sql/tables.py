"""Which recorded tables a query may name, each at one exact version."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from tracecore.errors import UsageError
from tracecore_lineage.queries.named import build_named
from tracecore_lineage.queries.prefix import readable_catalog
from tracecore_lineage.queries.question import horizon, trace
from tracecore_lineage.queries.reader import Reader
from tracecore_lineage.stored import stored_artifacts
from tracecore_schemas.kinds import Media, Severity
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.run import Artifact

__all__ = ["QueryTable", "tables"]


@dataclass(frozen=True, slots=True)
class QueryTable:
    """A recorded table as SQL sees it.

    Attributes:
        name: the artifact's name; `kind/name` where two kinds have one of that name, `name@<6 digits>` for a further version in one build.
        short: the name without its program, dots and dashes as underscores; None where two tables would be called so.
        artifact: the version that is read.
        columns: (name, type) as recorded.
        rejected: whether that version failed a blocking check.
    """

    name: str
    short: str | None
    artifact: Artifact
    columns: tuple[tuple[str, str], ...]
    rejected: bool

    @property
    def names(self) -> tuple[str, ...]:
        """What SQL may call it."""
        return (self.name,) if self.short is None or self.short == self.name else (self.name, self.short)


def tables(connection: Connection, *, build: str | None = None, as_of: str | None = None) -> list[QueryTable]:
    """Give the tables that a query may name: of each name the newest version, or the very versions that a build stands on.

    Args:
        connection: to the record's database.
        build: name or ref of a build: the versions in its trace, no others.
        as_of: recorded time: the newest versions by then.

    Returns:
        Sorted by name.

    Raises:
        UsageError: no such build, with the nearest right one; both a build and a time.
    """
    if build is not None and as_of is not None:
        raise UsageError("A build stands on the same versions for ever: expected --build or --as-of, found both.")
    with readable_catalog():
        reader = Reader(connection, horizon(connection, as_of))
        if build is None:
            found = _newest(reader)
        else:
            seen = build_named(reader, build)
            refs = [node["ref"] for node in trace(connection, seen.ref)["nodes"]]
            held = {artifact.ref: artifact for artifact in _kept(stored_artifacts(connection, refs=refs))}
            found = [held[ref] for ref in refs if ref in held]
        return _named(reader, found)


def _newest(reader: Reader) -> list[Artifact]:
    kept = {artifact.ref: artifact for artifact in _kept(stored_artifacts(reader.connection, bound=reader.prefix.bound))}
    names: dict[str, set[str]] = {}
    for ref in map(parse_ref, kept):
        names.setdefault(ref.kind, set()).add(ref.name)
    newest: dict[tuple[str, str], Artifact] = {}
    for kind, of_kind in sorted(names.items()):
        for link in reader.outputs_named(kind, of_kind, preferred=True):  # earliest first: the last one stands
            if link.ref in kept:
                newest[kind, kept[link.ref].name] = kept[link.ref]
    return list(newest.values())


def _kept(artifacts: Iterable[Artifact]) -> list[Artifact]:
    return [artifact for artifact in artifacts if artifact.media is Media.DELTA]


def _named(reader: Reader, artifacts: list[Artifact]) -> list[QueryTable]:
    kinds: dict[str, set[str]] = {}
    for artifact in artifacts:
        kinds.setdefault(artifact.name, set()).add(artifact.kind)
    names: dict[str, Artifact] = {}
    for artifact in artifacts:
        name = artifact.name if len(kinds[artifact.name]) == 1 else f"{artifact.kind}/{artifact.name}"
        names[name if name not in names else f"{name}@{artifact.digest.removeprefix('sha256:')[:6]}"] = artifact
    shorts = Counter(_short(name) for name in names)
    refs = [artifact.ref for artifact in names.values()]
    facets = reader.facets(refs)
    rejected = {check.target for check in reader.checks(targets=refs) if not check.success and check.severity == Severity.BLOCKING.value}
    return [
        QueryTable(
            name,
            short if shorts[short] == 1 and (short == name or short not in names) else None,
            artifact,
            _columns(facets.get(artifact.ref, {})),
            artifact.ref in rejected,
        )
        for name, artifact in sorted(names.items())
        for short in [_short(name)]
    ]


def _short(name: str) -> str:
    return re.sub(r"\W", "_", name.partition(".")[2] or name)


def _columns(facets: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    fields = facets["schema"].value.get("fields", ()) if "schema" in facets else ()
    return tuple((str(field["name"]), str(field.get("type", ""))) for field in fields)
