"""The data request as a page for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tracecore_diagnosis.clusters import Cluster
from tracecore_diagnosis.sheets import LEGEND, sheet_name
from tracecore_diagnosis.wording import plural
from tracecore_schemas.data_request import DataRequest, Want

__all__ = ["Findings", "page"]


@dataclass(frozen=True, slots=True)
class Findings:
    """What the page tells of.

    Attributes:
        request: what is asked for.
        asked: the clusters that ask.
        unasked: clusters of lower rank, for which nothing is asked.
        drawn: by cluster id, how many examples its sheet shows; 0 where there is none.
        mistakes: all events.
        unclustered: mistakes like too few others.
    """

    request: DataRequest
    asked: Sequence[Cluster]
    unasked: Sequence[Cluster]
    drawn: Mapping[str, int]
    mistakes: int
    unclustered: int


def page(found: Findings) -> str:
    """Write the request as a page of Markdown."""
    return "\n".join(["# Data request", "", *_summary(found), *(line for want in found.request.wants for line in _want(want, found))]) + "\n"


def _summary(found: Findings) -> Iterator[str]:
    wants = found.request.wants
    if not found.mistakes:
        yield "There are no mistakes to learn from." + ("" if wants else " Nothing is asked for.")
        return
    left = f" {found.unclustered} mistakes are like too few others to be in a cluster." if found.unclustered else ""
    yield f"{len(wants)} wants, from {found.mistakes} mistakes in {len(found.asked) + len(found.unasked)} clusters.{left}"
    yield "`request.json` says the same to `curate`."
    if not found.asked:
        return
    yield from ("", "| rank | cluster | mistakes | frames | of | rate | lift |", "|---|---|---|---|---|---|---|")
    for each in (*found.asked, *found.unasked):
        yield f"| {each.rank} | {each.name} | {len(each.members)} | {each.frames} | {each.of} | {each.rate:.0%} | {each.lift:.2f} |"
    yield ""
    yield "*of*: evaluated frames of the cluster's conditions, as far as they are a frame's own; *rate*: the share of them that shows such a mistake;"
    yield "*lift*: how many times as often such mistakes happen there as on all frames. Ranked by mistakes x weight x lift."
    if found.unasked:
        yield f"For the last {len(found.unasked)} nothing is asked: the parameter `most` asks for {len(found.asked)}."


def _want(want: Want, found: Findings) -> Iterator[str]:
    cluster = next((each for each in found.asked if each.id == want.cluster), None)
    yield from ("", f"## {want.cluster}" if cluster is None else f"## {cluster.rank}. {cluster.name}", "", want.why, "")
    asked = ", ".join(f"{name.replace('_', ' ')} {' or '.join(values)}" for name, values in sorted(want.conditions.items())) or "any conditions"
    of = f" with {plural(want.category)}" if want.category else ""
    yield f"Wanted: {want.count} frames{of}, {asked}."
    if want.bugs:
        yield f"Asked for by {', '.join(f'bug/{bug}' for bug in want.bugs)}."
    if cluster is not None and found.drawn.get(cluster.id):
        yield from ("", f"![{cluster.name}]({sheet_name(cluster)})", "", f"{LEGEND[0].upper()}{LEGEND[1:]}.")
