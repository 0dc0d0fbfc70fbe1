"""Sealed builds hold what is in their traces; the rest can be pruned, and the next build makes it again.

Modules: `retention/prune.py`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import pytest
from click.testing import CliRunner
from stored_world import StoredWorld, frames, kept
from tampering import sql

from tracecore.errors import NegativeVerdict, UsageError
from tracecore.store.local import LocalStore
from tracecore_lineage.commands.retention import prune_command
from tracecore_lineage.retention.consent import withdraw
from tracecore_lineage.retention.prune import prune
from tracecore_lineage.verify.doctor import examine
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.run import Artifact


def loose(world: StoredWorld) -> tuple[Artifact, Artifact]:
    """Make a newer table and a newer model, which no build depends on."""
    table = kept("dataset", "demo.drives", world.table("demo.drives", frames("south", "west")))
    world.run("drives", StageKind.INGEST, outputs={"frames": table})
    model = kept("model", "demo.model", world.folder(**{"model.safetensors": b"other" * 50, "config.json": b"{}"}))
    world.run("model", StageKind.TRAIN, [("frames", "drives")], {"model": model})
    return table, model


def pruned(world: StoredWorld, *refs: str, **more: float) -> set[str]:
    done = prune(world.record.recorder, refs, **more)
    return set() if done.erasure is None else {version.ref for version in done.erasure.versions}


def test_what_no_build_stands_on_goes_and_what_one_holds_stays(built: StoredWorld) -> None:
    held = list(built.made.values())
    table, model = loose(built)
    assert pruned(built) == {table.ref, model.ref}
    assert not built.store.exists(table)
    assert all(built.store.exists(each) for each in held)
    verdict = built.record.verify()
    assert verdict["ok"], verdict["failures"]
    assert {part["ref"] for part in verdict["erased"]} == {table.ref, model.ref}
    assert built.record.verify("build/demo")["ok"]
    assert examine(built.record.recorder)["ok"]
    assert pruned(built) == set()
    with pytest.raises(UsageError, match=r"was erased on .*: pruned: no sealed build stands on it\."):
        built.record.artifact(model.ref)


def test_a_version_that_a_build_holds_is_refused_and_the_build_named(built: StoredWorld) -> None:
    ref = built.made["model"].ref
    with pytest.raises(NegativeVerdict, match=rf"{ref} stays: build/demo depends on it"):
        prune(built.record.recorder, [ref])
    with pytest.raises(UsageError, match=r"Did you mean 'model/demo\.model'"):
        prune(built.record.recorder, ["model/demo.modle"])
    with pytest.raises(UsageError, match="no bytes to prune"):
        prune(built.record.recorder, ["build/demo"])
    with pytest.raises(UsageError, match="0 or more"):
        prune(built.record.recorder, older_than=-1)


def test_only_the_named_and_only_the_old_where_that_is_asked(built: StoredWorld) -> None:
    table, model = loose(built)
    assert pruned(built, older_than=1) == set()
    assert pruned(built, model.ref) == {model.ref}
    assert built.store.exists(table)


def test_a_pruned_version_that_is_made_again_is_there_again(built: StoredWorld) -> None:
    _, model = loose(built)
    prune(built.record.recorder)
    again = kept("model", "demo.model", built.folder(**{"model.safetensors": b"other" * 50, "config.json": b"{}"}))
    assert built.record.recorder.erased(model) is not None
    built.run("model", StageKind.TRAIN, [("frames", "drives")], {"model": again})
    assert again.ref == model.ref
    assert built.record.recorder.erased(again) is None
    assert built.record.verify()["ok"]
    (built.store.root / str(again.location) / "config.json").write_bytes(b"[]")
    assert not built.record.verify()["ok"]  # the old tombstone excuses nothing any more


def test_what_crashes_left_goes_and_scratch_that_is_in_use_stays(built: StoredWorld) -> None:
    root = built.record.workspace.root
    for path in ("store/blobs/ab/orphan", "store/staging/dead/out/part", "scratch/old/state", "scratch/new/state"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"left")
    for path in ("scratch/old/state", "scratch/old"):
        os.utime(root / path, (0, 0))
    planned = prune(built.record.recorder, dry_run=True)
    assert ([path for path, _ in planned.orphans], planned.scratch, planned.staged) == (["blobs/ab/orphan"], ("old",), ("dead",))
    assert (root / "store/blobs/ab/orphan").is_file()
    prune(built.record.recorder)
    assert {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file() and path.read_bytes() == b"left"} == {"scratch/new/state"}
    assert built.record.verify("build/demo")["ok"]


def test_a_prune_that_was_killed_is_finished_by_the_next(built: StoredWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def killed(*_: object) -> int:
        raise Killed

    table, _ = loose(built)
    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "erase", killed)
        with pytest.raises(Killed):
            prune(built.record.recorder)
    assert built.record.recorder.erased(table) is not None  # promised: not given to anybody, though its bytes are there still
    assert built.store.exists(table)
    done = prune(built.record.recorder)
    assert (len(done.finished), done.erasure) == (1, None)
    assert not built.store.exists(table)
    assert built.record.verify()["ok"]


def test_the_command_says_what_would_go_and_what_builds_hold(built: StoredWorld) -> None:
    where = ["--workspace", str(built.record.workspace.root)]
    assert "Nothing to prune: sealed builds hold" in CliRunner().invoke(prune_command, where).output
    table, _ = loose(built)
    assert f"{table.ref}  " in CliRunner().invoke(prune_command, ["--dry-run", *where]).output
    answer = json.loads(CliRunner().invoke(prune_command, ["--json", *where]).output)
    assert {entry["ref"] for entry in answer["erased"]} >= {table.ref}
    assert answer["bytes"] > 0
    assert answer["run"].startswith("run/")


def test_each_orphan_that_goes_is_listed(built: StoredWorld) -> None:
    left = built.file(b"nobody recorded this")
    where = ["--workspace", str(built.record.workspace.root)]
    expected = {"path": f"store/{left.location}", "bytes": 20}
    assert json.loads(CliRunner().invoke(prune_command, ["--dry-run", "--json", *where]).output)["orphans"] == [expected]
    assert f"store/{left.location}  20 bytes  erased: no event names it" in CliRunner().invoke(prune_command, where).output
    assert examine(built.record.recorder)["orphans"] == []


@pytest.mark.parametrize(
    ("statements", "why"),
    [
        (["DELETE FROM ledger_event", "DELETE FROM ledger_block"], "0 are there"),
        (["DELETE FROM ledger_event WHERE seq = 3"], "events and"),
        (["DELETE FROM catalog_facet"], "is missing"),
        (["UPDATE catalog_edge SET name = 'else' WHERE direction = 'output'"], "is changed"),
        (["UPDATE ledger_head SET size = 0", "DELETE FROM ledger_event", "DELETE FROM catalog_facet", "DELETE FROM catalog_edge"], "0 events"),
    ],
)
def test_nothing_goes_while_the_catalog_is_not_what_the_ledger_says(built: StoredWorld, statements: list[str], why: str) -> None:
    before = sorted(built.store.inventory())
    for statement in statements:
        sql(built, statement)
    erasures: tuple[Callable[[], object], ...] = (lambda: prune(built.record.recorder), lambda: prune(built.record.recorder, dry_run=True))
    for erase in erasures:
        with pytest.raises(NegativeVerdict, match=why):
            erase()
    with pytest.raises((NegativeVerdict, UsageError)):
        withdraw(built.record.recorder, "north", "asked")
    assert sorted(built.store.inventory()) == before
    assert not built.record.verify()["ok"]
