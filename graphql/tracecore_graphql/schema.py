"""The schema, and execution of a request: bounds are checked first, and internal errors are masked."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import strawberry
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from graphql import DocumentNode, GraphQLError, OperationDefinitionNode, OperationType
from tracecore.errors import TracecoreError
from tracecore_graphql.fields import costs_of
from tracecore_graphql.limits import DEFAULT_LIMITS, Limits, read_document
from tracecore_graphql.object_types import SCALARS
from tracecore_graphql.query import Query, RequestContext
from tracecore_schemas.refs import RefError

if TYPE_CHECKING:
    from tracecore_lineage import Record

__all__ = ["COSTS", "Answer", "ask", "schema", "sdl"]

log = logging.getLogger("tracecore.graphql")


class _Schema(strawberry.Schema):
    """A schema that logs no errors; `ask` logs those not caused by the client."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Log nothing."""


COSTS = costs_of(Query)
schema = _Schema(query=Query, config=StrawberryConfig(scalar_map=SCALARS))


def sdl() -> str:
    """Return the schema in SDL; `graphql/schema.graphql` is its committed snapshot."""
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
    """Execute a GraphQL document on the record; errors are returned in the response.

    `operation` is required if the document has several.
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
    """Raise GraphQLError unless the request selects exactly one operation, and it is a query."""
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
    """Return an error as sent to the client: the message of a request error; an internal error is logged and replaced by its number in the log."""
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
