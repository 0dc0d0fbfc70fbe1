"""The stage `leak-free-split`: training and validation frames that share nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import field_validator

import tracecore as tc
from tracecore.suggest import suggestion
from tracecore_curation.attributes import split_by_attribute
from tracecore_curation.filters import FilterParams, filter_expression, selection
from tracecore_curation.frame_facts import FrameFacts, read_facts
from tracecore_curation.groups import Group, Joint, choose_validation, drive_groups
from tracecore_curation.leaks import KEPT, Limits
from tracecore_curation.near_duplicates import BITS, LIKENESS, Thumbnails
from tracecore_curation.neighborhood import METERS, SECONDS, unmeasured
from tracecore_schemas.canonical import JSON

__all__ = ["LeakFreeSplit"]


@dataclass(frozen=True, slots=True)
class _Split:
    """Which frames are on which side, what a trace should say of it, and what is not known."""

    train: frozenset[str]
    validation: frozenset[str]
    facet: Mapping[str, JSON] = field(default_factory=dict)
    unknowns: tuple[tuple[str, str], ...] = ()


class LeakFreeSplit(tc.Stage):
    """Split frames into training and validation so that no drive, no time and place, and no near-duplicate is on both sides."""

    kind = tc.StageKind.CURATE
    checks = ("no_leak",)
    frames = tc.Input("dataset", description="the frames to split")
    labels = tc.Input("label_batch", optional=True, description="labels whose image attributes can name the split, or say which frames are labeled")
    train = tc.Output("dataset", checks=["not_empty", "unique_frame_ids"], description="the frames to train on")
    validation = tc.Output("dataset", checks=["not_empty", "unique_frame_ids"], description="the frames to validate on")

    class Params(FilterParams):
        """How to split, and which frames at all."""

        by: str = tc.Field("drive", min_length=1, description="'drive', or an attribute whose values name the sides (official_split, region)")
        validation: float = tc.Field(0.2, gt=0, lt=1, description="share of the frames on the validation side, by whole groups of drives")
        holdout: tuple[str, ...] = tc.Field((), description="drives (values of 'by') of the validation side, instead of a share")
        seconds: float = tc.Field(SECONDS, gt=0, description="frames of two drives within this much time of each other are of the same time")
        meters: float = tc.Field(METERS, gt=0, description="frames of two drives within this distance of each other are of the same place")
        bits: int = tc.Field(BITS, ge=0, le=32, description="of 64: how many bits of two near-duplicates' difference hashes may differ")
        likeness: float = tc.Field(LIKENESS, gt=0, le=1, description="least correlation of two near-duplicates' thumbnails")

        @field_validator("holdout", mode="before")
        @classmethod
        def _one_is_a_list(cls, value: Any) -> Any:
            return (value,) if isinstance(value, str) else value

    def run(self, context: tc.Context, params: Params) -> None:
        """Filter, split, and write both sides."""
        frames, labels = context.read(self.frames), context.read(self.labels)
        facts = read_facts(frames, filter_expression(frames, params, labels))
        if not len(facts):
            raise tc.UsageProblem(f"No frame is left to split: the filters let none of {frames.count_rows()} frames pass.")
        context.progress(0, 2, f"{len(facts)} frames")
        by_drive = params.by == "drive"
        split = _by_drive(facts, Thumbnails(frames), params, context.seed) if by_drive else _by_attribute(frames, labels, facts, params)
        for done, (port, ids) in enumerate(((self.train, split.train), (self.validation, split.validation)), 1):
            context.write(port, selection(frames, ids))
            drives = _drives(facts, ids)
            held = tc.summarize(f"{tc.count(len(ids), 'frame')} of {tc.count(len(drives), 'drive')}")
            context.describe(port, "tracecore_frames", {"summary": held, "frames": len(ids), "drives": drives})
            summary = tc.summarize(f"{port.name} side of a split by {params.by}")
            context.describe(
                port, "tracecore_split", {"summary": summary, "by": params.by, "side": port.name, **_counts(facts, split), **split.facet}
            )
            context.progress(done, 2, f"{len(ids)} frames in {port.name}")
        for what, why in split.unknowns:
            context.unknown(what, why)
        missing = unmeasured(facts)
        if missing is not None:
            context.unknown("time and place", missing)
        context.log.info("Split by %s: %d frames to train on, %d to validate on.", params.by, len(split.train), len(split.validation))


def _by_drive(facts: FrameFacts, thumbnails: Thumbnails, params: LeakFreeSplit.Params, seed: int) -> _Split:
    for drive in params.holdout:
        if drive not in facts.drive_names:
            raise tc.UsageProblem(f"The holdout '{drive}' is no drive of these frames. {suggestion(drive, facts.drive_names)}")
    groups, joints = drive_groups(facts, thumbnails, Limits(params.seconds, params.meters, params.bits, params.likeness))
    if len(groups) < 2:
        raise tc.UsageProblem(f"There is nothing to split: {_one_group(groups[0], joints)} More drives are needed for a split that doesn't leak.")
    if params.holdout:
        chosen = {drive for group in groups if set(group.drives) & set(params.holdout) for drive in group.drives}
        if len(chosen) == len(facts.drive_names):
            raise tc.UsageProblem(
                f"Nothing is left to train on: with the holdout {', '.join(params.holdout)} every drive is on the validation side, "
                f"because {_one_group(Group(tuple(sorted(chosen)), 0), joints)}"
            )
    else:
        chosen = choose_validation(groups, params.validation, seed)
    sides = {id_: drive in chosen for id_, drive in zip(facts.ids.tolist(), facts.drives.tolist(), strict=True)}
    validation = frozenset(id_ for id_, held in sides.items() if held)
    share = len(validation) / len(facts)
    followed = sorted(chosen - set(params.holdout)) if params.holdout else []
    facet: dict[str, JSON] = {
        "share": {"asked": None if params.holdout else params.validation, "reached": share},
        "groups": len(groups),
        "joined": [_joint_facet(joint) for joint in joints[:KEPT]],
        "joined_count": len(joints),
        "followed_holdout": followed,
    }
    if not params.holdout:
        facet["said"] = (
            f"{share:.1%} of the frames are for validation, {abs(share - params.validation):.1%} {'above' if share > params.validation else 'below'} "
            f"the asked {params.validation:.1%}: whole groups of drives are moved, and there are {len(groups)}."
        )
    return _Split(frozenset(sides) - validation, validation, facet)


def _by_attribute(frames: Any, labels: Any, facts: FrameFacts, params: LeakFreeSplit.Params) -> _Split:
    found = split_by_attribute(frames, labels, facts.ids.tolist(), params.by, params.holdout)
    left_out: dict[str, JSON] = dict(found.left_out)
    unknowns: list[tuple[str, str]] = []
    if found.without:
        unknowns.append(("side of frames", f"{found.without} of {len(facts)} frames have no attribute '{params.by}'; they are on neither side."))
    return _Split(found.train, found.validation, {"left_out": left_out, "without": found.without}, tuple(unknowns))


def _joint_facet(joint: Joint) -> JSON:
    nearest = {"a": joint.pair.a, "b": joint.pair.b, "apart": joint.pair.apart}
    return {"drives": list(joint.drives), "reason": joint.reason, "pairs": joint.count, "nearest": nearest}


def _counts(facts: FrameFacts, split: _Split) -> dict[str, JSON]:
    return {
        "counts": {"train": len(split.train), "validation": len(split.validation)},
        "drives": {"train": sorted(_drives(facts, split.train)), "validation": sorted(_drives(facts, split.validation))},
    }


def _drives(facts: FrameFacts, ids: frozenset[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for id_, drive in zip(facts.ids.tolist(), facts.drives.tolist(), strict=True):
        if id_ in ids:
            found[drive] = found.get(drive, 0) + 1
    return found


def _one_group(group: Group, joints: list[Joint]) -> str:
    if len(group.drives) == 1:
        return f"all frames are of one drive, {group.drives[0]}."
    of_group = [joint for joint in joints if set(joint.drives) <= set(group.drives)]
    words = {"time_and_place": "at the same time and place", "near_duplicate": "showing the same picture"}
    said = "; ".join(
        f"{' and '.join(joint.drives)} {words[joint.reason]} ({joint.pair.a} and {joint.pair.b}, {joint.pair.apart})" for joint in of_group[:3]
    )
    return f"the drives {', '.join(group.drives)} belong together: {said}{'; …' if len(of_group) > 3 else ''}."
