"""The stage `campaign`: label batches from simulated campaigns or from closed campaigns of people."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import tracecore as tc
from tracecore_labeling.campaign.clock import SetClock, parse_time
from tracecore_labeling.campaign.queue import Queue
from tracecore_labeling.campaign.results import campaign_facet, campaign_rows, read_campaign
from tracecore_labeling.campaign.simulated_crew import Crew, Habits, work
from tracecore_labeling.campaign.simulated_labels import TRUTH_COLUMNS, Mistakes, Truth, truth_of
from tracecore_labeling.campaign.state import CampaignState, Settings, Stage, state_of
from tracecore_labeling.label_table import Row, label_table, labels_facet
from tracecore_labeling.linking import FRAME_COLUMNS, RecordedFrame, listed_names, recorded_frames
from tracecore_schemas.canonical import JSON, digest_bytes, digest_json, hex_of
from tracecore_schemas.facets import LABELS_FACET

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Campaign"]

_DARKNESS = {"day": 0.0, "dusk": 0.5, "night": 1.0}
_DARK_LUMA, _LIGHT_LUMA = 0.15, 0.35  # mean luma of a night and of a day, where the drive doesn't say which it was


class Campaign(tc.Stage):
    """Have frames labeled: by simulated labelers from the truth, or by people in closed campaigns."""

    kind = tc.StageKind.LABEL
    files = tc.Files("paths", suffixes=("*.campaign.json",), note="label file", optional=True)
    frames = tc.Input(table=tc.FRAMES, description="the recorded frames to be labeled")
    truth = tc.Input(table=tc.LABELS, optional=True, description="what simulated labelers look at")
    gold = tc.Input(table=tc.FRAMES, optional=True, description="of the frames, those whose labels are all reviewed: what KPIs are reported on")
    gold_selection = tc.Input(table=tc.FRAMES, optional=True, description="more of them: what selects thresholds and data")
    labels = tc.Output(
        table=tc.LABELS,
        checks=["not_empty", "unique_label_ids", "labels_in_image"],
        description="each label in its last revision, with labeler, time, guideline, refusals and the verdict of the review",
    )

    class Params(tc.Params):
        """The campaign's terms, and how simulated labelers work."""

        paths: tuple[str, ...] = tc.Field((), description="closed campaigns of people (tracecore label close), instead of simulated labelers")
        guideline: str = tc.Field("v1", min_length=1, description="version of the labeling guideline")
        guideline_text: str = tc.Field("", description="its text, of which the record keeps the digest")
        instructions: str = tc.Field("", description="further instructions to labelers")
        labelers: int = tc.Field(8, ge=1, description="simulated labelers")
        review: float = tc.Field(0.1, ge=0, le=1, description="share of the frames that a second labeler looks at; of gold frames all")
        lease_minutes: int = tc.Field(10, ge=3, description="how long a claimed frame is its labeler's")
        refusal: float = tc.Field(0.02, ge=0, le=0.9, description="share of the claims that are given back with a reason")
        late: float = tc.Field(0.01, ge=0, le=0.9, description="share of the claims that are handed in too late, and not taken")
        jitter: float = tc.Field(0.02, ge=0, le=0.5, description="standard deviation of edges, in share of the object's size")
        miss: float = tc.Field(0.02, ge=0, le=1, description="share of the objects that are missed by day; small ones twice as often")
        spurious: float = tc.Field(0.02, ge=0, description="objects a frame that are not there")
        confusion: float = tc.Field(0.01, ge=0, le=1, description="share of the objects taken for another class")
        tag_error: float = tc.Field(0.01, ge=0, le=1, description="share of the tags that are wrong")
        path_error_m: float = tc.Field(0.15, ge=0, description="standard deviation of a path to the side at 30 m, m")
        dark: float = tc.Field(1.0, ge=0, description="how much more of all these errors at night; 1 doubles them")
        start: str = tc.Field("2026-01-05T08:00:00Z", description="when simulated labelers begin, by their own clock")

    def run(self, context: tc.Context, params: Params) -> None:
        """Simulate a labeling campaign from true labels, or read files of closed campaigns, and write the labels as one label table."""
        sources = context.files(self.files)
        truth = context.read(self.truth)
        if sources and truth is not None:
            raise tc.UsageError("A campaign is either simulated from 'truth' or taken from the files in 'paths': leave one of them out.")
        if not sources and truth is None:
            raise tc.UsageError(
                "The campaign has no labelers: give the input 'truth' for simulated labelers, or have people label "
                "('tracecore label campaign create NAME --frames REF --guideline VERSION', then 'tracecore label close') "
                "and give the closed campaign in 'paths'."
            )
        table = context.read(self.frames).to_table(columns=[*FRAME_COLUMNS, "luma", "time_of_day"])
        frames = recorded_frames(table)
        reviewed = [context.read(port) for port in (self.gold, self.gold_selection)]
        gold = frozenset(id_ for each in reviewed if each is not None for id_ in each.to_table(columns=["frame_id"])["frame_id"].to_pylist())
        if truth is not None:
            known = truth_of(truth.to_table(columns=TRUTH_COLUMNS))
            states = [self._simulated(context, params, table, frames, known, gold)]
            rows = list(campaign_rows(states[0], known.frame_attributes))
        else:
            states = [read_campaign(context.adopt(source, kind="external", name=source.name), source.name) for source in sources]
            rows = self._imported_rows(context, states, frames)
        context.write(self.labels, label_table(rows))
        context.describe(self.labels, LABELS_FACET, labels_facet(rows) | campaign_facet(states))
        self._unfinished(context, states, truth is not None)
        unreviewed = sorted(gold - {row.frame.frame_id for row in rows if row.label.tier == "gold"})
        if unreviewed:
            why = f"{len(unreviewed)} of {len(gold)} gold frames have no labels that were reviewed: {listed_names(unreviewed)}."
            context.unknown("review of gold frames", why, port=self.labels)

    def _simulated(
        self, context: tc.Context, params: Params, table: pa.Table, frames: Sequence[RecordedFrame], truth: Truth, gold: frozenset[str]
    ) -> CampaignState:
        """Simulate a campaign over the frames that have true labels, and return its final state; after a killed run, continue where it stopped."""
        if (params.review or gold) and params.labelers < 2:  # a reviewer is never the labeler
            raise tc.UsageError("A review needs a second labeler: set 'labelers' to 2 or more, or 'review' to 0 and leave 'gold' out.")
        known = [frame for frame in frames if frame.frame_id in truth.labels]
        if not known:
            raise tc.UsageError(
                f"None of the {len(frames)} frames is among those that 'truth' knows ({len(truth.labels)} frames): are they of the same drives?"
            )
        clock = SetClock(parse_time(params.start))
        queue = Queue(context.scratch() / "campaign.db", clock)
        try:
            if not queue.exists():
                queue.create(_settings(params, truth, context.seed), known, gold)
            crew = Crew(
                seed=context.seed,
                size=params.labelers,
                start=clock.time,
                truth=truth,
                darkness=_darkness(table),
                mistakes=Mistakes(params.jitter, params.miss, params.spurious, params.confusion, params.tag_error, params.path_error_m, params.dark),
                habits=Habits(params.refusal, params.late),
            )
            work(queue, clock, crew, lambda done: context.progress(done, len(known), "frames labeled"))
            queue.close(give_up=True)  # tasks refused by all labelers are recorded as unknown
            state = state_of(queue.entries())
        finally:
            queue.close_file()
        left_out = len(frames) - len(known)
        if left_out:
            why = f"'truth' knows nothing of {left_out} of {len(frames)} frames, so nobody labeled them."
            context.unknown("labels of frames", why, port=self.labels)
        elsewhere = len(truth.labels) - len(known)
        if elsewhere:
            context.unknown("frames of true labels", f"{elsewhere} frames that 'truth' knows are not among those to be labeled.", port=self.labels)
        return state

    def _imported_rows(self, context: tc.Context, states: Sequence[CampaignState], frames: Sequence[RecordedFrame]) -> list[Row]:
        """Return the rows of closed campaigns' labels for `frames`. Labels of other frames are left out, and the trace records that they are."""
        recorded = {frame.frame_id for frame in frames}
        owner: dict[str, str] = {}
        rows: list[Row] = []
        for state in states:
            name = state.settings.name
            missing: set[str] = set()
            for row in campaign_rows(state):
                if row.frame.frame_id not in recorded:
                    missing.add(row.frame.frame_id)
                    continue
                if owner.setdefault(row.frame.frame_id, state.settings.id) != state.settings.id:
                    raise tc.UsageError(f"Two campaigns label the frame {row.frame.frame_id}, '{name}' is one of them; expected one.")
                rows.append(row)
            if missing:
                why = f"{len(missing)} frames that '{name}' labels are not among the input 'frames' and left out: {listed_names(sorted(missing))}."
                context.unknown("frames of labels", why, port=self.labels)
        if not rows:
            raise tc.UsageError("The campaigns in 'paths' label none of the frames of the input 'frames': are they of the same drives?")
        return rows

    def _unfinished(self, context: tc.Context, states: Sequence[CampaignState], simulated: bool) -> None:
        """Record in the trace that the labels of unfinished tasks, and the labeling tool of campaigns that name none, are not known."""
        for state in states:
            undone = [task for task in state.tasks.values() if task.stage != Stage.DONE]
            if undone:
                refused = sum(task.refusals > 0 for task in undone)
                why = f"{len(undone)} of {len(state.tasks)} tasks of '{state.settings.name}' were not finished ({refused} of them refused)"
                context.unknown("labels of frames", f"{why}, so their frames have no labels.", port=self.labels)
            if not simulated and not state.settings.tool:
                context.unknown("labeling tool", f"'{state.settings.name}' doesn't say what its labels were drawn with.", port=self.labels)


