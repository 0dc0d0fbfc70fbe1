"""What a campaign asks for, decided once when it is made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tracecore_labeling.campaign.label import GEOMETRIES
from tracecore_schemas.canonical import JSON, digest_json, hex_of

__all__ = ["Settings", "share_of", "task_id"]


@dataclass(frozen=True, slots=True)
class Settings:
    """A campaign's own terms.

    Attributes:
        id: 16 hex digits: random by hand, from parameters and seed where simulated.
        name: what people call it.
        guideline: version of the labeling guideline.
        guideline_digest: of the guideline's text, where it was given.
        instructions: what labelers are told besides.
        categories: classes that are asked for; any where empty.
        geometries: what is asked for: box2d, cuboid, path, tag.
        review: share of the tasks whose labels a second person looks at.
        lease_seconds: how long a claimed task is its claimer's.
        seed: decides which tasks are reviewed.
        tool: what the labels are drawn with, and its version.
        frames: ref of the frames, by hand.
    """

    id: str
    name: str
    guideline: str
    guideline_digest: str | None = None
    instructions: str = ""
    categories: tuple[str, ...] = ()
    geometries: tuple[str, ...] = GEOMETRIES
    review: float = 0.1
    lease_seconds: int = 3600
    seed: int = 0
    tool: str = ""
    frames: str | None = None

    def to_json(self) -> dict[str, JSON]:
        """Write them for the log."""
        return {**asdict(self), "categories": list(self.categories), "geometries": list(self.geometries)}

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> Settings:
        """Read what `to_json` wrote."""
        return cls(**{**written, "categories": tuple(written["categories"]), "geometries": tuple(written["geometries"])})


def task_id(campaign: str, frame_id: str) -> str:
    """Name the task of labeling one frame in one campaign: 16 hex digits of the SHA-256 of JCS [campaign, frame]."""
    return hex_of(digest_json([campaign, frame_id]))[:16]


def share_of(*words: object) -> float:
    """Give a number from 0 to below 1 that the words decide: the same in every process, on every machine."""
    text = "\x1f".join(map(str, words))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7]) / 2**56
