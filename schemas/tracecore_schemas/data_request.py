"""Data requests: the data that a diagnosis asks for, and by which curation selects drives and frames."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["FILE", "DataRequest", "Want"]

FILE = "request.json"
"""Name of the only file in a `data_request` artifact."""


class Want(BaseModel):
    """One thing that is wanted: more frames that meet conditions, because of mistakes that were seen.

    Attributes:
        cluster: the cluster of events it comes from.
        why: one sentence for people, with the counts.
        category: class of object the frames should hold; null for mistakes about whole frames.
        conditions: by name (any of a frame's conditions, and `conditions.OF_OBJECTS`), the values that count; a frame meets a condition where its
            value is known and is one of them.
        count: how many frames are wanted.
        like: refs of frames that show the mistake, the clearest first.
        bugs: ids of bug reports that ask for the same.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cluster: str
    why: str
    category: str | None = None
    conditions: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    count: int = Field(ge=1)
    like: tuple[str, ...] = ()
    bugs: tuple[str, ...] = ()


class DataRequest(BaseModel):
    """A request for data: its wants, the most needed first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    v: Literal[1] = 1
    type: Literal["tracecore.data_request"] = "tracecore.data_request"
    wants: tuple[Want, ...]
