"""The stage `event-clusters`: clusters mistakes, shows examples, and requests data that would help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

import tracecore as tc
from tracecore.geometry import Rig
from tracecore_diagnosis.appearance import appearance_of
from tracecore_diagnosis.clusters import Cluster, Exposure, Limits, clusters_of
from tracecore_diagnosis.contact_sheets import SheetContent, draw_sheet, examples_of, sheet_name
from tracecore_diagnosis.data_request import Bug, page, read_bugs, request_of
from tracecore_diagnosis.mistakes import (
    FrameFacts,
    Mistake,
    condition_names,
    frames_labeled_for,
    frames_of,
    join_events,
    labeled_objects,
    mistakes_of,
    scenes_of,
)
from tracecore_schemas.canonical import JSON, jcs
from tracecore_schemas.conditions import OF_OBJECTS
from tracecore_schemas.data_request import FILE

__all__ = ["CLUSTERS", "EventClusters"]

CLUSTERS = tc.TableType(
    "clusters",
    "One row a mistake of the perception, with the cluster it is in.",
    tc.Column("cluster", "string", "the cluster it is in, as files and requests name it; null where it is like too few others", nullable=True),
    tc.Column("cluster_name", "string", "the cluster in words", nullable=True),
    tc.Column("cluster_rank", "int32", "1 for the worst cluster", nullable=True),
    kind=tc.ArtifactKind.EVENT_SET,
    extends=tc.EVENTS,
)

CLUSTERS_FACET = tc.FacetSpec(
    "tracecore_clusters",
    lambda value: tc.summarize(
        f"{tc.count(value['events'], 'mistake')} in {tc.count(len(value['clusters']), 'cluster')}", f"{value['unclustered']:,} in none"
    ),
    __package__,
)
REQUEST_FACET = tc.FacetSpec(
    "tracecore_data_request",
    lambda value: tc.summarize(
        f"{tc.count(sum(want['count'] for want in value['wants']), 'frame')} wanted of {tc.count(len(value['wants']), 'cluster')}"
    ),
    __package__,
)

_SCORE = 0.3
_SEVERE = {"pedestrian": 2.0, "bicyclist": 2.0, "wrong_state": 2.0}


class EventClusters(tc.Stage):
    """Cluster mistakes by conditions and appearance, rank the clusters, show them, and ask for the data that would help."""

    kind = tc.StageKind.DIAGNOSE
    events = tc.Input(table=tc.EVENTS, description="mistakes, as detection-kpis gives them")
    frames = tc.Input(table=tc.FRAMES, description="the frames that were evaluated, those without mistakes too")
    labels = tc.Input(table=tc.LABELS, optional=True, description="what is true of them: drawn on the sheets, counted in the request")
    detections = tc.Input(table=tc.DETECTIONS, optional=True, description="what was seen on them: drawn on the sheets")
    mistakes = tc.Input(table=tc.EVENTS, optional=True, description="further mistakes, as mistakes-per-hour gives them")
    calibrations = tc.Input(table=tc.CALIBRATIONS, optional=True, description="of the cameras: needed to draw paths")
    clusters = tc.Output(
        table=CLUSTERS, checks=["events_complete", "scores_in_range"], description="every mistake with the name and rank of its cluster"
    )
    request = tc.Output("data_request", checks=["request_usable"], description="request.json, README.md and a sheet of pictures for each cluster")

    class Params(tc.Params):
        """What makes a cluster, and how much is asked for."""

        most: int = tc.Field(8, ge=1, le=99, description="clusters that data is asked for and a sheet is drawn of, the worst first")
        least: int = tc.Field(5, ge=2, description="fewest mistakes of a cluster")
        share: float = tc.Field(0.02, ge=0, le=1, description="fewest mistakes of a cluster as a share of all: more mistakes, coarser clusters")
        dimensions: tuple[str, ...] = tc.Field(
            ("time_of_day", "region", "distance", "size"), description="conditions to cluster by; where mistakes are few, the last is let go first"
        )
        telling: float = tc.Field(
            1.2, ge=1, description="how many times as often mistakes must happen under a condition of the frame to cluster by it; 1 for always"
        )
        appearance: float = tc.Field(
            0.25, gt=0, le=1, description="least silhouette at which mistakes of the same conditions are cut in parts by how they look; 1 for never"
        )
        weights: dict[str, float] = tc.Field(_SEVERE, description="what a mistake weighs by class or type; 1 where not named")
        examples: int = tc.Field(4, ge=1, le=24, description="mistakes shown on a sheet, and frames named as examples in the request")
        wanted: int = tc.Field(24, ge=1, description="frames asked for by each want")
        bugs: tuple[str, ...] = tc.Field((), description="refs of bug reports (bug/<id>), each a want of its own")

    def run(self, context: tc.Context, params: Params) -> None:
        """Cluster and rank the mistakes, draw contact sheets of the clusters, and write the data request."""
        bugs = read_bugs(params.bugs, context.lineage)
        table = context.read(self.frames)
        labels = context.read(self.labels)
        frames = frames_of(table, labels)
        events = join_events(context.read(self.events), context.read(self.mistakes))
        mistakes = mistakes_of(events, frames)
        looks = appearance_of(table, mistakes, context.progress)
        least = max(params.least, round(params.share * len(mistakes)))
        limits = Limits(least, params.dimensions, params.appearance, params.weights, params.telling)
        chances = Exposure(frames, labeled_objects(labels, frames), condition_names(frames), frames_labeled_for(labels))
        clusters, left = clusters_of(mistakes, chances, looks, limits, context.seed)
        context.write(self.clusters, _with_clusters(events, clusters))
        asked, unasked = clusters[: params.most], clusters[params.most :]
        examples = {cluster.id: examples_of(cluster, params.examples) for cluster in asked}
        usable = [bug for bug in bugs if bug.frames]
        request = request_of(asked, examples, usable, frames, params.dimensions, params.wanted)
        folder = context.path(self.request)
        drawn = self._draw(context, asked, examples, table, frames)
        (folder / FILE).write_bytes(jcs(request.model_dump(mode="json")))
        text = page(request.wants, asked, unasked, drawn, len(mistakes), len(left))
        (folder / "README.md").write_text(text, encoding="utf-8", newline="\n")
        context.describe(
            self.clusters,
            CLUSTERS_FACET,
            {
                "clusters": [_cluster_facet(cluster) for cluster in clusters],
                "events": len(mistakes),
                "unclustered": len(left),
                "least": least,
            },
        )
        context.describe(
            self.request,
            REQUEST_FACET,
            {
                "wants": [
                    {
                        "cluster": want.cluster,
                        "count": want.count,
                        "conditions": {name: list(values) for name, values in sorted(want.conditions.items())},
                        "bugs": list(want.bugs),
                    }
                    for want in request.wants
                ],
                "unasked": len(unasked),
            },
        )
        self._record_unknowns(context, mistakes, bugs, frames, len(looks.rows))
        for name in params.dimensions:
            if name not in {*chances.of_frames, *OF_OBJECTS} and any(name in mistake.conditions for mistake in mistakes):
                why = f"Mistakes name the condition '{name}', frames and labels do not: it counts as the object's, rate and lift are of all frames."
                context.unknown(f"rate by {name}", why)

    def _draw(
        self,
        context: tc.Context,
        clusters: Sequence[Cluster],
        examples: Mapping[str, Sequence[Mistake]],
        table: Any,
        frames: Mapping[str, FrameFacts],
    ) -> set[str]:
        """Draw a contact sheet of each cluster's examples; return the ids of the clusters that have one, since images may be missing."""
        shown = {mistake.frame_id for cluster in clusters for mistake in examples[cluster.id]} & frames.keys()
        wanted = pc.field("frame_id").isin(pa.array(sorted(shown), type=pa.string()))
        images = table.to_table(columns=["frame_id", "image"], filter=wanted)
        gallery = SheetContent(
            dict(zip(images["frame_id"].to_pylist(), images["image"].to_pylist(), strict=True)),
            frames,
            scenes_of(shown, context.read(self.labels), context.read(self.detections), self._score(context)),
            Rig.read(context.read(self.calibrations)),
        )
        folder = context.path(self.request)
        drawn = set()
        for done, cluster in enumerate(clusters, start=1):
            (folder / "sheets").mkdir(exist_ok=True)
            if draw_sheet(folder / sheet_name(cluster), cluster, examples[cluster.id], gallery):
                drawn.add(cluster.id)
            context.progress(done, len(clusters), "sheets")
        return drawn

    def _score(self, context: tc.Context) -> float:
        """Return the score below which detections are not drawn: the threshold recorded in the facet of the input `events`, or 0.3 if it has none."""
        artifact = context.artifact(self.events)
        facet = artifact.facets.get("tracecore_events") if artifact else None
        score = facet.get("score") if isinstance(facet, Mapping) else None
        return float(score) if isinstance(score, int | float) else _SCORE

    def _record_unknowns(
        self, context: tc.Context, mistakes: Sequence[Mistake], bugs: Sequence[Bug], frames: Mapping[str, FrameFacts], looked_at: int
    ) -> None:
        if not mistakes:
            context.log.info("There are no mistakes: nothing is asked for but what bug reports ask.")
        strangers = sum(mistake.frame_id not in frames for mistake in mistakes)
        if strangers:
            why = f"{strangers} of {len(mistakes)} mistakes are on frames that the input 'frames' does not hold: their rate and looks are not known."
            context.unknown("frames of mistakes", why)
        if looked_at < len(mistakes) - strangers:
            context.unknown(
                "looks of mistakes", f"The images of {len(mistakes) - strangers - looked_at} mistakes can't be decoded.", port=self.clusters
            )
        for bug in bugs:
            if not bug.frames:
                context.unknown("frames of a bug", f"bug/{bug.id} names no frames, so nothing can be asked for by it.", port=self.request)


def _with_clusters(events: pa.Table, clusters: Sequence[Cluster]) -> pa.Table:
    """Return the events with columns for the id, name and rank of each event's cluster; null for events in no cluster."""
    own: list[Cluster | None] = [None] * len(events)
    for cluster in clusters:
        for member in cluster.members:
            own[member.row] = cluster
    for name, attribute in (("cluster", "id"), ("cluster_name", "name"), ("cluster_rank", "rank")):
        values = [cluster and getattr(cluster, attribute) for cluster in own]
        events = events.append_column(CLUSTERS.schema.field(name), pa.array(values, CLUSTERS.schema.field(name).type))
    return events.cast(CLUSTERS.schema)


_DESCRIBED = ("name", "rank", "type", "category", "frames", "of", "rate", "lift", "score")


def _cluster_facet(cluster: Cluster) -> JSON:
    described = {name: getattr(cluster, name) for name in _DESCRIBED}
    return {"cluster": cluster.id, "conditions": dict(cluster.conditions), "events": len(cluster.members), **described}
