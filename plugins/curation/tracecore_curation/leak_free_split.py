"""The stage `leak-free-split`: frames for training, for selection, and for measurement; the last share nothing with the others."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

import tracecore as tc
from tracecore.errors import suggestion
from tracecore_curation.frame_facts import FrameFacts, read_facts
from tracecore_curation.frame_filter import FilterParams, Names, filter_expression, selection
from tracecore_curation.leaks import KEPT, Limits
from tracecore_curation.near_duplicates import Thumbnails
from tracecore_curation.proximity import unmeasured
from tracecore_curation.splits import Group, Joint, choose_drives, cut_blocks, drive_groups, split_by_attribute
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import FRAMES_FACET, SPLIT_FACET

__all__ = ["LeakFreeSplit"]

TRAIN, VALIDATION, TEST = "train", "validation", "test"
_GAP = "gap"
_WHOLE = 5  # with fewer drives, a whole one for validation leaves too few to train on


_Split = tuple[NDArray[np.object_], dict[str, JSON]]
"""The side of each frame (an output's name; any other value means no side), and members of the facet that describe the split."""


class LeakFreeSplit(tc.Stage):
    """Split frames into training, validation and test: test shares no drive, no time and place, and no near-duplicate with the other two.

    Validation frames are for selection (a snapshot, a threshold, a hyperparameter, the next frames); they may share drives with training frames.
    """

    kind = tc.StageKind.CURATE
    checks = ("no_leak",)
    frames = tc.Input(table=tc.FRAMES, description="the frames to split")
    labels = tc.Input(table=tc.LABELS, optional=True, description="labels whose image attributes can name the split, or say which frames are labeled")
    train = tc.Output(table=tc.FRAMES, checks=["not_empty", "unique_frame_ids"], description="the frames to train on")
    validation = tc.Output(
        table=tc.FRAMES, checks=["not_empty", "unique_frame_ids"], description="the frames to select by: snapshots, thresholds, new frames"
    )
    test = tc.Output(
        table=tc.FRAMES, checks=["not_empty", "unique_frame_ids"], description="the frames to measure on, which nothing was learned or selected by"
    )

    class Params(FilterParams, Limits):
        """Sides, limits and filters."""

        by: str = tc.Field("drive", min_length=1, description="'drive', or an attribute whose values name the sides (official_split, region)")
        holdout: Names = tc.Field((), description="drives (values of 'by') of the test side, instead of a share")
        test: float = tc.Field(0.2, gt=0, lt=1, description="share of the frames on the test side, by whole groups of drives")
        validation: float = tc.Field(
            0.2, gt=0, lt=1, description="share of the other frames on the validation side: whole groups of drives, or blocks of time"
        )
        block: float = tc.Field(10.0, gt=0, description="seconds of a block of time, where validation is cut from the training drives")
        gap: float = tc.Field(1.0, ge=0, description="seconds on either side of a block whose frames are left out; at most a quarter of the block")

    def run(self, context: tc.Context, params: Params) -> None:
        """Filter the frames, split them, and write the outputs `train`, `validation` and `test`."""
        frames, labels = context.read(self.frames), context.read(self.labels)
        facts = read_facts(frames, filter_expression(frames, params, labels))
        if not len(facts):
            raise tc.UsageError(f"No frame is left to split: the filters let none of {tc.count(frames.count_rows(), 'frame')} pass.")
        ports = (self.train, self.validation, self.test)
        context.progress(0, len(ports), tc.count(len(facts), "frame"))
        by_drive = params.by == "drive"
        sides, split = _by_drive(facts, Thumbnails(frames), params, context.seed) if by_drive else _by_attribute(facts, frames, labels, params)
        drives = {port.name: dict(sorted(Counter(facts.drives[sides == port.name].tolist()).items())) for port in ports}
        counts = {name: sum(of_drives.values()) for name, of_drives in drives.items()}
        facet = {"by": params.by, "counts": counts, "drives": {name: list(of_drives) for name, of_drives in drives.items()}, **split}
        for done, port in enumerate(ports, 1):
            context.write(port, selection(frames, facts.ids[sides == port.name].tolist()))
            context.describe(port, FRAMES_FACET, {"frames": counts[port.name], "drives": drives[port.name]})
            context.describe(port, SPLIT_FACET, {"side": port.name, **facet})
            context.progress(done, len(ports), f"{tc.count(counts[port.name], 'frame')} in {port.name}")
        if split.get("without"):
            context.unknown("side of frames", f"{split['without']} of {len(facts)} frames have no attribute '{params.by}'; they are on no side.")
        missing = unmeasured(facts)
        if missing is not None:
            context.unknown("time and place", missing)
        context.log.info("Split by %s: %s.", params.by, ", ".join(f"{tc.count(count, 'frame')} in {name}" for name, count in counts.items()))


def _by_drive(facts: FrameFacts, thumbnails: Thumbnails, params: LeakFreeSplit.Params, seed: int) -> _Split:
    """Return each frame's side (train, validation, test or none) and facet members; a group of drives is on the test side as a whole or not at all.

    Drives that met or look alike are one group. With a holdout, or with fewer than five groups, validation is blocks of time of the training drives.
    """
    for drive in params.holdout:
        if drive not in facts.drive_names:
            raise tc.UsageError(f"The holdout '{drive}' is not a drive of these frames. {suggestion(drive, facts.drive_names)}")
    groups, joints = drive_groups(facts, thumbnails, params)
    if len(groups) < 2:
        raise tc.UsageError(
            f"There is nothing to split: {_one_group(groups[0], joints)} The test side shares no drive with the others: more drives are needed."
        )
    if params.holdout:
        chosen = {drive for group in groups if set(group.drives) & set(params.holdout) for drive in group.drives}
        if len(chosen) == len(facts.drive_names):
            joined = sorted(chosen - set(params.holdout))
            why = f", because {_one_group(Group(tuple(sorted(chosen)), 0), joints)}" if joined else "."
            raise tc.UsageError(f"Nothing is left to train on: with the holdout {', '.join(params.holdout)} every drive is on the test side{why}")
    else:
        chosen = choose_drives(groups, params.test, seed)
    sides = np.where(np.isin(facts.drives.astype(str), sorted(chosen)), TEST, TRAIN).astype(object)
    reached = float((sides == TEST).mean())
    said = (
        _share_sentence("test", reached, params.test, groups)
        if not params.holdout
        else f"The drives of the test side were named: {', '.join(params.holdout)}."
    )
    rest = [group for group in groups if not set(group.drives) & chosen]
    if params.holdout or len(groups) < _WHOLE:
        why = "the test side's were named" if params.holdout else f"there are {len(groups)} groups of drives"
        cut = _in_blocks(facts, sides, params, why)
    else:
        sides[np.isin(facts.drives.astype(str), sorted(choose_drives(rest, params.validation, seed)))] = VALIDATION
        share = float((sides == VALIDATION).sum() / (sides != TEST).sum())
        cut = {"share": {"asked": params.validation, "reached": share}, "said": _share_sentence("validation", share, params.validation, rest)}
    return sides, {
        "test_share": {"asked": None if params.holdout else params.test, "reached": reached},
        "groups": len(groups),
        "joined": [_joint_facet(joint) for joint in joints[:KEPT]],
        "joined_count": len(joints),
        "followed_holdout": sorted(chosen - set(params.holdout)) if params.holdout else [],
        **cut,
        "said": f"{said} {cut['said']}",
    }


def _by_attribute(facts: FrameFacts, frames: Any, labels: Any, params: LeakFreeSplit.Params) -> _Split:
    """Return each frame's side by its value of an attribute, and facet members; blocks of training time are validation if no value means that."""
    by_frame, facet = split_by_attribute(frames, labels, facts.ids.tolist(), params.by, params.holdout)
    sides = np.array([by_frame.get(id_, "") for id_ in facts.ids.tolist()], dtype=object)
    if not (sides == VALIDATION).any():
        cut = _in_blocks(facts, sides, params, f"no value of {params.by} names selection frames")
        facet |= {**cut, "said": f"{facet['said']} {cut['said']}"}
    return sides, facet


def _in_blocks(facts: FrameFacts, sides: NDArray[np.object_], params: LeakFreeSplit.Params, why: str) -> dict[str, JSON]:
    """Mark blocks of time of the training frames as validation in `sides`, in place; return facet members about the blocks, with `why` as reason."""
    rows = np.flatnonzero(sides == TRAIN)
    cut = cut_blocks(facts.take(rows), params.validation, params.block, params.gap)
    if cut is None:
        raise tc.UsageError(
            f"Nothing is left to train on: besides the test side there {'is one frame' if len(rows) == 1 else 'are frames of one moment'} "
            f"({facts.ids[rows[0]]}), and one to train on and one to validate on are needed. More frames, drives or a smaller holdout would do."
        )
    sides[rows[cut.held]] = VALIDATION
    sides[rows[cut.near]] = _GAP
    reached, left_out = float(cut.held.mean()), int(cut.near.sum())
    said = f"Because {why}, validation is {tc.count(cut.count, 'block')} of time of the training drives: {reached:.1%} of their frames"
    said += f" (asked {params.validation:.1%}); {tc.count(left_out, 'frame')} next to a block {'is' if left_out == 1 else 'are'} on no side."
    return {"share": {"asked": params.validation, "reached": reached}, "blocks": cut.count, "gap": left_out, "said": said}


def _share_sentence(side: str, reached: float, asked: float, groups: list[Group]) -> str:
    of = "the frames" if side == TEST else "the other frames"
    return (
        f"{reached:.1%} of {of} are for {side}, {abs(reached - asked):.1%} {'above' if reached > asked else 'below'} "
        f"the asked {asked:.1%}: whole groups of drives are moved, and there are {len(groups)}."
    )


def _joint_facet(joint: Joint) -> JSON:
    nearest = {"a": joint.pair.a, "b": joint.pair.b, "apart": joint.pair.apart}
    return {"drives": list(joint.drives), "reason": joint.reason, "pairs": joint.count, "nearest": nearest}


def _one_group(group: Group, joints: list[Joint]) -> str:
    """Return a phrase on why the drives of a group belong together; it cites up to three `joints` (pairs of drives that can't be separated)."""
    if len(group.drives) == 1:
        return f"all frames are of one drive, {group.drives[0]}."
    of_group = [joint for joint in joints if set(joint.drives) <= set(group.drives)]
    words = {"time_and_place": "at the same time and place", "near_duplicate": "showing the same picture"}
    said = "; ".join(
        f"{' and '.join(joint.drives)} {words[joint.reason]} ({joint.pair.a} and {joint.pair.b}, {joint.pair.apart})" for joint in of_group[:3]
    )
    return f"the drives {', '.join(group.drives)} belong together: {said}{'; …' if len(of_group) > 3 else ''}."
