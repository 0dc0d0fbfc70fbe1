"""The file of a closed labeling campaign: its log, entry by entry."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Required  # pydantic reads `Required` on Python 3.11 only from here

from pydantic import Field, with_config
from typing_extensions import TypedDict

from tracecore_schemas.file_shapes import OPEN, Nanoseconds, NonEmpty

__all__ = ["CampaignFile"]

_LAST = 253_402_300_799_999_999  # microseconds since the Unix epoch at the end of the year 9999
_Time = Annotated[int, Field(ge=0, le=_LAST)]
_Count = Annotated[int, Field(ge=0, lt=2**31)]


class _Label(TypedDict, total=False):
    geometry: Required[Literal["box2d", "cuboid", "path", "tag"]]
    category: str
    box: Annotated[list[float], Field(min_length=4, max_length=4)]
    cuboid: Annotated[list[float], Field(min_length=10, max_length=10)]
    cuboid_frame: str
    path: Annotated[list[float], Field(min_length=2)]
    value: str
    track: str
    crowd: bool
    ignore: bool
    attributes: dict[str, str]


class _Standing(TypedDict, total=False):
    ordinal: Required[_Count]
    revision: Required[_Count]
    label: Required[_Label]
    qa: str | None


class _Settings(TypedDict, total=False):
    id: Required[NonEmpty]
    name: Required[str]
    guideline: Required[str]
    guideline_digest: str | None
    instructions: str
    categories: Required[list[str]]
    geometries: Required[list[str]]
    review: float
    lease_seconds: int
    seed: int
    tool: str
    frames: str | None


class _Frame(TypedDict):
    drive: str
    sensor: str
    timestamp_ns: Nanoseconds
    frame_id: NonEmpty
    index: _Count
    width: _Count
    height: _Count


class _Task(TypedDict, total=False):
    frame: Required[_Frame]
    position: Required[_Count]
    review: Required[bool]
    gold: bool


class _Claim(TypedDict):
    role: Literal["label", "review"]
    until: _Time


class _Refuse(TypedDict):
    reason: str


class _Submit(TypedDict):
    submission: str
    labels: list[_Standing]


class _Review(TypedDict):
    review: str
    verdict: str
    labels: list[_Standing]
    removed: _Count


class _Any(TypedDict):
    seq: _Count
    at: _Time
    who: str | None


class _Create(_Any):
    action: Literal["create"]
    task: None
    detail: _Settings


class _Close(_Any):
    action: Literal["close"]
    task: None
    detail: dict[str, Any]


class _Of(_Any):
    task: NonEmpty


class _OfTask(_Of):
    action: Literal["task"]
    detail: _Task


class _OfClaim(_Of):
    action: Literal["claim"]
    detail: _Claim


class _OfRefuse(_Of):
    action: Literal["refuse"]
    detail: _Refuse


class _OfSubmit(_Of):
    action: Literal["submit"]
    detail: _Submit


class _OfReview(_Of):
    action: Literal["review"]
    detail: _Review


class _OfOther(_Of):
    action: Literal["timeout", "late", "reopen"]
    detail: dict[str, Any]


_Entry = Annotated[_Create | _Close | _OfTask | _OfClaim | _OfRefuse | _OfSubmit | _OfReview | _OfOther, Field(discriminator="action")]


@with_config(OPEN)  # pydantic applies it to the nested types too
class CampaignFile(TypedDict):
    """A closed campaign, as `tracecore label close` writes it."""

    format: Literal["tracecore-campaign/1"]
    log: list[_Entry]
