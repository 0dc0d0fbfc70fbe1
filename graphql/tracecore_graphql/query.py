"""The root of the schema: each field is one question to the record."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import strawberry
from strawberry.types import Info

from tracecore.errors import TracecoreError, UsageError
from tracecore_graphql.audit_source import AuditSource
from tracecore_graphql.fields import Connection, output_type, paginate, query_field
from tracecore_graphql.limits import DEFAULT_PAGE
from tracecore_graphql.object_types import Bug, Build, Direction, Plugin, Trace, TraceNode, TraceRun, bug_of, build_of, trace_answer
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.refs import parse_ref

__all__ = ["Query", "RequestContext"]


class TookTooLong(TracecoreError):
    """The time of one request is over."""


@dataclass(frozen=True, slots=True)
class RequestContext:
    """One request: the record it is asked of, and until when (monotonic seconds)."""

    record: AuditSource
    deadline: float

    def in_time(self) -> AuditSource:
        """Return the record while there is time left: each question of the root asks for it again.

        Raises:
            TookTooLong: the time is over.
        """
        if time.monotonic() > self.deadline:
            raise TookTooLong("The request took too long; ask for less, or in several requests.")
        return self.record


First = Annotated[int | None, strawberry.argument(description="at most this many items, 0 to 500")]
After = Annotated[str | None, strawberry.argument(description="cursor of the item before the page")]
RefText = Annotated[str, strawberry.argument(description="`kind/name`, `kind/name@<digest prefix>`, `build/<name>`, `run/<uuid>`, …")]


@output_type
class Query:
    """Questions to the record. All are read-only."""

    @query_field
    def builds(self, info: Info[RequestContext, None], first: First = DEFAULT_PAGE, after: After = None) -> Connection[Build]:
        """Sealed builds, in the order they were sealed."""
        found: Sequence[Build] = [build_of(sealed) for sealed in info.context.in_time().builds()]
        return paginate(found, lambda build: build.name, first=first, after=after)

    @query_field
    def build(self, info: Info[RequestContext, None], name: str) -> Build | None:
        """One sealed build, or null."""
        sealed = info.context.in_time().build(name.removeprefix("build/"))
        return None if sealed is None else build_of(sealed)

    @query_field
    def artifact(self, info: Info[RequestContext, None], ref: RefText) -> TraceNode | None:
        """One artifact version; of `kind/name` the newest."""
        parsed = parse_ref(ref)
        if not parsed.is_artifact and parsed.kind != ArtifactKind.EXTERNAL:
            raise UsageError(f"{ref!r} names no artifact: expected 'kind/name' or 'kind/name@<digest prefix>', as of a dataset or a model.")
        answer = trace_answer(info.context.in_time().trace(ref, depth=0))
        return next((node for node in answer.nodes if node.ref == answer.root), None)

    @query_field
    def run(self, info: Info[RequestContext, None], id: strawberry.ID) -> TraceRun | None:  # noqa: A002  # the contract names the argument so
        """One run by its UUID."""
        answer = trace_answer(info.context.in_time().trace(f"run/{id}", depth=1))
        return next((run for run in answer.runs if answer.root == f"run/{run.id}"), None)

    @query_field
    def trace(
        self,
        info: Info[RequestContext, None],
        ref: RefText,
        direction: Direction = Direction.backward,
        depth: Annotated[int | None, strawberry.argument(description="levels of runs to follow; null follows all")] = None,
        as_of: Annotated[str | None, strawberry.argument(description="RFC 3339; what the ledger had recorded until then")] = None,
    ) -> Trace | None:
        """The complete trace of a ref, as `tracecore trace --json` gives it; forward is what `tracecore impact` gives."""
        record = info.context.in_time()
        ask = record.trace if direction is Direction.backward else record.impact
        return trace_answer(ask(ref, depth=depth, as_of=as_of))

    @query_field
    def impact(self, info: Info[RequestContext, None], ref: RefText) -> Trace | None:
        """Everything that a ref reached."""
        return trace_answer(info.context.in_time().impact(ref))

    @query_field
    def bug(self, info: Info[RequestContext, None], id: strawberry.ID) -> Bug | None:  # noqa: A002  # the contract names the argument so
        """One reported bug by its id (or `bug/<id>`), or null."""
        found = info.context.in_time().bug(id)
        return None if found is None else bug_of(found)

    @query_field
    def plugins(self, info: Info[RequestContext, None], first: First = DEFAULT_PAGE, after: After = None) -> Connection[Plugin]:
        """The plugins that recorded runs ran."""
        found = [
            Plugin(
                ref=f"plugin/{item['entry_point']}@{item['version']}",
                name=item["entry_point"],
                distribution=item["distribution"],
                version=item["version"],
                source_digest=item["source_digest"],
                stages=list(item["stages"]),
                runs=item["runs"],
            )
            for item in info.context.in_time().plugins()
        ]
        return paginate(found, lambda plugin: f"{plugin.ref} {plugin.source_digest}", first=first, after=after)
