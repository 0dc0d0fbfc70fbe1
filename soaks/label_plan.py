"""What each simulated labeler does with a task, computed from seed, task and labeler: the judge can compute the expected labels again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tracecore_labeling.campaign.label import Label
from tracecore_labeling.campaign.state import Settings, share_of
from tracecore_labeling.linking import RecordedFrame
from tracecore_schemas.refs import frame_ref

__all__ = ["Fate", "Plan", "correction", "frames_of", "labels_by", "settings_of"]

_WIDTH, _HEIGHT = 1280, 720
_CLASSES = ("car", "pedestrian", "bicyclist")


@dataclass(frozen=True, slots=True)
class Plan:
    """One soak.

    Attributes:
        labelers: how many.
        tasks: how many.
        processes: worker processes, each of which acts for its share of the labelers.
        kills: how often one of them is killed.
        seed: decides what labelers do.
        lease_seconds: how long a claim holds.
        review: share of the tasks that are reviewed.
        refusal: share of the claims that are given back.
        walk_away: share of the claims that are not submitted in time.
        again: share of the submissions that are sent twice.
    """

    labelers: int
    tasks: int
    processes: int
    kills: int
    seed: int
    lease_seconds: int = 2
    review: float = 0.15
    refusal: float = 0.05
    walk_away: float = 0.02
    again: float = 0.05

    def name(self, number: int) -> str:
        """Return the pseudonym of a labeler."""
        return f"labeler-{number:04d}"


@dataclass(frozen=True, slots=True)
class Fate:
    """What a labeler does with a task they were given."""

    refuses: bool
    walks_away: bool
    sends_twice: bool
    verdict: str

    @classmethod
    def of(cls, plan: Plan, task: str, who: str) -> Fate:
        """Decide it."""
        what = share_of(plan.seed, "what", task, who)
        judged = share_of(plan.seed, "verdict", task, who)
        return cls(
            refuses=what < plan.refusal,
            walks_away=plan.refusal <= what < plan.refusal + plan.walk_away,
            sends_twice=share_of(plan.seed, "again", task, who) < plan.again,
            verdict="rejected" if judged < 0.05 else "corrected" if judged < 0.3 else "accepted",
        )


def settings_of(plan: Plan) -> Settings:
    """Return the campaign's terms."""
    return Settings(
        id=f"{plan.seed:016x}",
        name="soak",
        guideline="v1",
        categories=_CLASSES,
        geometries=("box2d",),
        review=plan.review,
        lease_seconds=plan.lease_seconds,
        seed=plan.seed,
        tool="soak",
    )


def frames_of(plan: Plan) -> list[RecordedFrame]:
    """Return a frame for each task."""
    sensor = "/camera/front/image"
    return [RecordedFrame("soak", sensor, number, frame_ref("soak", sensor, number), number, _WIDTH, _HEIGHT) for number in range(plan.tasks)]


def labels_by(plan: Plan, task: str, who: str) -> list[Label]:
    """Return what a labeler labels in a task: always the same."""

    def share(*words: object) -> float:
        return share_of(plan.seed, task, who, *words)

    return [
        Label(
            "box2d",
            _CLASSES[int(share(number, "class") * len(_CLASSES))],
            box=(round(share(number, "x") * 900, 1), round(share(number, "y") * 500, 1), 20.0 + number, 30.0),
        )
        for number in range(int(share("count") * 4))
    ]


def correction(labels: Mapping[str, Label]) -> list[tuple[str | None, Label]]:
    """Return what a reviewer makes of labels: the first goes, the last is moved, one is new."""
    listed = list(labels.items())[1:]
    after: list[tuple[str | None, Label]] = [(id_, label) for id_, label in listed[:-1]]
    after += [(id_, Label("box2d", label.category, box=(1.0, 2.0, 30.0, 40.0))) for id_, label in listed[-1:]]
    return [*after, (None, Label("box2d", "car", box=(5.0, 6.0, 70.0, 80.0)))]
