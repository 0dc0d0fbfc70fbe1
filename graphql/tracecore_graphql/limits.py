"""Bounds of a GraphQL document, checked in linear time before the document is validated or executed.

Twenty lines of fragments can expand to millions of fields. Each fragment is therefore measured once, and each spread adds that measure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    IntValueNode,
    Lexer,
    OperationDefinitionNode,
    SelectionSetNode,
    Source,
    TokenKind,
    VariableNode,
    parse,
)

__all__ = ["DEFAULT_LIMITS", "DEFAULT_PAGE", "Cost", "LimitExceeded", "Limits", "read_document"]


class LimitExceeded(GraphQLError):
    """A document that exceeds one of the bounds; the message names the bound."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one request.

    Attributes:
        document_bytes: UTF-8 bytes of the document.
        variables_bytes: bytes of the variables as JSON.
        tokens: lexical tokens of the document.
        nesting: open brackets, and selection sets inside each other through fragments.
        depth: fields inside each other, fragments expanded.
        aliases: aliased fields, fragments expanded.
        same_name: fields with the same response name; GraphQL's validation compares them in pairs.
        cost: sum over all fields: a root field has its `Cost`, any other costs 1; fields under a connection count once per requested item.
        page: items of a connection (`first`).
        seconds: wall time of the whole response.
    """

    document_bytes: int = 32 * 1024
    variables_bytes: int = 64 * 1024
    tokens: int = 2_000
    nesting: int = 48
    depth: int = 16
    aliases: int = 30
    same_name: int = 100
    cost: int = 12_000
    page: int = 500
    seconds: float = 30.0

    @property
    def body_bytes(self) -> int:
        """Maximum size of an HTTP request body in bytes: six times the bytes allowed for document and variables (JSON escapes), plus 4,096."""
        return 6 * (self.document_bytes + self.variables_bytes) + 4096


DEFAULT_LIMITS = Limits()

DEFAULT_PAGE = 50
_FAR = 10**9
_OPENING = frozenset({TokenKind.BRACE_L, TokenKind.BRACKET_L, TokenKind.PAREN_L})
_CLOSING = frozenset({TokenKind.BRACE_R, TokenKind.BRACKET_R, TokenKind.PAREN_R})


@dataclass(frozen=True, slots=True)
class Cost:
    """Cost of a root field without the fields selected below it; those of a `paged` field count once for each item of the page."""

    own: int
    paged: bool = False


_DEFAULT_COST = Cost(1)


@dataclass(frozen=True, slots=True)
class _Measure:
    """Size of a selection set with fragments expanded: nested fields, nested selection sets, aliases and cost."""

    depth: int = 0
    height: int = 0
    aliases: int = 0
    cost: int = 0


def read_document(text: str, variables: Mapping[str, Any], costs: Mapping[str, Cost], limits: Limits = DEFAULT_LIMITS) -> DocumentNode:
    """Return a parsed GraphQL document; raise LimitExceeded if it exceeds one of `limits`, GraphQLError if it is not valid GraphQL.

    `variables` may contain the page size `first` of a paginated field; a root field missing in `costs` (`__typename`) costs 1.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > limits.document_bytes:
        raise LimitExceeded(f"The document has {size} bytes; at most {limits.document_bytes} are allowed.")
    size = len(json.dumps(variables)) if variables else 0
    if size > limits.variables_bytes:
        raise LimitExceeded(f"The variables have {size} bytes; at most {limits.variables_bytes} are allowed.")
    _check_tokens(text, limits)
    document = parse(text, no_location=False, max_tokens=limits.tokens + 2)
    _Measurer(document, variables, costs, limits).check()
    return document


def _check_tokens(text: str, limits: Limits) -> None:
    """Raise LimitExceeded if a document has too many tokens or open brackets; the parser is recursive, so nesting is checked before it runs."""
    lexer = Lexer(Source(text))
    tokens = open_brackets = 0
    while (token := lexer.advance()).kind is not TokenKind.EOF:
        tokens += 1
        if tokens > limits.tokens:
            raise LimitExceeded(f"The document has more than {limits.tokens} tokens.")
        if token.kind in _OPENING:
            open_brackets += 1
            if open_brackets > limits.nesting:
                raise LimitExceeded(f"The document nests brackets deeper than {limits.nesting}.")
        elif token.kind in _CLOSING:
            open_brackets -= 1


