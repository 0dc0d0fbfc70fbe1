"""Entries of a campaign's log: everything that happened, in order; never changed, and enough to tell the state at any time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["Action", "Entry"]


class Action(StrEnum):
    """What can happen in a campaign."""

    CREATE = "create"
    """The campaign is made; detail: its settings."""
    TASK = "task"
    """A frame becomes a task; detail: frame, position, whether it is to be reviewed, and gold where the campaign is not complete without that."""
    CLAIM = "claim"
    """Somebody takes a task to label or review; detail: role, and until when it is theirs."""
    TIMEOUT = "timeout"
    """Their time ran out; the task is free again."""
    REFUSE = "refuse"
    """The labeler gives the task back; detail: reason."""
    SUBMIT = "submit"
    """The labeler hands in; detail: submission id, labels with their ordinals."""
    LATE = "late"
    """Somebody handed in what was no longer theirs to label; it was not taken. Detail: submission id."""
    REVIEW = "review"
    """A second person's verdict; detail: review id, verdict, labels as they stand now, each with its own verdict."""
    REOPEN = "reopen"
    """The task is to be labeled again, by somebody else."""
    CLOSE = "close"
    """Nothing more is taken; detail: how many gold tasks were given up without their review, where any were."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry.

    Attributes:
        seq: its place, from 1 without a hole.
        at: when, microseconds since the Unix epoch.
        action: what.
        task: of which task, if of one.
        who: pseudonym of who acted.
        detail: what else there is to say.
    """

    seq: int
    at: int
    action: Action
    task: str | None
    who: str | None
    detail: Mapping[str, Any]
