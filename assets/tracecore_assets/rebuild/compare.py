"""Comparison of rebuilt artifacts with the sealed ones, and where the first difference entered.

Equal bytes are `bit-identical`. Different bytes get a verdict better than `different` only for a known reason: a change of the environment, or an
input whose verdict is same-program, same-recipe or within-tolerance.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracecore.errors import TracecoreError
from tracecore.store import Store
from tracecore.store.manifest import scan_directory
from tracecore_assets.rebuild.answer import ArtifactVerdict, EnvironmentChange, MissingInput, Verdict
from tracecore_assets.rebuild.recorded_build import RebuildTarget, RecordedBuild
from tracecore_assets.rebuild.tolerances import compare_engines, measure
from tracecore_lineage.present.words import short_ref
from tracecore_schemas.kinds import ArtifactKind, Media
from tracecore_schemas.run import Artifact

__all__ = ["Comparison", "RebuiltVersion"]

_SHOWN = 4
_UNCOMPARED = frozenset({"outputStatistics", "symlinks", "schema", "tracecore_artifact", "tracecore_origin"})
"""Facets about place, size and columns; the comparison of bytes and rows reports their differences."""


@dataclass(frozen=True, slots=True)
class RebuiltVersion:
    """The rebuilt counterpart of a sealed version, or the reason why it was not made; `taken_over` if copied from the original store."""

    artifact: Artifact | None
    facets: Mapping[str, Any]
    hindered: str = ""
    taken_over: bool = False


class Comparison:
    """Comparison of rebuilt artifacts in execution order, so that consequences of an earlier difference are recognized.

    `stores` are the original and the scratch store; `missing` are inputs that the rebuild did not have.
    """

    def __init__(
        self, sealed: RecordedBuild, stores: tuple[Store, Store], missing: Sequence[MissingInput], changed: Sequence[EnvironmentChange]
    ) -> None:
        self._sealed = sealed
        self._stores = stores
        self._missing = missing
        self._changed = changed
        self.verdicts: dict[str, ArtifactVerdict] = {}

    def judge(self, target: RebuildTarget, rebuilt: RebuiltVersion) -> ArtifactVerdict:
        """Compare a rebuilt version with the sealed one, add the verdict to `verdicts` and return it; call it in execution order."""
        verdict, why, follows = self._compare(target, rebuilt)
        ref = None if rebuilt.artifact is None else rebuilt.artifact.ref
        self.verdicts[target.ref] = ArtifactVerdict(target.ref, target.role, verdict, ref, why, follows)
        return self.verdicts[target.ref]

    def _compare(self, target: RebuildTarget, rebuilt: RebuiltVersion) -> tuple[Verdict, str, str | None]:
        """Return the verdict, its reason in words, and the ref of the first differing artifact upstream that may be the cause; None without one."""
        follows = self._first_difference_upstream(target)
        if rebuilt.artifact is None:
            return Verdict.DIFFERENT, rebuilt.hindered, follows
        if rebuilt.taken_over:
            return Verdict.TAKEN_OVER, "people's work, taken over from the record: the files it was made from are not kept", None
        if rebuilt.artifact.ref == target.ref:
            return Verdict.IDENTICAL, self._identical_words(target), None
        if target.kind == ArtifactKind.ENGINE:
            engines = self._sealed.stored.get(target.ref), rebuilt.artifact
            same = compare_engines(engines, (target.facets, rebuilt.facets), self._stores)
            if same is not None:
                return *same, None
        what, near = self._describe_difference(target, rebuilt)
        reason = self._known_reason(target)
        if near and reason is not None:
            return Verdict.TOLERANCE, f"{what}; {reason}", None
        if reason is None and follows is None and not self._missing_words(target):
            what += "; code, parameters, seed, inputs and environment are what they were, so the stage does not make the same twice"
        elif reason is not None and follows is None:
            what += f"; {reason}"
        return Verdict.DIFFERENT, what + self._missing_words(target), follows

    def _identical_words(self, target: RebuildTarget) -> str:
        """Return the reason in words for the verdict `bit-identical`; for labels made by human labelers it names their labeling campaign."""
        people = [read.file for read in self._sealed.runs[target.asset].inputs if (read.file or "").endswith(".campaign.json")]
        if people and target.kind == ArtifactKind.LABEL_BATCH:
            return f"the same bytes, made again from the closed campaign {people[0]}; people's work itself is taken over from the record"
        return "the same bytes"

    def _known_reason(self, target: RebuildTarget) -> str | None:
        """Return why an artifact may differ: changed code or environment, or an equivalent but not bit-identical input; None without a reason."""
        own = [change for change in self._changed if target.asset in change.assets]
        if own:
            shown = "; ".join(change.words() for change in own[:_SHOWN])
            return f"what had changed: {shown}" + (f" and {len(own) - _SHOWN} more" if len(own) > _SHOWN else "")
        near = (Verdict.PROGRAM, Verdict.RECIPE, Verdict.TOLERANCE)
        inputs = [ref for ref in target.made_from if ref in self.verdicts and self.verdicts[ref].verdict in near]
        return f"its input {short_ref(inputs[0])} is {self.verdicts[inputs[0]].verdict.value}" if inputs else None

    def _first_difference_upstream(self, target: RebuildTarget) -> str | None:
        """Return the ref of the first artifact upstream of a sealed version whose rebuild differs; None if none differs."""
        for ref in target.made_from:
            judged = self.verdicts.get(ref)
            if judged is not None and judged.verdict is Verdict.DIFFERENT:
                return judged.follows or judged.ref
        return None

    def _missing_words(self, target: RebuildTarget) -> str:
        """Return a clause that names input files which the rebuild of an asset did not have; empty if none was missing."""
        missing = [missed for missed in self._missing if missed.asset == target.asset]
        shown = "; ".join(missed.why.rstrip(".") for missed in missing[:_SHOWN])
        return "" if not missing else f"; it lacks: {shown}" + (f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else "")

    def _describe_difference(self, target: RebuildTarget, rebuilt: RebuiltVersion) -> tuple[str, bool]:
        """Return (description, near): how the rebuilt version differs from the sealed one, and whether by no more than the tolerance."""
        assert rebuilt.artifact is not None, "called for rebuilt artifacts only"
        kept = self._sealed.stored.get(target.ref)
        words = _differing_facets(target.facets, rebuilt.facets)
        if target.ref in self._sealed.erased:
            return "; ".join([f"only digests can be compared: {self._sealed.erased[target.ref].rstrip('.')}", *words]), False
        if kept is None or not self._stores[0].exists(kept):
            return "; ".join(["the sealed bytes are not kept, so only digests can be compared", *words]), False
        try:
            distance = measure(kept, rebuilt.artifact, target.facets, rebuilt.facets, self._stores)
            files = _differing_files(kept, rebuilt.artifact, self._stores)
        except TracecoreError as error:
            return f"the two can't be compared: {error}", False
        parts = ([distance.words] if distance is not None else []) + files + words
        near = distance is not None and distance.within
        if distance is not None and near:
            parts[0] += f", within {distance.limit:g}"
        return "; ".join(parts) or "its bytes differ", near


def _differing_files(one: Artifact, other: Artifact, stores: tuple[Store, Store]) -> list[str]:
    """Return one clause that names the files which differ between two directories, as a list; an empty list if none differs."""
    if one.media is not Media.DIRECTORY or other.media is not Media.DIRECTORY:
        return []
    places = stores[0].open(one), stores[1].open(other)
    then, now = ({path: digest for path, _, digest in scan_directory(place)} for place in places if isinstance(place, Path))
    apart = [
        f"{path}{'' if path in now else ' (gone)'}{'' if path in then else ' (new)'}"
        for path in sorted(then.keys() | now.keys())
        if then.get(path) != now.get(path)
    ]
    shown = ", ".join(apart[:_SHOWN]) + (f" and {len(apart) - _SHOWN} more" if len(apart) > _SHOWN else "")
    return [f"its file{'s' if len(apart) > 1 else ''} {shown} differ{'' if len(apart) > 1 else 's'}"] if apart else []


def _differing_facets(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Return one clause that names the facets, and their members, which differ between two artifacts, as a list; empty if none differs."""
    apart = []
    for name in sorted((one.keys() | other.keys()) - _UNCOMPARED):
        then, now = ({key: value for key, value in (each.get(name) or {}).items() if not key.startswith("_")} for each in (one, other))
        if then != now:
            members = sorted(key for key in then.keys() | now.keys() if then.get(key) != now.get(key))
            apart.append(f"{name}.{{{', '.join(members[:_SHOWN])}}}")
    return [f"said of it otherwise: {', '.join(apart)}"] if apart else []
