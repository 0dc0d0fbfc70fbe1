"""Decorators that take a GraphQL description from the docstring, so that each thing is described once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

import strawberry
from typing_extensions import dataclass_transform

__all__ = ["output_type", "question"]

C = TypeVar("C", bound=type)
F = TypeVar("F", bound=Callable[..., Any])


def _description(thing: object) -> str:
    """Give the first paragraph of a docstring on one line."""
    paragraph = (inspect.getdoc(thing) or "").partition("\n\n")[0]
    return " ".join(paragraph.split())


@dataclass_transform(field_specifiers=(strawberry.field,))
def output_type(cls: C) -> C:
    """Make a class an object type of the schema."""
    return strawberry.type(cls, description=_description(cls))


def question(resolver: F) -> F:
    """Make a method a field of the schema."""
    return cast("F", strawberry.field(resolver, description=_description(resolver)))
