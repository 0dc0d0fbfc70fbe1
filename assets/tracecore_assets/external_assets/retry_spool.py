"""Spool of steps that could not be recorded when they ended: files in the workspace, recorded later.

A Dagster run must not fail because the record is locked or its disk is full, and no step may silently be missing from the record. `tracecore doctor`
lists pending files.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tracecore.files import fsync_folder, write_durably
from tracecore.workspace import Workspace
from tracecore_assets.external_assets.recording import finish
from tracecore_assets.external_assets.step_record import StepRecord

if TYPE_CHECKING:
    from tracecore_lineage import Record

__all__ = ["pending", "record_pending", "spool"]

_log = logging.getLogger(__name__)


def _folder(workspace: Workspace) -> Path:
    return workspace.dagster / "unrecorded"


def spool(workspace: Workspace, step: StepRecord) -> Path:
    """Write a step atomically to a file named after its run, and return the file's path."""
    folder = _folder(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    fsync_folder(folder.parent)
    file = folder / f"{step.run}.json"
    write_durably(file, step.dump())
    return file


def pending(workspace: Workspace) -> list[Path]:
    """Return the files of pending steps, oldest first."""
    folder = _folder(workspace)
    found: list[tuple[int, str, Path]] = []
    for each in folder.glob("*.json") if folder.is_dir() else ():
        with suppress(FileNotFoundError):  # another process has just recorded it
            if not each.name.startswith("."):
                found.append((each.stat().st_mtime_ns, each.name, each))
    return [file for _, _, file in sorted(found)]


def record_pending(record: Record) -> int:
    """Record the pending steps and delete their files; return the number recorded. Steps that can't be recorded are logged and stay pending."""
    done = 0
    for file in pending(record.workspace):
        try:
            finish(record.recorder, StepRecord.load(file.read_bytes()))
        except FileNotFoundError:
            continue  # another process has just recorded it
        except Exception as error:  # noqa: BLE001  # a step that can't be recorded must not block the others
            _log.warning("The step kept in %s can't be recorded yet: %s", file, error)
            continue
        file.unlink(missing_ok=True)  # only after its COMPLETE is durable, so that a crash loses nothing
        done += 1
    return done
