"""Killed before each call that writes, then built again, all of it audited: what either process promised was on disk when it was promised."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from disk_model import Disk
from fork_server import ForkServer
from fsync_order import Audit, audit
from injections import InjectionTrials, watchable
from system_calls import read_log, watched
from trials import Trial, Try
from two_stages import Project

__all__ = ["FsyncOrder", "crashed_and_audited"]


class FsyncOrder:
    """Killed before each call that writes (SQLite's pages apart), then built again: what both promised is on disk."""

    name = "fsync-order"
    unit = "audited crashes"
    full = 280

    @contextmanager
    def trials(self, folder: Path) -> Iterator[Try]:
        """Count the calls, then give what kills before one of them and audits what is promised before and after."""
        with watchable(folder) as (project, server):
            points = [each for each in InjectionTrials(folder, project, server).points if each.fault == "SIGKILL" and each.call.name != "pwrite64"]

            def attempt(number: int) -> Trial:
                if number >= len(points):
                    return Trial(number, counts={"beyond the last point": 1})
                point = points[number]
                return crashed_and_audited(folder / "audited", project, server, number, inject=None if number == 0 else point.inject)

            yield attempt


def crashed_and_audited(folder: Path, project: Project, server: ForkServer, number: int, *, inject: str | None, plant: Path | None = None) -> Trial:
    """Build, killed where `inject` says so, and again to the end; every acknowledgement of both is audited.

    Args:
        folder: for the workspace; made anew.
        project: what is built.
        server: forks the builds.
        number: of the trial.
        inject: a fault, as strace wants it; None lets the first build end.
        plant: a file of Python that breaks the product first, to show that the audit sees it.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    root, acks = folder / "workspace", folder / "acks.jsonl"
    disk = Disk(root)
    found: list[Audit] = []
    for turn, fault in enumerate((inject, None)):
        log = folder / f"{turn}.log"
        before = len(acks.read_bytes().splitlines()) if acks.exists() else 0
        ended = watched(server, "whole", project.plan(root, 0).arguments(), acks=acks, log=log, inject=fault, plant=plant)
        if ended.code or (ended.signal and not fault):
            return Trial(number, (f"the build ended with signal {ended.signal}, exit {ended.code}: {ended.errors[-300:]}",))
        found.append(audit(read_log(log), acks, root, disk=disk, earlier=before))
        if not fault:
            break
    counts = {"acknowledgements": sum(each.acknowledgements for each in found), "files looked at": sum(each.dependencies for each in found)}
    return Trial(number, tuple(dict.fromkeys(what for each in found for what in each.early)), counts)
