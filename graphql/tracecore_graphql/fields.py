"""Decorators that declare the schema's types and root fields: descriptions from docstrings, costs, and pagination with cursors."""

from __future__ import annotations

import base64
import binascii
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar, get_args, get_type_hints

import strawberry
from strawberry.relay import PageInfo
from strawberry.utils.str_converters import to_camel_case
from typing_extensions import dataclass_transform

from tracecore.errors import UsageError
from tracecore_graphql.limits import DEFAULT_LIMITS, DEFAULT_PAGE, Cost

__all__ = ["Connection", "Edge", "costs_of", "output_type", "paged_field", "query_field"]

C = TypeVar("C", bound=type)
T = TypeVar("T")
First = Annotated[int | None, strawberry.argument(description="at most this many items, 0 to 500")]
After = Annotated[str | None, strawberry.argument(description="cursor of the item before the page")]
_CURSOR_PREFIX = "after:"


def _description(thing: object) -> str:
    """Return the first paragraph of an object's docstring on one line."""
    paragraph = (inspect.getdoc(thing) or "").partition("\n\n")[0]
    return " ".join(paragraph.split())


@dataclass_transform(field_specifiers=(strawberry.field,))
def output_type(cls: C) -> C:
    """Return a class, decorated as a GraphQL object type whose description is the first paragraph of its docstring."""
    return strawberry.type(cls, description=_description(cls))


@output_type
class Edge(Generic[T]):
    """One item of a page, with the cursor that the page after it starts from."""

    cursor: str
    node: T


@output_type
class Connection(Generic[T]):
    """One page of a list (Relay's Connection)."""

    page_info: PageInfo
    edges: list[Edge[T]]
    total_count: int


def query_field(*, cost: int) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator that makes a method a root field of the GraphQL schema; `cost` is what the field adds to an operation's cost."""
    return lambda resolver: strawberry.field(resolver, description=_description(resolver), metadata={"cost": Cost(cost)})


def paged_field(*, cost: int, key: Callable[[Any], str]) -> Callable[[Callable[..., Sequence[Any]]], Any]:
    """Return a decorator that makes a list-returning method a paginated root field of the GraphQL schema, with arguments `first` and `after`.

    It adds `cost` to an operation's cost; each field selected below it is counted once per item of the page. Cursors are made of `key(item)`.
    """

    def decorate(resolver: Callable[..., Sequence[Any]]) -> Any:
        def page(self: Any, info: Any, first: int | None = DEFAULT_PAGE, after: str | None = None) -> Any:
            return _page(resolver(self, info), key, first=first, after=after)

        hints = get_type_hints(resolver)
        (item,) = get_args(hints["return"])
        connection: Any = Connection
        page.__name__ = resolver.__name__
        page.__annotations__ = {"info": hints["info"], "first": First, "after": After, "return": connection[item]}
        return strawberry.field(page, description=_description(resolver), metadata={"cost": Cost(cost, paged=True)})

    return decorate


def costs_of(query: type) -> dict[str, Cost]:
    """Return each root field's cost (for the limit of an operation's cost) by GraphQL name; raise TypeError if a field was declared without one."""
    costs: dict[str, Cost] = {}
    for field in query.__strawberry_definition__.fields:  # type: ignore[attr-defined]  # set by strawberry's decorator
        if "cost" not in field.metadata:
            raise TypeError(
                f"The root field '{field.python_name}' has no cost: declare it with @query_field(cost=...) or @paged_field(cost=..., key=...)."
            )
        costs[field.graphql_name or to_camel_case(field.python_name)] = field.metadata["cost"]
    return costs


def _page(items: Sequence[T], key: Callable[[T], str], *, first: int | None, after: str | None) -> Connection[T]:
    """Return the `first` items of a list after the cursor `after`, as a Relay connection; raise UsageError if either argument is invalid."""
    count = DEFAULT_PAGE if first is None else first
    if not 0 <= count <= DEFAULT_LIMITS.page:
        raise UsageError(f"'first' is {count}; expected 0 to {DEFAULT_LIMITS.page}.")
    start = 0 if after is None else _index_of_cursor(items, key, after) + 1
    page = items[start : start + count]
    edges = [Edge(cursor=base64.urlsafe_b64encode((_CURSOR_PREFIX + key(item)).encode()).decode(), node=item) for item in page]
    info = PageInfo(
        has_next_page=start + count < len(items),
        has_previous_page=start > 0,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
    return Connection(page_info=info, edges=edges, total_count=len(items))


def _index_of_cursor(items: Sequence[T], key: Callable[[T], str], cursor: str) -> int:
    """Return the index of the list item whose `key` a cursor encodes; raise UsageError if the list has no item with that key."""
    try:
        text = base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    wanted = text.removeprefix(_CURSOR_PREFIX)
    for index, item in enumerate(items):
        if text.startswith(_CURSOR_PREFIX) and key(item) == wanted:
            return index
    raise UsageError("'after' is not a cursor of this list: take 'endCursor' of the page before.")
