"""Steps that could not be recorded when they ended: kept in files of the workspace, and recorded as soon as the record can be written again.

Neither of two harms may be done: a run of Dagster's must not fail because the record is locked or full, and nothing may be missing in silence. So
what can't be recorded is written down, whole or not at all, and told in the log; `tracecore doctor` names it while it waits.
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


def spool(workspace: Workspace, told: StepRecord) -> Path:
    """Write a step down, durably."""
    folder = _folder(workspace)
    folder.mkdir(parents=True, exist_ok=True)
    fsync_folder(folder.parent)
    file = folder / f"{told.run}.json"
    write_durably(file, told.dump())
    return file


def pending(workspace: Workspace) -> list[Path]:
    """Return the files of what still has to be recorded, oldest first."""
    folder = _folder(workspace)
    found: list[tuple[int, str, Path]] = []
    for each in folder.glob("*.json") if folder.is_dir() else ():
        with suppress(FileNotFoundError):  # another process has recorded it in this moment
            if not each.name.startswith("."):
                found.append((each.stat().st_mtime_ns, each.name, each))
    return [file for _, _, file in sorted(found)]


def record_pending(record: Record) -> int:
    """Record what waits; what still can't be recorded goes on waiting.

    Returns:
        How many steps were recorded.
    """
    done = 0
    for file in pending(record.workspace):
        try:
            finish(record, StepRecord.load(file.read_bytes()))
        except FileNotFoundError:
            continue  # another process has recorded it in this moment
        except Exception as error:  # noqa: BLE001  # one that can't be recorded must not keep the others from it
            _log.warning("The step kept in %s can't be recorded yet: %s", file, error)
            continue
        file.unlink(missing_ok=True)  # only now: until its COMPLETE is durable, a crash may need it again
        done += 1
    return done
