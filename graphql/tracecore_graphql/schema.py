"""The schema, and the one way to ask it: bounded first, executed then, errors in words or masked."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import strawberry
from strawberry.schema.config import StrawberryConfig
from strawberry.types import ExecutionContext

from graphql import DocumentNode, GraphQLError, OperationDefinitionNode, OperationType
from tracecore.errors import TracecoreError
from tracecore_graphql.audit_source import AuditSource
from tracecore_graphql.limits import DEFAULT_LIMITS, Limits, read_document
from tracecore_graphql.object_types import SCALARS
from tracecore_graphql.query import Query, RequestContext
from tracecore_schemas.refs import RefError

__all__ = ["Answer", "ask", "schema", "sdl"]

log = logging.getLogger("tracecore.graphql")


class _Schema(strawberry.Schema):
    """Leaves the log to `ask`, which knows what is the asker's error and what is ours."""

    def process_errors(self, errors: list[GraphQLError], execution_context: ExecutionContext | None = None) -> None:
        """Say nothing here."""


schema = _Schema(query=Query, config=StrawberryConfig(scalar_map=SCALARS))


def sdl() -> str:
    """Return the schema in GraphQL's own language; `graphql/schema.graphql` is the committed snapshot of it."""
    return schema.as_str().rstrip() + "\n"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with.

    Attributes:
        body: `data` and `errors`, as GraphQL has them.
        accepted: False where the document was refused before anything of it ran.
    """

    body: dict[str, Any]
    accepted: bool


def ask(
    record: AuditSource,
    document: str,
    variables: Mapping[str, Any] | None = None,
    operation: str | None = None,
    *,
    limits: Limits = DEFAULT_LIMITS,
) -> Answer:
    """Ask the record one GraphQL document.

    Args:
        record: whom to ask.
        document: GraphQL text.
        variables: values of its variables.
        operation: which of its operations, where it has several.
        limits: bounds of the document and of the time.
    """
    deadline = time.monotonic() + limits.seconds
    try:
        _check_operation(read_document(document, variables or {}, limits), operation)
    except GraphQLError as error:
        return Answer({"errors": [error.formatted]}, accepted=False)
    result = schema.execute_sync(
        document, variable_values=dict(variables or {}), context_value=RequestContext(record, deadline), operation_name=operation
    )
    body: dict[str, Any] = {}
    if result.data is not None or not result.errors or any(error.path for error in result.errors):
        body["data"] = result.data
    if result.errors:
        body["errors"] = [_told(error) for error in result.errors]
    return Answer(body, accepted="data" in body)


def _check_operation(document: DocumentNode, name: str | None) -> None:
    """Make sure that one operation is meant, and that it is a query: nothing can be changed here."""
    found = {node.name.value if node.name else None: node for node in document.definitions if isinstance(node, OperationDefinitionNode)}
    if not found:
        raise GraphQLError("The document has no operation.")
    if name is None and len(found) > 1:
        raise GraphQLError("The document has several operations: say which by 'operationName'.")
    if name is not None and name not in found:
        raise GraphQLError(f"The document has no operation named '{name}'.")
    meant = next(iter(found.values())) if name is None else found[name]
    if meant.operation is not OperationType.QUERY:
        raise GraphQLError(f"A {meant.operation.value} is not taken here: the record is only read.")


def _told(error: GraphQLError) -> Any:
    """Return an error as the asker sees it: what they can mend in words, what is ours by a number that the log explains."""
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
