"""The workspace a build is made again in: temporary, or a folder that a later call goes on in; never the one that holds the build.

Everything in it can be made again: what counts is the sealed build, and the answer.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tracecore.errors import UsageError
from tracecore.files import write_durably
from tracecore.system.failures import clear_disk_errors
from tracecore.system.settings import Settings
from tracecore.workspace import NamedWorkspace, Workspace

__all__ = ["scratch_workspace"]

_MARK = "rebuild.json"


@contextmanager
def scratch_workspace(original: Workspace, build: str, folder: Path | None, *, keep: bool) -> Iterator[Workspace]:
    """Open the workspace for a rebuild.

    Args:
        original: holds the build; the scratch has its slug, so that every name is the same.
        build: whole ref of the build.
        folder: where; a temporary folder where None.
        keep: whether a temporary folder stays.

    Raises:
        UsageError: the folder is a workspace of its own or inside the original, or holds the rebuild of another build.
    """
    root = Path(tempfile.mkdtemp(prefix="tracecore-rebuild-")) if folder is None else folder.absolute()
    try:
        with clear_disk_errors(root):
            _begin(root, original, build)
            # By no settings: record and store lie in the scratch folder, wherever those of the original do.
            yield Workspace.create(NamedWorkspace(Settings.model_construct(), root), slug=original.slug)
    finally:
        if folder is None and not keep:
            shutil.rmtree(root, ignore_errors=True)


def _begin(root: Path, original: Workspace, build: str) -> None:
    mark = root / _MARK
    if original.root.resolve() in root.resolve().parents:
        raise UsageError(f"{root} lies inside the workspace that holds the build, which is only read: name a folder outside of it with --in.")
    if root.resolve() == original.root.resolve() or ((root / "workspace.json").exists() and not mark.exists()):
        raise UsageError(
            f"{root} is a workspace of its own: a rebuild needs an empty folder, or one that it began in before; name another with --in."
        )
    if mark.exists():
        begun = json.loads(mark.read_text(encoding="utf-8"))["build"]
        if begun != build:
            raise UsageError(f"{root} holds the rebuild of {begun}, not of {build}: name another folder with --in, or remove it.")
        return
    if root.is_dir() and any(root.iterdir()):
        raise UsageError(f"{root} is not empty: a rebuild needs an empty folder, or one that it began in before; name another with --in.")
    root.mkdir(parents=True, exist_ok=True)
    write_durably(mark, json.dumps({"v": 1, "build": build}).encode() + b"\n")
