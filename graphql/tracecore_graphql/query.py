"""Root type of the schema."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import strawberry
from strawberry.types import Info

from tracecore.errors import TracecoreError, UsageError
from tracecore_graphql.fields import output_type, paged_field, query_field
from tracecore_graphql.object_types import Bug, Build, Direction, Plugin, Trace, TraceNode, TraceRun, from_record, trace_answer
from tracecore_lineage.seal.seal import sealed_build, sealed_builds
from tracecore_lineage.trace.bugs import find_bug
from tracecore_lineage.trace.plugins import recorded_plugins
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.refs import parse_ref

if TYPE_CHECKING:
    from tracecore_lineage import Record

__all__ = ["Query", "RequestContext"]


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The record of one request, and the request's deadline as `time.monotonic()` seconds."""

    opened: Record
    deadline: float

    @property
    def record(self) -> Record:
        """The record; raises TracecoreError after the deadline, so that a request ends at its next access."""
        if time.monotonic() > self.deadline:
            raise TracecoreError("The request took too long; ask for less, or in several requests.")
        return self.opened


RefText = Annotated[str, strawberry.argument(description="`kind/name`, `kind/name@<digest prefix>`, `build/<name>`, `run/<uuid>`, …")]


@output_type
class Query:
    """Questions to the record. All are read-only."""

    @paged_field(cost=20, key=lambda build: build.name)
    def builds(self, info: Info[RequestContext, None]) -> Sequence[Build]:
        """Sealed builds, in the order they were sealed."""
        return [from_record(Build, sealed) for sealed in info.context.record.query(sealed_builds)]

    @query_field(cost=20)
    def build(self, info: Info[RequestContext, None], name: str) -> Build | None:
        """One sealed build, or null."""
        sealed = info.context.record.query(sealed_build, name.removeprefix("build/"))
        return None if sealed is None else from_record(Build, sealed)

    @query_field(cost=50)
    def artifact(self, info: Info[RequestContext, None], ref: RefText) -> TraceNode | None:
        """One artifact version; of `kind/name` the newest."""
        parsed = parse_ref(ref)
        if not parsed.is_artifact and parsed.kind != ArtifactKind.EXTERNAL:
            raise UsageError(f"{ref!r} does not name an artifact: expected 'kind/name' or 'kind/name@<digest prefix>', as of a dataset or a model.")
        answer = trace_answer(info.context.record.trace(ref, depth=0))
        return next((node for node in answer.nodes if node.ref == answer.root), None)

    @query_field(cost=50)
    def run(self, info: Info[RequestContext, None], id: strawberry.ID) -> TraceRun | None:  # noqa: A002  # the contract names the argument so
        """One run by its UUID."""
        answer = trace_answer(info.context.record.trace(f"run/{id}", depth=1))
        return next((run for run in answer.runs if answer.root == f"run/{run.id}"), None)

    @query_field(cost=1_000)
    def trace(
        self,
        info: Info[RequestContext, None],
        ref: RefText,
        direction: Direction = Direction.backward,
        depth: Annotated[int | None, strawberry.argument(description="levels of runs to follow; null follows all")] = None,
        as_of: Annotated[str | None, strawberry.argument(description="RFC 3339; what the ledger had recorded until then")] = None,
    ) -> Trace | None:
        """The complete trace of a ref, as `tracecore trace --json` gives it; forward is what `tracecore impact` gives."""
        record = info.context.record
        ask = record.trace if direction is Direction.backward else record.impact
        return trace_answer(ask(ref, depth=depth, as_of=as_of))

    @query_field(cost=1_000)
    def impact(self, info: Info[RequestContext, None], ref: RefText) -> Trace | None:
        """Everything that a ref reached."""
        return trace_answer(info.context.record.impact(ref))

    @query_field(cost=20)
    def bug(self, info: Info[RequestContext, None], id: strawberry.ID) -> Bug | None:  # noqa: A002  # the contract names the argument so
        """One reported bug by its id (or `bug/<id>`), or null."""
        found = info.context.record.query(find_bug, id)
        return None if found is None else from_record(Bug, found)

    @paged_field(cost=200, key=lambda plugin: f"{plugin.ref} {plugin.source_digest}")
    def plugins(self, info: Info[RequestContext, None]) -> Sequence[Plugin]:
        """The plugins that recorded runs ran."""
        return [
            from_record(Plugin, {**plugin, "ref": f"plugin/{plugin['entry_point']}@{plugin['version']}", "name": plugin["entry_point"]})
            for plugin in info.context.record.query(recorded_plugins)
        ]
