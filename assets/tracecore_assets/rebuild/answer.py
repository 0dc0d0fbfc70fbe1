"""Result of a rebuild: missing inputs, changes of the environment, and a verdict for each artifact."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = ["ArtifactVerdict", "EnvironmentChange", "MissingInput", "RebuildAnswer", "Verdict"]


class Verdict(StrEnum):
    """Result of comparing a rebuilt artifact with the sealed one; docs/rebuild.md describes how each verdict is reached."""

    IDENTICAL = "bit-identical"
    PROGRAM = "same-program"
    RECIPE = "same-recipe"
    TOLERANCE = "within-tolerance"
    TAKEN_OVER = "taken-over"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class MissingInput:
    """An input that record or store can't supply; `what` is `input`, `erased`, `damaged`, `quarantined` or `name`, `name` the ref or file."""

    what: str
    name: str
    asset: str
    why: str


@dataclass(frozen=True, slots=True)
class EnvironmentChange:
    """A difference between the environment of the sealed build (`recorded`) and the current one (`found`); None without a value.

    Attributes:
        what: `plugin version`, `plugin source`, `source file`, `dependency` (loaded by a run), `data format`, `python`, `machine`, `distribution`,
            `environment`, `accelerator` or `threads`.
        name: the plugin, distribution or asset.
        assets: assets that it may affect.
        patch: unified diff of a source file; None if one of the texts is not available.
    """

    what: str
    name: str
    recorded: str | None
    found: str | None
    assets: tuple[str, ...] = ()
    patch: str | None = None

    def words(self) -> str:
        """Return the change of the environment since the sealed build as a clause: `python python: 3.11.2 then, 3.12.0 now`."""
        return f"{self.what} {self.name}: {_shorten(self.recorded)} then, {_shorten(self.found)} now"


def _shorten(value: str | None) -> str:
    if value is None:
        return "none"
    return f"{value[:19]}…" if value.startswith("sha256:") else value


@dataclass(frozen=True, slots=True)
class ArtifactVerdict:
    """Verdict on one artifact of the build.

    Attributes:
        ref: whole ref of the sealed version.
        role: its role in the build (`training_set.train`); `drive_log` for a drive that ingest kept.
        rebuilt: whole ref of the rebuilt version; None if it could not be made.
        why: the difference, or the reason for the verdict.
        follows: ref of the first differing artifact upstream that may cause the difference; None if there is none.
    """

    ref: str
    role: str
    verdict: Verdict
    rebuilt: str | None
    why: str
    follows: str | None = None


@dataclass(frozen=True, slots=True)
class RebuildAnswer:
    """Result of a rebuild; `artifacts` are in execution order, `workspace` is the scratch workspace if it was kept."""

    build: str
    missing: tuple[MissingInput, ...]
    changed: tuple[EnvironmentChange, ...]
    artifacts: tuple[ArtifactVerdict, ...]
    workspace: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the rebuild reproduced the build: no artifact has the verdict `different`."""
        return all(artifact.verdict is not Verdict.DIFFERENT for artifact in self.artifacts)

    @property
    def first(self) -> ArtifactVerdict | None:
        """The first artifact that differs although no artifact upstream of it differs; None if there is none."""
        return next((each for each in self.artifacts if each.verdict is Verdict.DIFFERENT and each.follows is None), None)

    def document(self) -> dict[str, Any]:
        """Return the rebuild's result as JSON in the format of `rebuild --json`."""
        return {
            "build": self.build,
            "ok": self.ok,
            "lacks": [asdict(missed) for missed in self.missing],
            "changed": [{**asdict(change), "assets": list(change.assets)} for change in self.changed],
            "artifacts": [asdict(each) for each in self.artifacts],
            "workspace": self.workspace,
        }
