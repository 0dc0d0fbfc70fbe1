"""The schema is a committed snapshot, and the named documents are valid against it."""

from __future__ import annotations

from pathlib import Path
from typing import get_type_hints

import pytest
import strawberry

from graphql import build_schema, parse, validate
from tracecore_graphql import object_types
from tracecore_graphql.fields import costs_of, output_type, query_field
from tracecore_graphql.named_queries import document, names
from tracecore_graphql.schema import schema, sdl
from tracecore_schemas import trace as shapes

SNAPSHOT = Path(__file__).parents[2] / "graphql" / "schema.graphql"


def test_the_committed_sdl_is_the_schema() -> None:
    kept = SNAPSHOT.read_text(encoding="utf-8")
    assert kept == sdl(), "The schema changed: write graphql/schema.graphql again (graphql/README.md) and note it in the Changelog."


@pytest.mark.parametrize("name", names())
def test_each_named_document_is_valid_against_the_committed_sdl(name: str) -> None:
    assert validate(build_schema(SNAPSHOT.read_text(encoding="utf-8")), parse(document(name))) == []


def test_there_is_a_named_document_for_each_question() -> None:
    assert set(names()) == set(schema._schema.query_type.fields)


@pytest.mark.parametrize(
    ("shape", "type_"),
    [
        (shapes.Trace, object_types.Trace),
        (shapes.Node, object_types.TraceNode),
        (shapes.RunNode, object_types.TraceRun),
        (shapes.Edge, object_types.TraceEdge),
        (shapes.Gap, object_types.Gap),
        (shapes.UnknownFact, object_types.UnknownFact),
        (shapes.Check, object_types.TraceCheck),
    ],
)
def test_graphql_has_every_field_of_the_trace_answer_and_no_other(shape: type, type_: type) -> None:
    assert set(get_type_hints(shape)) == {field.name for field in type_.__strawberry_definition__.fields}


def test_no_type_is_called_node() -> None:
    assert "Node" not in schema._schema.type_map


def test_a_root_field_without_a_cost_is_refused() -> None:
    @output_type
    class Root:
        """A root."""

        @query_field(cost=7)
        def bounded(self) -> int:
            """A field with its cost."""
            return 1

        @strawberry.field
        def unbounded(self) -> int:
            return 1

    with pytest.raises(TypeError, match=r"root field 'unbounded' has no cost: declare it with @query_field"):
        costs_of(Root)
