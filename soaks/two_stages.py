"""The program that crash soaks build: two stages of a plugin of their own, installed as a real distribution, and drives in several variants."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

__all__ = ["PLUGIN", "VARIANTS", "BuildPlan", "Project"]

PLUGIN = "two-stages"
VARIANTS = 12
"""Contents that drives come in: within one workspace some bytes are new and some are there already."""

_MODULE = "tracecore_two_stages"
_PROGRAM = """\
type: tracecore_assets.VehicleProgram
attributes:
  name: two
  seed: 7
  assets:
    drives: {stage: ingest, plugin: two-gather, params: {paths: [drives]}}
    model: {stage: train, plugin: two-sum, inputs: {frames: drives}}
  release:
    approver: required
    gates:
      - {kpi: total, min: 0}
"""


@dataclass(frozen=True, slots=True)
class BuildPlan:
    """What one build is asked to make.

    Attributes:
        workspace: where.
        program: file of the program.
        drives: folder of the drive files; what is in them decides every digest.
        name: of the build.
        salt: is in every staleness key, so that nothing made under another salt is used again.
    """

    workspace: str
    program: str
    drives: str
    name: str
    salt: int

    def arguments(self) -> dict[str, Any]:
        """Return it as it travels to another process."""
        return {"plan": asdict(self)}


class Project:
    """A folder with the plugin installed in it, the program, and every variant of the drives.

    Args:
        folder: where; must exist.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.site = folder / "site"
        self.program = folder / "two.yaml"
        _install(self.site)
        self.program.write_text(_PROGRAM, encoding="utf-8")
        for variant in range(VARIANTS):
            drives = self.drives(variant)
            drives.mkdir(parents=True, exist_ok=True)
            for number, name in enumerate(("north", "south")):
                values = (str((variant * 37 + number * 11 + step) % 251) for step in range(40 + variant))
                (drives / f"{name}.txt").write_text(" ".join(values), encoding="utf-8")

    def drives(self, variant: int) -> Path:
        """Return the folder of one variant's drive files."""
        return self.folder / "drives" / str(variant)

    def plan(self, workspace: Path, number: int) -> BuildPlan:
        """Return the build of a trial."""
        return BuildPlan(str(workspace), str(self.program), str(self.drives(number % VARIANTS)), f"b{number}", number + 1)


def _install(site: Path) -> None:
    """Write the plugin as an installer leaves it."""
    site.mkdir(parents=True, exist_ok=True)
    code = (Path(__file__).parent / "two_stage_plugin.py").read_bytes()
    (site / f"{_MODULE}.py").write_bytes(code)
    info = site / f"{_MODULE}-0.1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tracecore-two-stages\nVersion: 0.1.0\nRequires-Dist: tracecore\n")
    (info / "entry_points.txt").write_text(f"[tracecore]\n{PLUGIN} = {_MODULE}\n")
    digest = base64.urlsafe_b64encode(hashlib.sha256(code).digest()).rstrip(b"=").decode()
    listed = (f"{_MODULE}.py,sha256={digest},{len(code)}", *(f"{info.name}/{name},," for name in ("METADATA", "entry_points.txt", "RECORD")))
    (info / "RECORD").write_text("\n".join([*listed, ""]))
