"""The data request, with one want per cluster and per bug report; its Markdown page; and the check `request_usable`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

import tracecore as tc
from tracecore_diagnosis.clusters import CONFUSION, NO_OBJECT, Cluster, plural
from tracecore_diagnosis.contact_sheets import LEGEND, sheet_name
from tracecore_diagnosis.mistakes import FrameFacts, Mistake
from tracecore_schemas.data_request import FILE, DataRequest, Want
from tracecore_schemas.refs import RefError, parse_ref
from tracecore_schemas.strict_json import loads_strict

__all__ = ["Bug", "RequestUsable", "page", "read_bugs", "request_of", "why"]

_FACET = "tracecore_bug"


@dataclass(frozen=True, slots=True)
class Bug:
    """A bug report: its id and text, refs of frames that it names, and the build it was found in."""

    id: str
    text: str
    frames: tuple[str, ...]
    build: str | None


def read_bugs(refs: Sequence[str], lineage: tc.Lineage) -> list[Bug]:
    """Return the recorded bug reports with these refs, in order, without repeats; raises UsageError if one is not of a bug or not recorded."""
    return [_read(ref, lineage) for ref in dict.fromkeys(refs)]


def _read(text: str, lineage: tc.Lineage) -> Bug:
    """Return the recorded bug report with a ref; raises UsageError if the ref is invalid, not of a bug, or not recorded."""
    try:
        ref = parse_ref(text)
    except RefError as error:
        raise tc.UsageError(f"The parameter 'bugs' expects refs of bugs, bug/<id>. {error}") from error
    if ref.kind != "bug":
        raise tc.UsageError(f"The parameter 'bugs' expects refs of bugs, bug/<id>; {text} is a {ref.kind}.")
    facet = lineage.facets(str(ref)).get(_FACET)
    if not isinstance(facet, dict):
        raise tc.UsageError(f"{ref} is not in the record: report it by tracecore bug report TEXT, which gives its id.")
    frames, build = facet.get("frames"), facet.get("build")
    shown = tuple(str(frame) for frame in frames) if isinstance(frames, list) else ()
    return Bug(ref.segments[0], str(facet.get("text", "")), shown, None if build is None else str(build))


def request_of(
    clusters: Sequence[Cluster],
    examples: Mapping[str, Sequence[Mistake]],
    bugs: Sequence[Bug],
    frames: Mapping[str, FrameFacts],
    dimensions: Sequence[str],
    count: int,
) -> DataRequest:
    """Return the data request: one want (entry that asks for `count` frames) per bug report, then one per cluster, in the order given."""
    wants = [_of_bug(bug, frames, dimensions, count) for bug in bugs]
    for cluster in clusters:
        own = {member.frame_id for member in cluster.members}
        wants.append(
            Want(
                cluster=cluster.id,
                why=why(cluster),
                category=None if cluster.type in NO_OBJECT else cluster.category,
                # New data can't be selected by what was confused.
                conditions={name: (value,) for name, value in sorted(cluster.conditions.items()) if name != CONFUSION},
                count=count,
                like=tuple(dict.fromkeys(mistake.frame_id for mistake in examples[cluster.id])),
                bugs=tuple(bug.id for bug in bugs if own & set(bug.frames)),
            )
        )
    return DataRequest(wants=tuple(wants))


def _of_bug(bug: Bug, frames: Mapping[str, FrameFacts], dimensions: Sequence[str], count: int) -> Want:
    """Return a bug report's want: `count` frames like those that it names, with the conditions (among `dimensions`) that all named frames share."""
    known = [frames[id_].conditions for id_ in bug.frames if id_ in frames]
    shared = {
        name: (known[0][name],)
        for name in dimensions
        if known and len(known) == len(bug.frames) and all(each.get(name) is not None and each[name] == known[0].get(name) for each in known)
    }
    seen_in = f" (seen in {bug.build.partition('@')[0]})" if bug.build else ""
    return Want(cluster=f"bug-{bug.id}", why=f"Bug {bug.id}: {bug.text}{seen_in}", conditions=shared, count=count, like=bug.frames, bugs=(bug.id,))


def why(cluster: Cluster) -> str:
    """Return one sentence that states how often a cluster's mistakes were found, as a share of frames and relative to all frames."""
    members = len(cluster.members)
    where = " and ".join(f"{name.replace('_', ' ')} {value}" for name, value in cluster.frame_conditions.items())
    frames = f"{cluster.frames} of the {cluster.of} evaluated frames" + (f" of {where}" if where else "")
    often = f", {cluster.lift:.1f} times as often as on all frames" if where else ""
    labeled = f"; {cluster.objects} {plural(cluster.category)} are labeled on them" if cluster.objects is not None else ""
    return f"{cluster.name}: {members} mistakes on {frames} ({cluster.rate:.0%}{often}){labeled}."


