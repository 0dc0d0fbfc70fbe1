"""The schema with its root type, and execution of a request: bounds are checked first, and internal errors are masked."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import strawberry
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext, Info

from graphql import DocumentNode, GraphQLError, OperationDefinitionNode, OperationType
from tracecore.errors import TracecoreError, UsageError
from tracecore_graphql.fields import costs_of, output_type, paged_field, query_field
from tracecore_graphql.limits import DEFAULT_LIMITS, Limits, read_document
from tracecore_graphql.object_types import SCALARS, Bug, Build, Direction, Plugin, Trace, TraceNode, TraceRun, from_record, trace_answer
from tracecore_lineage.seal.seal import sealed_build, sealed_builds
from tracecore_lineage.trace.bugs import find_bug
from tracecore_lineage.trace.plugins import recorded_plugins
from tracecore_schemas.kinds import ArtifactKind
from tracecore_schemas.refs import RefError, parse_ref

if TYPE_CHECKING:
    from tracecore_lineage import Record

__all__ = ["COSTS", "Answer", "Query", "RequestContext", "ask", "schema", "sdl"]


@dataclass(frozen=True, slots=True)
class RequestContext:
    """The record of one request, and the request's deadline as `time.monotonic()` seconds."""

    opened: Record
    deadline: float

    @property
    def record(self) -> Record:
        """The open record (ledger, catalog and store) that the request reads; raises TracecoreError after the request's deadline."""
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


log = logging.getLogger("tracecore.graphql")


class _Schema(strawberry.Schema):
    """A schema that logs no errors; `ask` logs those not caused by the client."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Override strawberry's logging of errors to log nothing; `ask` logs internal errors."""


COSTS = costs_of(Query)
schema = _Schema(query=Query, config=StrawberryConfig(scalar_map=SCALARS))


def sdl() -> str:
    """Return the GraphQL schema as SDL text; the file `graphql/schema.graphql` has the same text."""
    return schema.as_str().rstrip() + "\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """Response to a request: `data` and `errors` in GraphQL's format; `accepted` is False if the document was refused before execution."""

    body: dict[str, Any]
    accepted: bool


def ask(
    record: Record,
    document: str,
    variables: Mapping[str, Any] | None = None,
    operation: str | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> Answer:
    """Return the response to a GraphQL query on the record; errors of parsing, limits and execution are part of the response.

    `operation` names the operation to execute; it is required if the document has several.
    """
    deadline = time.monotonic() + limits.seconds
    try:
        _check_operation(read_document(document, variables or {}, COSTS, limits), operation)
    except GraphQLError as error:
        return Answer({"errors": [error.formatted]}, accepted=False)
    result = schema.execute_sync(
        document, variable_values=dict(variables or {}), context_value=RequestContext(record, deadline), operation_name=operation
    )
    body: dict[str, Any] = {}
    if result.data is not None or not result.errors or any(error.path for error in result.errors):
        body["data"] = result.data
    if result.errors:
        body["errors"] = [_formatted_error(error) for error in result.errors]
    return Answer(body, accepted="data" in body)


def _check_operation(document: DocumentNode, name: str | None) -> None:
    """Raise GraphQLError unless a document has an operation named `name` (for None, exactly one operation) and that operation is a query."""
    operations = {node.name.value if node.name else None: node for node in document.definitions if isinstance(node, OperationDefinitionNode)}
    if not operations:
        raise GraphQLError("The document has no operation.")
    if name is None and len(operations) > 1:
        raise GraphQLError("The document has several operations: select one by 'operationName'.")
    if name is not None and name not in operations:
        raise GraphQLError(f"The document has no operation named '{name}'.")
    selected = next(iter(operations.values())) if name is None else operations[name]
    if selected.operation is not OperationType.QUERY:
        raise GraphQLError(f"A {selected.operation.value} is not accepted: the record can only be read.")


def _formatted_error(error: GraphQLError) -> Any:
    """Return an error in GraphQL's response format (a dict); an internal error is logged, and only its number in the log is returned."""
    cause = error.original_error
    while isinstance(cause, GraphQLError) and cause.original_error is not None:
        cause = cause.original_error
    if cause is None or isinstance(cause, GraphQLError | TracecoreError | RefError):
        return error.formatted
    number = uuid4().hex[:8]
    log.error("error %s in a GraphQL answer", number, exc_info=cause)
    masked = GraphQLError(
        f"Something went wrong on the server; its log has it as error {number}.", error.nodes, error.source, error.positions, error.path
    )
    return masked.formatted