def _settings(params: Campaign.Params, truth: Truth, seed: int) -> Settings:
    """Return the settings of a simulated campaign, taken from the stage's parameters and from the classes and geometries of its true labels."""
    asked: dict[str, JSON] = {"seed": seed} | params.model_dump(include={"guideline", "labelers", "review", "instructions"})
    return Settings(
        id=hex_of(digest_json(asked))[:16],
        name="simulated",
        guideline=params.guideline,
        guideline_digest=digest_bytes(params.guideline_text.encode()) if params.guideline_text else None,
        instructions=params.instructions,
        categories=truth.classes,
        geometries=truth.geometries,
        review=params.review,
        lease_seconds=params.lease_minutes * 60,
        seed=seed,
        tool=f"simulated labeler {importlib.metadata.version('tracecore-labeling')}",
    )


def _darkness(table: pa.Table) -> dict[str, float]:
    """Return each frame's darkness by frame id, 0 by day to 1 at night, from the column `time_of_day`, else from `luma`."""
    found: dict[str, float] = {}
    for frame_id, luma, time_of_day in zip(*(table.column(name).to_pylist() for name in ("frame_id", "luma", "time_of_day")), strict=True):
        by_luma = min(1.0, max(0.0, (_LIGHT_LUMA - luma) / (_LIGHT_LUMA - _DARK_LUMA)))
        found[frame_id] = _DARKNESS.get(time_of_day or "", by_luma)
    return found