class _Measurer:
    """Calculator of the size and cost of a document's operations; each selection set is visited once."""

    def __init__(self, document: DocumentNode, variables: Mapping[str, Any], costs: Mapping[str, Cost], limits: Limits) -> None:
        self.operations = [node for node in document.definitions if isinstance(node, OperationDefinitionNode)]
        self.fragments = {node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)}
        self.variables = variables
        self.costs = costs
        self.limits = limits
        self.measured: dict[str, _Measure] = {}
        self.open: set[str] = set()
        self.names: Counter[str] = Counter()

    def check(self) -> None:
        """Raise LimitExceeded if the measured GraphQL document exceeds a limit: nesting, depth, aliases, cost, or repetitions of one field name."""
        for operation in self.operations:
            found = self._measure_selections(operation.selection_set, level=1, root=True)
            limits = self.limits
            for what, value, bound in (
                ("nests selections", found.height, limits.nesting),
                ("is deep", found.depth, limits.depth),
                ("has aliased fields", found.aliases, limits.aliases),
                ("costs", found.cost, limits.cost),
            ):
                if value > bound:
                    shown = f"more than {_FAR - 1}" if value >= _FAR else value
                    raise LimitExceeded(f"The operation {what}: {shown}; at most {bound} is allowed. Ask for less, or in several requests.")
        # Fragments that no operation spreads still go through validation.
        for name in self.fragments:
            self._measure_fragment(name, level=1, root=False)
        name, count = max(self.names.items(), key=lambda item: item[1], default=("", 0))
        if count > self.limits.same_name:
            raise LimitExceeded(f"The document has the field '{name}' {count} times; at most {self.limits.same_name} times is allowed.")

    def _measure_selections(self, selection_set: SelectionSetNode | None, *, level: int, root: bool) -> _Measure:
        if selection_set is None:
            return _Measure()
        if level > self.limits.nesting:
            raise LimitExceeded(f"The operation nests selections deeper than {self.limits.nesting}.")
        depth = height = aliases = cost = 0
        for selection in selection_set.selections:
            if isinstance(selection, FieldNode):
                found = self._measure_field(selection, level=level, root=root)
            elif isinstance(selection, FragmentSpreadNode):
                found = self._measure_fragment(selection.name.value, level=level + 1, root=root)
            else:
                found = self._measure_selections(selection.selection_set, level=level + 1, root=root)  # type: ignore[attr-defined]  # the third kind of selection is the inline fragment
            depth = max(depth, found.depth)
            height = max(height, found.height)
            # Saturating: exponential expansion would make huge integers, and a value far over the bound needs no exact number.
            aliases = min(aliases + found.aliases, _FAR)
            cost = min(cost + found.cost, _FAR)
        return _Measure(depth, height + 1, aliases, cost)

    def _measure_field(self, field: FieldNode, *, level: int, root: bool) -> _Measure:
        name = field.name.value
        self.names[field.alias.value if field.alias else name] += 1
        below = self._measure_selections(field.selection_set, level=level + 1, root=False)
        cost = self.costs.get(name, _DEFAULT_COST) if root else _DEFAULT_COST
        factor = self._page_size(field) if cost.paged else 1
        return _Measure(below.depth + 1, below.height, below.aliases + (field.alias is not None), min(cost.own + factor * below.cost, _FAR))

    def _measure_fragment(self, name: str, *, level: int, root: bool) -> _Measure:
        fragment = self.fragments.get(name)
        if fragment is None:
            return _Measure()  # reported by validation
        key = f"{name}/{root}"
        if key in self.open:
            raise LimitExceeded(f"The fragment '{name}' spreads itself.")
        if key not in self.measured:
            self.open.add(key)
            self.measured[key] = self._measure_selections(fragment.selection_set, level=level, root=root)
            self.open.discard(key)
        return self.measured[key]

    def _page_size(self, field: FieldNode) -> int:
        """Return the number of items that a paginated field may return, from its argument `first`; the largest page size if `first` is invalid."""
        for argument in field.arguments:
            if argument.name.value == "first":
                value = argument.value
                given = self.variables.get(value.name.value, DEFAULT_PAGE) if isinstance(value, VariableNode) else None
                if isinstance(value, IntValueNode):
                    # `int` refuses texts of thousands of digits.
                    given = int(value.value) if len(value.value) < 10 else self.limits.page  # more than any page
                if isinstance(given, int) and not isinstance(given, bool):
                    return max(1, min(given, self.limits.page))
                return self.limits.page
        return DEFAULT_PAGE
