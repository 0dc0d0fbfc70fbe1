"""What a rebuild answers: what it lacked, what had changed, and a verdict for each artifact."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

__all__ = ["ArtifactVerdict", "Change", "Lack", "RebuildAnswer", "Verdict"]


class Verdict(StrEnum):
    """How an artifact that was made again compares with the sealed one; docs/rebuild.md says how each is measured."""

    IDENTICAL = "bit-identical"
    PROGRAM = "same-program"
    RECIPE = "same-recipe"
    TOLERANCE = "within-tolerance"
    TAKEN_OVER = "taken-over"
    DIFFERENT = "different"


@dataclass(frozen=True, slots=True)
class Lack:
    """Something the record does not hold any more, or never held, that the build was made from.

    Attributes:
        what: `input`, `erased`, `damaged`, `quarantined` or `name`.
        name: the ref or the file it is about.
        asset: which asset read it.
        why: one sentence.
    """

    what: str
    name: str
    asset: str
    why: str


@dataclass(frozen=True, slots=True)
class Change:
    """Something that is not as it was when the build was made.

    Attributes:
        what: `plugin version`, `plugin source`, `source file`, `dependency` (loaded by a run), `data format`,
            `python`, `machine`, `distribution`, `accelerator` or `threads`.
        name: the plugin, distribution or asset it is about.
        recorded: as it was; None where it was not there.
        found: as it is here; None where it is not there.
        assets: whose runs it may change.
        patch: lines in which a source file differs, as `diff -u` writes them; None where one of the texts is not there.
    """

    what: str
    name: str
    recorded: str | None
    found: str | None
    assets: tuple[str, ...] = ()
    patch: str | None = None

    def words(self) -> str:
        """Say it in a few words."""
        return f"{self.what} {self.name}: {_shown(self.recorded)} then, {_shown(self.found)} now"


def _shown(value: str | None) -> str:
    if value is None:
        return "none"
    return f"{value[:19]}…" if value.startswith("sha256:") else value


@dataclass(frozen=True, slots=True)
class ArtifactVerdict:
    """One artifact of the build, and what became of it.

    Attributes:
        ref: whole ref of the sealed version.
        role: its role in the build (`training_set.train`); `drive_log` for a drive that ingest kept.
        verdict: how the rebuilt version compares.
        rebuilt: whole ref of the rebuilt version; None where it could not be made.
        why: one sentence: what differs, or what the verdict rests on.
        follows: ref of the first artifact that differed upstream, where the difference may come from there; None for one that differs by itself.
    """

    ref: str
    role: str
    verdict: Verdict
    rebuilt: str | None
    why: str
    follows: str | None = None


@dataclass(frozen=True, slots=True)
class RebuildAnswer:
    """A build made again.

    Attributes:
        build: whole ref of the sealed build.
        lacks: what the record could not give.
        changed: what is not as it was.
        artifacts: a verdict each, what is made first first.
        workspace: the scratch workspace, where it was kept.
    """

    build: str
    lacks: tuple[Lack, ...]
    changed: tuple[Change, ...]
    artifacts: tuple[ArtifactVerdict, ...]
    workspace: str | None = None

    @property
    def ok(self) -> bool:
        """Whether nothing is different."""
        return all(artifact.verdict is not Verdict.DIFFERENT for artifact in self.artifacts)

    @property
    def first(self) -> ArtifactVerdict | None:
        """The first artifact that is different by itself, not as what follows from another."""
        return next((each for each in self.artifacts if each.verdict is Verdict.DIFFERENT and each.follows is None), None)

    def document(self) -> dict[str, Any]:
        """Return the answer in the shape of `rebuild --json`."""
        return {
            "build": self.build,
            "ok": self.ok,
            "lacks": [asdict(lack) for lack in self.lacks],
            "changed": [{**asdict(change), "assets": list(change.assets)} for change in self.changed],
            "artifacts": [
                {
                    "ref": each.ref,
                    "role": each.role,
                    "verdict": each.verdict.value,
                    "rebuilt": each.rebuilt,
                    "why": each.why,
                    "follows": each.follows,
                }
                for each in self.artifacts
            ],
            "workspace": self.workspace,
        }
