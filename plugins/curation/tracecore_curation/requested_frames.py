"""The stage `requested-frames`, which chooses the frames that a data request asks for, and the check `request_met`.

Chosen are frames that meet the request's conditions, the most similar to its examples first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import ValidationError

import tracecore as tc
from tracecore_curation.frame_facts import object_array
from tracecore_curation.frame_filter import read_conditions, selection
from tracecore_schemas.canonical import JSON
from tracecore_schemas.conditions import OF_OBJECTS
from tracecore_schemas.data_request import FILE, DataRequest, Want
from tracecore_schemas.facets import FRAMES_FACET
from tracecore_schemas.kinds import Severity
from tracecore_schemas.run import ExpectationOutcome
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["Chosen", "Pool", "RequestMet", "RequestedFrames", "choose", "read_pool", "read_request"]

_COLUMNS = ["frame_id", "drive", "sensor", "timestamp_ns", "dhash", "luma"]
_BITS = 64


@dataclass(frozen=True, slots=True)
class Pool:
    """Frames to choose from, sorted by drive, sensor and time; one array entry per frame.

    Attributes:
        hashes: 64-bit difference hashes.
        luma: mean luma, 0 to 1.
        conditions: dict of values by condition, with drive and sensor; missing ones are unknown.
    """

    ids: NDArray[np.object_]
    drives: NDArray[np.object_]
    hashes: NDArray[np.uint64]
    luma: NDArray[np.float64]
    conditions: NDArray[np.object_]

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Frames chosen for one want.

    Attributes:
        ids: refs of the chosen frames, the most similar to the examples first.
        matching: number of free frames that meet every condition, before similarity and duplicates.
        untold: conditions on objects, which can't be checked before labeling.
        unsaid: number of frames without a value, which fail the condition, by condition.
        unlike: whether the want names examples but none was found, so that similarity was not used.
        of_shown_drives: number of chosen frames from a drive of an example.
    """

    want: Want
    ids: tuple[str, ...]
    matching: int
    untold: tuple[str, ...] = ()
    unsaid: Mapping[str, int] = field(default_factory=dict)
    unlike: bool = False
    of_shown_drives: int = 0

    @property
    def found(self) -> int:
        """Number of chosen frames known to meet every condition; 0 if some conditions concern objects, which can't be checked before labeling."""
        return 0 if self.untold else len(self.ids)


def read_pool(frames: Any, labels: Any = None) -> Pool:
    """Return a frame table's ids, drives, image hashes, luma and conditions to choose from; frame attributes in `labels` are conditions too."""
    table: pa.Table = frames.to_table(columns=_COLUMNS)
    table = table.sort_by([("drive", "ascending"), ("sensor", "ascending"), ("timestamp_ns", "ascending"), ("frame_id", "ascending")])
    known = read_conditions(frames, labels)
    rows = zip(table["frame_id"].to_pylist(), table["drive"].to_pylist(), table["sensor"].to_pylist(), strict=True)
    return Pool(
        object_array(table["frame_id"].to_pylist()),
        object_array(table["drive"].to_pylist()),
        np.array([int(text, 16) for text in table["dhash"].to_pylist()], dtype=np.uint64),
        table["luma"].to_numpy().astype(np.float64),
        object_array([known[id_] | {"drive": drive, "sensor": sensor} for id_, drive, sensor in rows]),
    )


def choose(wants: Sequence[Want], pool: Pool, examples: Pool, barred: Collection[str], barred_drives: Collection[str], bits: int) -> list[Chosen]:
    """Return, in order, the frames chosen for each want (entry of a data request). No frame is chosen twice, is in `barred` or is of `barred_drives`.

    Args:
        examples: pool in which the frames that a want names in `like` are looked up; frames similar to these are chosen first.
        bits: a frame whose hash differs from a chosen one's in at most this many of 64 bits is left out as a duplicate; -1 leaves none out.
    """
    free = np.array([id_ not in barred and drive not in barred_drives for id_, drive in zip(pool.ids, pool.drives, strict=True)], dtype=bool)
    taken: list[np.uint64] = []
    return [_for_want(want, pool, examples, free, taken, bits) for want in wants]


def _for_want(want: Want, pool: Pool, examples: Pool, free: NDArray[np.bool_], taken: list[np.uint64], bits: int) -> Chosen:
    untold = tuple(sorted(set(want.conditions) & set(OF_OBJECTS)))
    asked = {name: values for name, values in sorted(want.conditions.items()) if name not in untold}
    meets = np.array([all(of_frame.get(name) in values for name, values in asked.items()) for of_frame in pool.conditions], dtype=bool)
    silent = {name: sum(name not in of_frame for of_frame in pool.conditions) for name in asked}
    liked = np.flatnonzero(np.isin(examples.ids.astype(str), want.like)) if want.like else np.empty(0, dtype=np.intp)
    candidates = np.flatnonzero(meets & free)
    order = candidates[np.argsort(_apart(pool, candidates, examples, liked), kind="stable")] if len(liked) else _spread(candidates)
    chosen: list[int] = []
    for row in order.tolist():
        if len(chosen) == want.count:
            break
        if taken and int(np.bitwise_count(np.array(taken, dtype=np.uint64) ^ pool.hashes[row]).min()) <= bits:
            continue
        chosen.append(row)
        taken.append(pool.hashes[row])
        free[row] = False
    shown = set(examples.drives[liked].tolist())
    return Chosen(
        want,
        tuple(pool.ids[row] for row in chosen),
        len(candidates),
        untold,
        {name: count for name, count in silent.items() if count},
        bool(want.like) and not len(liked),
        sum(pool.drives[row] in shown for row in chosen),
    )