def page(wants: Sequence[Want], asked: Sequence[Cluster], unasked: Sequence[Cluster], drawn: Collection[str], mistakes: int, unclustered: int) -> str:
    """Return the data request's README.md: a summary, a table of the clusters, and a section for each want (entry of the request).

    Args:
        asked: clusters for which there is a want; `unasked` are the other clusters.
        drawn: ids of the clusters that have a contact sheet.
        mistakes: number of mistakes, of which `unclustered` are in no cluster.
    """
    by_id = {cluster.id: cluster for cluster in asked}
    summary = _summary(len(wants), asked, unasked, mistakes, unclustered)
    sections = (line for want in wants for line in _section(want, by_id.get(want.cluster), drawn))
    return "\n".join(["# Data request", "", *summary, *sections]) + "\n"


def _summary(wants: int, asked: Sequence[Cluster], unasked: Sequence[Cluster], mistakes: int, unclustered: int) -> Iterator[str]:
    """Yield the first lines of the request's README.md: numbers of wants, mistakes and clusters, and a table of the clusters."""
    if not mistakes:
        yield "There are no mistakes to learn from." + ("" if wants else " Nothing is asked for.")
        return
    left = f" {unclustered} mistakes are like too few others to be in a cluster." if unclustered else ""
    yield f"{wants} wants, from {mistakes} mistakes in {len(asked) + len(unasked)} clusters.{left}"
    yield "`request.json` says the same to `curate`."
    if not asked:
        return
    yield from ("", "| rank | cluster | mistakes | frames | of | rate | lift |", "|---|---|---|---|---|---|---|")
    for each in (*asked, *unasked):
        yield f"| {each.rank} | {each.name} | {len(each.members)} | {each.frames} | {each.of} | {each.rate:.0%} | {each.lift:.2f} |"
    yield ""
    yield "*of*: evaluated frames of the cluster's conditions, as far as they are a frame's own; *rate*: the share of them that shows such a mistake;"
    yield "*lift*: how many times as often such mistakes happen there as on all frames. Ranked by mistakes x weight x lift."
    if unasked:
        yield f"For the last {len(unasked)} nothing is asked: the parameter `most` asks for {len(asked)}."


def _section(want: Want, cluster: Cluster | None, drawn: Collection[str]) -> Iterator[str]:
    """Yield the README.md lines about one want (entry of the data request); `cluster` is None if the want comes from a bug report."""
    yield from ("", f"## {want.cluster}" if cluster is None else f"## {cluster.rank}. {cluster.name}", "", want.why, "")
    asked = ", ".join(f"{name.replace('_', ' ')} {' or '.join(values)}" for name, values in sorted(want.conditions.items())) or "any conditions"
    of = f" with {plural(want.category)}" if want.category else ""
    yield f"Wanted: {want.count} frames{of}, {asked}."
    if want.bugs:
        yield f"Asked for by {', '.join(f'bug/{bug}' for bug in want.bugs)}."
    if cluster is not None and cluster.id in drawn:
        yield from ("", f"![{cluster.name}]({sheet_name(cluster)})", "", f"{LEGEND[0].upper()}{LEGEND[1:]}.")


class RequestUsable(tc.Check):
    """Check that a data request is valid, no want is repeated, and each has conditions or example frames."""

    name = "request_usable"
    description = "request.json is a data request, no want stands twice, and each has conditions or frames to go by."

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        """Return a failed result if request.json is invalid, repeats a want (entry), or has a want without conditions and example frames."""
        file = context.read() / FILE
        try:
            request = DataRequest.model_validate(loads_strict(file.read_bytes()))
        except (OSError, ValueError, ValidationError) as error:
            return tc.CheckResult(success=False, message=f"{FILE} is no data request: {str(error).splitlines()[0]}")
        names = [want.cluster for want in request.wants]
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        empty = [want.cluster for want in request.wants if not want.conditions and not want.like]
        if twice or empty:
            doubled = [f"{twice[0]} stands twice"] if twice else []
            doubled += [f"{empty[0]} has neither conditions nor frames to go by"] if empty else []
            return tc.CheckResult(success=False, message=f"The request can't be chosen by: {' and '.join(doubled)}.")
        return tc.CheckResult(success=True, message=f"{len(names)} wants can be chosen by.", details={"wants": len(names)})
