"""What every label stage says of its batch: the facet `tracecore_labels`, and what is not known of the labels' making."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import tracecore as tc
from tracecore_labeling.rows import Row
from tracecore_schemas.canonical import JSON

__all__ = ["labels_facet", "unknown_making", "with_summary"]

_MAKING = (("labeler", "labeler"), ("labeling tool", "tool"), ("guideline version", "guideline"), ("labeling time", "labeled_at"))
_COUNTED = {"boxes": "box2d", "cuboids": "cuboid", "polygons": "polygon", "paths": "path", "tags": "tag", "empty_frames": "none"}

_SHARES = (("reviewed_share", "reviewed"), ("agreed_share", "agreed"))


def labels_facet(rows: Sequence[Row]) -> dict[str, JSON]:
    """Count labels by geometry and class, and list labelers, tools and guidelines."""
    geometries = Counter(row.geometry for row in rows)
    labels = [row for row in rows if row.geometry != "none"]
    reviewed = sum(row.qa is not None for row in labels)
    named = Counter(row.category or "" for row in rows if row.geometry == "box2d")
    return {
        **{name: geometries[geometry] for name, geometry in _COUNTED.items()},
        "ignored": sum(row.ignore for row in rows if row.geometry == "box2d"),
        "frames": len({row.frame_id for row in rows}),
        "gold_frames": len({row.frame_id for row in rows if row.tier == "gold"}),
        "categories": dict(sorted(named.items())),
        "light_states": dict(sorted(Counter(row.value or "" for row in rows if row.geometry == "tag" and row.category == "light_state").items())),
        "tracks": len({(row.drive, row.track) for row in labels if row.track is not None}),
        "labelers": sorted({row.labeler for row in labels if row.labeler is not None}),
        "tools": sorted({row.tool for row in labels if row.tool is not None}),
        "guidelines": sorted({row.guideline for row in labels if row.guideline is not None}),
        "reviewed_share": reviewed / len(labels) if reviewed else None,
    }


def with_summary(facet: dict[str, Any]) -> dict[str, JSON]:
    """Return the facet with its line for traces: how much was labeled, by which guideline, by how many, and how far it was reviewed."""
    held = [tc.count(facet[kind], noun) for kind, noun in (("boxes", "box"), ("cuboids", "cuboid"), ("polygons", "polygon")) if facet[kind]]
    shares = [f"{facet[name]:.0%} {done}" for name, done in _SHARES if facet.get(name) is not None]
    summary = tc.summarize(
        f"{', '.join(held) or 'no boxes'} on {tc.count(facet['frames'], 'frame')}",
        f"{sum(facet['left_out'].values())} of {facet['found']} labels left out" if facet.get("left_out") else "",
        f"guideline {', '.join(facet['guidelines'])}" if facet["guidelines"] else "",
        tc.count(len(facet["labelers"]), "labeler") if facet["labelers"] else "",
        ", ".join(shares),
        tc.count(facet["gold_frames"], "gold frame") if facet["gold_frames"] else "",
    )
    return {"summary": summary, **facet}


def unknown_making(rows: Sequence[Row], sources: str, *, names_left_out: int = 0) -> Iterator[tuple[str, str]]:
    """Say what is not known of the labels' making, and of how many.

    Args:
        rows: of the batch.
        sources: names of the files that could have said it.
        names_left_out: labels whose labeler was left out, because the file says a name where a pseudonym is expected.
    """
    labels = [row for row in rows if row.geometry != "none"]
    noun = "boxes" if all(row.geometry == "box2d" for row in labels) else "labels"
    for what, column in _MAKING:
        missing = sum(getattr(row, column) is None for row in labels)
        if not missing:
            continue
        why = f"{sources} doesn't say it of {missing} of {len(labels)} {noun}."
        if column == "labeler" and names_left_out:
            why += f" Of {names_left_out} it gives a name where a pseudonym is expected ('info.labelers' can map them); names stay out of the record."
        yield what, why
    unreviewed = sum(row.qa is None and row.tier is None for row in labels)
    if unreviewed:
        yield "label review", f"{sources} doesn't say of {unreviewed} of {len(labels)} {noun} whether anybody reviewed them, so they have no tier."