def _apart(pool: Pool, rows: NDArray[np.intp], examples: Pool, liked: NDArray[np.intp]) -> NDArray[np.float64]:
    """Return how far each pool frame in `rows` is from the nearest example in `liked`: share of differing hash bits plus luma difference, 0 to 2."""
    bits = np.bitwise_count(pool.hashes[rows, None] ^ examples.hashes[None, liked]) / _BITS
    light = np.abs(pool.luma[rows, None] - examples.luma[None, liked])
    nearest: NDArray[np.float64] = (bits + light).min(axis=1).round(9)
    return nearest


def _spread(rows: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return the rows reordered so that the first k, for any k, are spread over all of them (van der Corput's sequence)."""
    places = np.arange(len(rows), dtype=np.uint64)
    reversed_ = np.zeros(len(rows), dtype=np.float64)
    scale = 0.5
    while places.any():
        reversed_ += scale * (places & np.uint64(1))
        places >>= np.uint64(1)
        scale /= 2
    # The rank of the n-th number of the sequence is the n-th row.
    return rows[np.argsort(np.argsort(reversed_, kind="stable"), kind="stable")]


def _summary(facet: Mapping[str, Any]) -> str:
    wants = facet["wants"]
    return tc.summarize(f"{tc.count(sum(want['asked'] for want in wants), 'frame')} asked for in {tc.count(len(wants), 'want')}")


REQUESTED_FACET = tc.FacetSpec("tracecore_requested", _summary, __package__)


def read_request(folder: Path) -> DataRequest:
    """Return the data request in the folder of a `data_request` artifact; raises UsageError if its file is missing or invalid."""
    file = folder / FILE
    try:
        return DataRequest.model_validate(loads_strict(file.read_bytes()))
    except OSError as error:
        raise tc.UsageError(f"The input 'request' holds no {FILE}: wire it to a data_request, such as diagnosis.request.") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise tc.UsageError(f"This version can't read the data request: {where}: {first['msg']}.") from error
    except StrictJSONError as error:
        raise tc.UsageError(f"The data request is not JSON: {error}") from error


class RequestedFrames(tc.Stage):
    """Choose the frames that a diagnosis asks for: those of its conditions, most like the mistakes it shows first."""

    kind = tc.StageKind.CURATE
    frames = tc.Input(table=tc.FRAMES, description="the frames to choose from")
    request = tc.Input("data_request", description="what is wanted, as event-clusters gives it")
    labels = tc.Input(
        table=tc.LABELS, optional=True, description="labels of the frames to choose from, whose attributes of frames are conditions too"
    )
    examples = tc.Input(
        table=tc.FRAMES, optional=True, description="the frames that the mistakes were made on, to see what they look like; none is chosen"
    )
    exclude = tc.Input(table=tc.FRAMES, optional=True, description="frames that are not to be chosen: those used already, those kept to judge by")
    chosen = tc.Output(table=tc.FRAMES, checks=["unique_frame_ids", "request_met"], description="frames that meet what is asked for, whole rows")

    class Params(tc.Params):
        """Exclusion and duplicates."""

        exclude_by: Literal["frame", "drive"] = tc.Field("frame", description="what an excluded frame bars: itself, or every frame of its drive")
        bits: int = tc.Field(
            2, ge=-1, le=32, description="of 64: two frames whose hashes differ in no more show the same, and one of them is enough; -1 takes both"
        )

    def run(self, context: tc.Context, params: Params) -> None:
        """Choose frames for each want (entry of the data request), write them, and record how many each want got and what is not known."""
        request = read_request(context.read(self.request))
        table, excluded, judged = (context.read(port) for port in (self.frames, self.exclude, self.examples))
        pool = read_pool(table, context.read(self.labels))
        ids, drives = _barred(excluded, by_drive=params.exclude_by == "drive")
        # The frames with the mistakes are available already, so they are not chosen.
        shown = {ref for want in request.wants for ref in want.like}
        pools = [pool, *(read_pool(each) for each in (excluded, judged) if each is not None)]
        _, first = np.unique(np.concatenate([each.ids for each in pools]).astype(str), return_index=True)
        examples = Pool(*(np.concatenate([getattr(each, field.name) for each in pools])[first] for field in fields(Pool)))
        found = choose(request.wants, pool, examples, ids | shown, drives, params.bits)
        chosen = [ref for each in found for ref in each.ids]
        context.write(self.chosen, selection(table, chosen))
        drive_of = dict(zip(pool.ids.tolist(), pool.drives.tolist(), strict=True))
        counts = Counter(drive_of[ref] for ref in chosen)
        context.describe(self.chosen, FRAMES_FACET, {"frames": len(chosen), "drives": dict(sorted(counts.items()))})
        context.describe(
            self.chosen,
            REQUESTED_FACET,
            {
                "wants": [_want_facet(each) for each in found],
                "of": len(pool),
                "kept": len(chosen),
                "excluded": len(ids),
                "exclude_by": params.exclude_by,
            },
        )
        for what, why in _unknowns(found, len(pool)):
            context.unknown(what, why, port=self.chosen)


def _barred(excluded: Any, *, by_drive: bool) -> tuple[set[str], set[str]]:
    """Return the refs of the frames in `excluded` and, with `by_drive`, their drives (else no drives), of which no frame may be chosen."""
    if excluded is None:
        return set(), set()
    if "frame_id" not in excluded.schema.names:
        raise tc.UsageError("The input 'exclude' names no frames: expected a table with the column frame_id, such as training_set.validation.")
    table: pa.Table = excluded.to_table(columns=["frame_id", "drive"])
    return set(pc.unique(table["frame_id"]).to_pylist()), set(pc.unique(table["drive"]).to_pylist()) if by_drive else set()


def _want_facet(each: Chosen) -> Mapping[str, JSON]:
    return {
        "cluster": each.want.cluster,
        "asked": each.want.count,
        "found": each.found,
        "chosen": len(each.ids),
        "matching": each.matching,
        "conditions": {name: list(values) for name, values in sorted(each.want.conditions.items())},
        "untold": list(each.untold),
        "of_shown_drives": each.of_shown_drives,
    }


def _unknowns(found: Sequence[Chosen], pool: int) -> list[tuple[str, str]]:
    listed: dict[tuple[str, str], list[str]] = {}
    for each in found:
        if each.want.category:
            why = "A frame table does not tell what objects a frame holds; asked for was"
            listed.setdefault(("objects on requested frames", why), []).append(each.want.category)
        for name in each.untold:
            why = f"A frame table does not tell the {name} of objects, so no chosen frame counts as found by it; asked for was"
            listed.setdefault((f"{name} on requested frames", why), []).extend(each.want.conditions[name])
        for name, count in each.unsaid.items():
            words = name.replace("_", " ")
            why = f"Nobody said the {words} of {count} of {pool} frames, so they were not chosen by it; asked for was"
            listed.setdefault((f"{words} of frames", why), []).extend(each.want.conditions[name])
        if each.unlike:
            why = "The frames that show the mistake are in none of 'frames', 'examples' and 'exclude', so likeness to them decided nothing for"
            listed.setdefault(("likeness to mistakes", why), []).append(each.want.cluster)
        if not each.ids:
            listed.setdefault(("requested frames", "No frame that is free to choose meets what is asked for by"), []).append(each.want.cluster)
    return [(what, f"{why} {', '.join(dict.fromkeys(values))}.") for (what, why), values in listed.items()]


_NAMED = 3


class RequestMet(tc.Check):
    """Every want got as many frames as it asked for that are known to meet its conditions of frames.

    Conditions of objects are unknown before a frame is labeled, so they are neither met nor missed: the check and the table's unknowns name them.
    """

    name = "request_met"
    description = "Every want of a data request got as many frames as it asked for, by what is known of frames before they are labeled."
    # Missing data is the purpose of a request: it is reported, and blocks nothing.
    severity = Severity.WARN

    def run(self, context: tc.CheckContext) -> tc.CheckResult:
        """Return a failed result if fewer frames than requested were chosen for any want (entry of the data request), with one outcome per want."""
        context.read()
        facet: Any = context.target.facets.get(REQUESTED_FACET.name)
        if not facet:
            raise tc.UsageError(f"The check 'request_met' is for frames chosen by a data request; {context.target.ref} has none.")
        wants = facet["wants"]
        short = [want for want in wants if _chosen(want) < want["asked"]]
        outcomes = tuple(
            ExpectationOutcome(
                f"found_{want['cluster']}", success=_chosen(want) >= want["asked"], expected=str(want["asked"]), actual=str(_chosen(want))
            )
            for want in wants
        )
        untold = sorted({name for want in wants for name in want.get("untold", ())})
        unknown = f" Whether they show objects of the wanted {' and '.join(untold)} is unknown." if untold else ""
        if not short:
            return tc.CheckResult(success=True, message=f"All {len(wants)} wants got the frames they asked for.{unknown}", outcomes=outcomes)
        named = ", ".join(f"{want['cluster']} ({_chosen(want)} of {want['asked']})" for want in short[:_NAMED])
        more = f" and {len(short) - _NAMED} more" if len(short) > _NAMED else ""
        message = f"{len(short)} of {len(wants)} wants got too few frames: {named}{more}.{unknown}"
        return tc.CheckResult(success=False, message=message, outcomes=outcomes)


def _chosen(want: Any) -> int:
    """Return the number of frames chosen for a want in the facet `tracecore_requested`; older facets have only `found`."""
    chosen: int = want.get("chosen", want["found"])
    return chosen
