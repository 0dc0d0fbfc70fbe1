"""System calls that fail, or never return, at chosen places of a build; and products that can't survive that are seen."""

from __future__ import annotations

from pathlib import Path

import broken_products
import pytest
from fork_server import ForkServer
from injections import InjectionTrials, Point
from system_calls import missing_tool
from two_stages import Project

pytestmark = pytest.mark.skipif(missing_tool() is not None, reason=str(missing_tool()))

CHOSEN = (
    ("SIGKILL", "rename", "/store/staging/", ".manifest"),
    ("SIGKILL", "fsync", "/store/tables/", ""),
    ("EIO", "link", "_delta_log", ""),
    ("SIGKILL", "link", "_delta_log", ""),
    ("EIO", "fdatasync", "record.db-wal", ""),
    ("ENOSPC", "pwrite64", "record.db-wal", ""),
    ("ENOSPC", "write", "/store/trees/", ""),
)


@pytest.fixture(scope="module")
def trials(tmp_path_factory: pytest.TempPathFactory, crash_project: Project, crash_server: ForkServer) -> InjectionTrials:
    return InjectionTrials(tmp_path_factory.mktemp("injections"), crash_project, crash_server)


def _planted(folder: Path, plant: str, project: Project, server: ForkServer) -> InjectionTrials:
    file = folder / "plant.py"
    file.write_text(plant)
    return InjectionTrials(folder, project, server, plant=file, workers=False)


def _at(trials: InjectionTrials, fault: str, name: str, inside: str, without: str = "") -> Point:
    """Return the middle one of the calls of a name that touch a place."""
    found = [
        point
        for point in trials.points
        if point.stage is None
        and point.fault == fault
        and point.call.name == name
        and inside in point.call.text
        and not (without and without in point.call.text)
    ]
    return found[len(found) // 2]


def test_every_kind_of_call_that_writes_is_a_point(trials: InjectionTrials) -> None:
    names = {point.call.name for point in trials.points}
    assert {"openat", "mkdir", "write", "fsync", "fdatasync", "rename", "link", "unlink", "pwrite64", "ftruncate", "rmdir", "chmod", "ioctl"} <= names
    assert len(trials.points) > 1_000


@pytest.mark.parametrize(("fault", "name", "inside", "without"), CHOSEN)
def test_a_build_recovers_from_a_call_that_fails(trials: InjectionTrials, fault: str, name: str, inside: str, without: str) -> None:
    trial = trials.inject(0, _at(trials, fault, name, inside, without))
    assert trial.broken == ()
    assert trial.counts[f"{fault} at {name}"] == 1


@pytest.mark.parametrize(
    ("fault", "name", "inside"),
    [("SIGKILL", "write", ".parquet"), ("ENOSPC", "write", "card.json")],
)
def test_a_build_recovers_from_a_call_that_fails_in_a_worker(trials: InjectionTrials, fault: str, name: str, inside: str) -> None:
    found = [point for point in trials.points if point.stage and (point.fault, point.call.name) == (fault, name) and inside in point.call.text]
    trial = trials.inject(0, found[len(found) // 2])
    assert trial.broken == ()
    assert trial.counts[f"{fault} in a worker at {name}"] == 1


def test_a_store_that_is_not_atomic_is_seen(tmp_path: Path, crash_project: Project, crash_server: ForkServer) -> None:
    trials = _planted(tmp_path, broken_products.IN_TWO_WRITES, crash_project, crash_server)
    writes = [point for point in trials.points if point.fault == "SIGKILL" and point.call.name == "write" and "/store/blobs/" in point.call.text]
    trial = trials.inject(0, writes[1])
    assert any("has other bytes than its name says" in said for said in trial.broken)


def test_an_error_of_fsync_that_is_ignored_is_seen(tmp_path: Path, crash_project: Project, crash_server: ForkServer) -> None:
    trials = _planted(tmp_path, broken_products.FSYNC_ERRORS_IGNORED, crash_project, crash_server)
    trial = trials.inject(0, _at(trials, "EIO", "fsync", "weights.bin"))
    assert any("was not forced to disk" in said or "were not forced to disk" in said for said in trial.broken)
