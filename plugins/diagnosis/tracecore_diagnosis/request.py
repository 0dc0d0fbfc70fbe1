"""The data request: a want for each cluster and each bug, as curation takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracecore_diagnosis.bugs import Bug
from tracecore_diagnosis.clusters import Cluster
from tracecore_diagnosis.mistakes import FrameFacts, Mistake
from tracecore_diagnosis.wording import NO_OBJECT, plural
from tracecore_schemas.data_request import DataRequest, Want

__all__ = ["request_of", "why"]


def request_of(
    clusters: Sequence[Cluster],
    examples: Mapping[str, Sequence[Mistake]],
    bugs: Sequence[Bug],
    frames: Mapping[str, FrameFacts],
    dimensions: Sequence[str],
    count: int,
) -> DataRequest:
    """Make the request: bugs first, for a person met them on the road, then clusters by rank.

    Args:
        clusters: those that ask for data.
        examples: by cluster id, the mistakes shown.
        bugs: reported ones.
        frames: the evaluated frames by ref.
        dimensions: conditions that a bug's frames may ask by.
        count: frames wanted for each.
    """
    wants = [_of_bug(bug, frames, dimensions, count) for bug in bugs]
    for cluster in clusters:
        own = {member.frame_id for member in cluster.members}
        wants.append(
            Want(
                cluster=cluster.id,
                why=why(cluster),
                category=None if cluster.type in NO_OBJECT else cluster.category,
                conditions={name: (value,) for name, value in sorted(cluster.wanted_conditions.items())},
                count=count,
                like=tuple(dict.fromkeys(mistake.frame_id for mistake in examples[cluster.id])),
                bugs=tuple(bug.id for bug in bugs if own & set(bug.frames)),
            )
        )
    return DataRequest(wants=tuple(wants))


def _of_bug(bug: Bug, frames: Mapping[str, FrameFacts], dimensions: Sequence[str], count: int) -> Want:
    known = [frames[id_].conditions for id_ in bug.frames if id_ in frames]
    shared = {
        name: (known[0][name],)
        for name in dimensions
        if known and len(known) == len(bug.frames) and all(each.get(name) is not None and each[name] == known[0].get(name) for each in known)
    }
    seen_in = f" (seen in {bug.build.partition('@')[0]})" if bug.build else ""
    return Want(cluster=f"bug-{bug.id}", why=f"Bug {bug.id}: {bug.text}{seen_in}", conditions=shared, count=count, like=bug.frames, bugs=(bug.id,))


def why(cluster: Cluster) -> str:
    """Say in one sentence what was seen."""
    members = len(cluster.members)
    where = " and ".join(f"{name.replace('_', ' ')} {value}" for name, value in cluster.frame_conditions.items())
    frames = f"{cluster.frames} of the {cluster.of} evaluated frames" + (f" of {where}" if where else "")
    often = f", {cluster.lift:.1f} times as often as on all frames" if where else ""
    labeled = f"; {cluster.objects} {plural(cluster.category)} are labeled on them" if cluster.objects is not None else ""
    return f"{cluster.name}: {members} mistakes on {frames} ({cluster.rate:.0%}{often}){labeled}."
