"""How types and fields of the schema are declared: descriptions from docstrings, and lists as pages with cursors."""

from __future__ import annotations

import base64
import binascii
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar, cast

import strawberry
from strawberry.relay import PageInfo
from typing_extensions import dataclass_transform

from tracecore.errors import UsageError
from tracecore_graphql.limits import DEFAULT_LIMITS, DEFAULT_PAGE

__all__ = ["Connection", "Edge", "output_type", "paginate", "query_field"]

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])


def _description(thing: object) -> str:
    """Return the first paragraph of a docstring on one line."""
    paragraph = (inspect.getdoc(thing) or "").partition("\n\n")[0]
    return " ".join(paragraph.split())


@dataclass_transform(field_specifiers=(strawberry.field,))
def output_type(cls: C) -> C:
    """Make a class an object type of the schema."""
    return strawberry.type(cls, description=_description(cls))


def query_field(resolver: F) -> F:
    """Make a method a field of the schema."""
    return cast("F", strawberry.field(resolver, description=_description(resolver)))


T = TypeVar("T")
_MARK = "after:"


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


def paginate(items: Sequence[T], key: Callable[[T], str], *, first: int | None, after: str | None) -> Connection[T]:
    """Cut one page out of a list.

    Args:
        items: the whole list, in its stable order.
        key: what identifies an item; a cursor holds it, so that items added later do not shift a page.
        first: the most items to give, 50 where not said.
        after: the cursor of the item before the page.

    Raises:
        UsageError: `first` is below 0 or over 500, or `after` is no cursor of this list.
    """
    count = DEFAULT_PAGE if first is None else first
    if not 0 <= count <= DEFAULT_LIMITS.page:
        raise UsageError(f"'first' is {count}; expected 0 to {DEFAULT_LIMITS.page}.")
    start = 0 if after is None else _index(items, key, after) + 1
    page = items[start : start + count]
    edges = [Edge(cursor=_cursor(key(item)), node=item) for item in page]
    info = PageInfo(
        has_next_page=start + count < len(items),
        has_previous_page=start > 0,
        start_cursor=edges[0].cursor if edges else None,
        end_cursor=edges[-1].cursor if edges else None,
    )
    return Connection(page_info=info, edges=edges, total_count=len(items))


def _cursor(key: str) -> str:
    return base64.urlsafe_b64encode((_MARK + key).encode()).decode()


def _index(items: Sequence[T], key: Callable[[T], str], cursor: str) -> int:
    try:
        text = base64.b64decode(cursor, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    wanted = text.removeprefix(_MARK)
    for index, item in enumerate(items):
        if text.startswith(_MARK) and key(item) == wanted:
            return index
    raise UsageError("'after' is no cursor of this list: take 'endCursor' of the page before.")
