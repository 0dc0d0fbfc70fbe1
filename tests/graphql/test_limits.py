"""A document is measured before it is validated or run: whatever it would expand to, refusing it takes few steps.

Steps are calls of Python functions, counted: unlike seconds they are the same on every machine, however busy it is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest

from graphql import DocumentNode, GraphQLError, get_introspection_query, validate
from tracecore_graphql.limits import DEFAULT_LIMITS, LimitExceeded, Limits, read_document
from tracecore_graphql.named_queries import document, names
from tracecore_graphql.schema import COSTS, schema


def bounded(text: str, variables: dict[str, object] | None = None) -> DocumentNode:
    return read_document(text, variables or {}, COSTS)


def steps(task: Callable[[], object]) -> int:
    """Count the calls of Python functions that a task makes, whether or not it is refused."""
    counted = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal counted
        counted += event == "call"

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        task()
    except LimitExceeded:
        pass
    finally:
        sys.setprofile(before)
    return counted


def fragment_bomb(levels: int) -> str:
    """Two spreads in each fragment: 2^levels fields from a few hundred bytes."""
    parts = ['{trace(ref:"build/a"){...A0}}']
    parts += [f"fragment A{n} on Trace{{...A{n + 1} ...A{n + 1}}}" for n in range(levels)]
    parts.append(f"fragment A{levels} on Trace{{root}}")
    return "".join(parts)


def test_a_fragment_bomb_of_741_bytes_is_refused_in_steps_as_many_as_it_has_fragments() -> None:
    bomb = fragment_bomb(16)
    bomb += "#" + " " * (741 - len(bomb) - 1)
    assert len(bomb) == 741
    with pytest.raises(LimitExceeded, match=r"costs: 66536; at most 12000"):
        bounded(bomb)
    taken = {levels: steps(lambda: bounded(fragment_bomb(levels))) for levels in (4, 8, 16)}  # noqa: B023  # called at once
    assert taken[16] < 10_000  # its 2^16 fields are never visited
    assert taken[16] - taken[8] < 3 * (taken[8] - taken[4])


def test_a_bomb_of_aliases_inside_fragments_counts_every_expansion() -> None:
    text = "{...A} fragment A on Query{...B ...B ...B ...B} fragment B on Query{...C ...C ...C ...C} "
    text += 'fragment C on Query{x:build(name:"a"){name} y:build(name:"b"){name}}'
    with pytest.raises(LimitExceeded, match="has aliased fields: 32; at most 30"):
        bounded(text)


def test_a_fragment_that_spreads_itself_is_refused_and_does_not_hang() -> None:
    with pytest.raises(LimitExceeded, match="'A' spreads itself"):
        bounded("{...A} fragment A on Query{...B} fragment B on Query{...A}")


def test_tokens_bytes_and_nesting_are_bounded_before_the_parser_runs() -> None:
    with pytest.raises(LimitExceeded, match="more than 2000 tokens"):
        bounded("{" + "a " * 3000 + "}")
    with pytest.raises(LimitExceeded, match="bytes; at most 32768"):
        bounded("#" + "x" * 40_000)
    with pytest.raises(LimitExceeded, match="variables have 100011 bytes; at most 65536"):
        bounded("{a}", {"ref": "x" * 100_000})
    with pytest.raises(LimitExceeded, match="nests brackets deeper than 48"):
        bounded("{a" * 900)
    with pytest.raises(LimitExceeded, match="nests brackets deeper than 48"):
        bounded("{a(b:" + "[" * 900)


def test_a_long_chain_of_fragments_is_refused_without_exhausting_the_stack() -> None:
    chain = "{...A0}" + "".join(f"fragment A{n} on Query{{...A{n + 1}}}" for n in range(200)) + "fragment A200 on Query{a}"
    with pytest.raises(LimitExceeded, match="nests selections deeper than 48"):
        bounded(chain)
    unused = "{a}" + "".join(f"fragment A{n} on Query{{...A{n + 1}}}" for n in range(200)) + "fragment A200 on Query{a}"
    with pytest.raises(LimitExceeded, match="nests selections deeper than 48"):
        bounded(unused)


def test_depth_counts_fields_through_fragments() -> None:
    text = "{a" + "{a" * 9 + "{...F}" + "}" * 9 + "} fragment F on X{a" + "{a" * 8 + "}" * 9
    with pytest.raises(LimitExceeded, match="is deep: 19; at most 16"):
        bounded(text)


def test_the_same_field_many_times_is_refused_before_validation_compares_all_pairs() -> None:
    text = '{trace(ref:"build/a"){' + "root " * 1500 + "}}"
    with pytest.raises(LimitExceeded, match="'root' 1500 times"):
        bounded(text)
    assert steps(lambda: bounded(text)) < 200_000  # lexing and parsing; 1500 fields have a million pairs


def test_a_page_multiplies_the_cost_of_what_is_asked_for_each_item() -> None:
    each = "name ref position contentDigest statement envelope " * 8
    text = f"query($n: Int){{builds(first: $n){{edges{{node{{{each}}}}}}}}}"
    bounded(text, {"n": 10})
    with pytest.raises(LimitExceeded, match="costs: 25020"):
        bounded(text, {"n": 500})
    with pytest.raises(LimitExceeded, match="costs: 25020"):
        bounded(text, {"n": "many"})
    with pytest.raises(LimitExceeded, match="costs: 25020"):
        bounded(text.replace("$n)", "99999999999999999999)"))


def test_a_dozen_traces_in_one_request_are_too_much() -> None:
    bounded("{" + "".join(f'a{n}:trace(ref:"build/a"){{root}}' for n in range(11)) + "}")
    with pytest.raises(LimitExceeded, match="costs"):
        bounded("{" + "".join(f'a{n}:trace(ref:"build/a"){{root}}' for n in range(12)) + "}")


@pytest.mark.parametrize("name", names())
def test_the_named_documents_keep_every_bound(name: str) -> None:
    assert bounded(document(name)).definitions


def test_auditors_may_introspect_with_the_standard_query() -> None:
    assert bounded(get_introspection_query()).definitions


def test_what_is_no_graphql_is_a_syntax_error() -> None:
    with pytest.raises(GraphQLError, match="Syntax Error"):
        bounded("{builds(")
    with pytest.raises(GraphQLError, match="Syntax Error"):
        bounded('{trace(ref: "dataset/\\ud800") {root}}')
    with pytest.raises(GraphQLError, match="Syntax Error"):
        bounded("")


def test_validating_the_worst_document_that_keeps_the_bounds_takes_a_bounded_number_of_steps() -> None:
    """The cost pass bounds what GraphQL's own validation may take, not only the execution."""
    limits = Limits()
    fields = " ".join(f"a{n % 19}" for n in range(limits.same_name * 18))
    text = '{trace(ref:"build/a"){' + fields + "}}"
    document_ast = bounded(text)
    assert steps(lambda: validate(schema._schema, document_ast)) < 2_000_000  # well under a second where a step takes 0.3 µs
    assert DEFAULT_LIMITS.tokens > limits.same_name * 18
