"""The stage `requested-frames`, which chooses the frames that a data request asks for, and the check `request_met`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import ValidationError

import tracecore as tc
from tracecore_curation.frame_choice import Chosen, Pool, choose, read_pool
from tracecore_curation.frame_filter import selection
from tracecore_schemas.canonical import JSON
from tracecore_schemas.data_request import FILE, DataRequest
from tracecore_schemas.facets import FRAMES_FACET
from tracecore_schemas.kinds import Severity
from tracecore_schemas.run import ExpectationOutcome
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["RequestMet", "RequestedFrames", "read_request"]


def _summary(facet: Mapping[str, Any]) -> str:
    wants = facet["wants"]
    return tc.summarize(f"{tc.count(sum(want['asked'] for want in wants), 'frame')} asked for in {tc.count(len(wants), 'want')}")


REQUESTED_FACET = tc.FacetSpec("tracecore_requested", _summary, __package__)


def read_request(folder: Path) -> DataRequest:
    """Return the request in the folder of a `data_request` artifact. Raises UsageError if the file is missing or not a valid request."""
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
        """Choose and write frames, and describe the result for each want."""
        request = read_request(context.read(self.request))
        table, excluded, judged = (context.read(port) for port in (self.frames, self.exclude, self.examples))
        pool = read_pool(table, context.read(self.labels))
        ids, drives = _barred(excluded, by_drive=params.exclude_by == "drive")
        # The frames with the mistakes are available already, so they are not chosen.
        shown = {ref for want in request.wants for ref in want.like}
        examples = _joined([pool, *(read_pool(each) for each in (excluded, judged) if each is not None)])
        found = choose(request.wants, pool, examples, ids | shown, drives, params.bits)
        chosen = [ref for each in found for ref in each.ids]
        context.write(self.chosen, selection(table, chosen))
        by_drive = dict(zip(pool.ids.tolist(), pool.drives.tolist(), strict=True))
        counts: dict[str, int] = {}
        for ref in chosen:
            counts[by_drive[ref]] = counts.get(by_drive[ref], 0) + 1
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
    if excluded is None:
        return set(), set()
    if "frame_id" not in excluded.schema.names:
        raise tc.UsageError("The input 'exclude' names no frames: expected a table with the column frame_id, such as training_set.validation.")
    table: pa.Table = excluded.to_table(columns=["frame_id", "drive"])
    return set(pc.unique(table["frame_id"]).to_pylist()), set(pc.unique(table["drive"]).to_pylist()) if by_drive else set()


def _joined(pools: Sequence[Pool]) -> Pool:
    """Return the distinct frames of several pools."""
    import numpy as np

    _, first = np.unique(np.concatenate([pool.ids for pool in pools]).astype(str), return_index=True)
    return Pool(*(np.concatenate([getattr(pool, field.name) for pool in pools])[first] for field in fields(Pool)))


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
        """Compare the number of chosen frames with the number asked for, for each want."""
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
    """Return the number of frames chosen for a want; older records have only `found`."""
    chosen: int = want.get("chosen", want["found"])
    return chosen
