"""Work over a whole record grows with the record and no faster: counted in calls and statements at N versions and at 4N, not in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from counting import calls, statements
from stored_world import StoredWorld, frames, kept

from tracecore_lineage.retention.sweeping import orphans
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.run import Artifact

FEW, MANY = 8, 32
_SLACK = 1.1


def grown(folder: Path, versions: int) -> StoredWorld:
    """A sealed build, and as many versions of one table and of one model as are asked for, each read by a run."""
    world = StoredWorld.at(folder).all()
    world.seal("demo")
    for number in range(versions):
        table = kept("dataset", "demo.drives", world.table("demo.drives", frames("north", f"drive-{number}")))
        world.run("drives", StageKind.INGEST, outputs={"frames": table})
        model = kept("model", "demo.model", world.folder(**{"model.safetensors": b"%d" % number, "card.txt": b"trained on north"}))
        world.run("model", StageKind.TRAIN, [("frames", "drives")], {"model": model})
    return world


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> tuple[StoredWorld, StoredWorld]:
    folder = tmp_path_factory.mktemp("growth")
    return grown(folder / "few", FEW), grown(folder / "many", MANY)


def _store(world: StoredWorld) -> object:
    return orphans(world.record, world.store)


@pytest.mark.parametrize(
    "work",
    [
        lambda world: world.record.prune(dry_run=True),
        lambda world: world.record.withdraw("north", "growth", dry_run=True),
        lambda world: world.record.verify(),
        lambda world: world.record.doctor(),
        lambda world: world.record.recover(),
        lambda world: world.record.replay(check=True),
        _store,
    ],
    ids=["prune", "withdraw", "verify", "doctor", "recover", "replay", "orphans"],
)
def test_four_times_the_versions_cost_four_times_the_calls_at_most(
    worlds: tuple[StoredWorld, StoredWorld], work: Callable[[StoredWorld], object]
) -> None:
    work(worlds[0])  # what is imported once counts for neither
    few, many = (calls(lambda world=world: work(world)) for world in worlds)
    assert many <= few * MANY / FEW * _SLACK


def _artifact(world: StoredWorld) -> Artifact:
    return world.made["drives"]


@pytest.mark.parametrize(
    "work",
    [
        lambda world: world.record.newest_table("dataset", "demo.drives"),
        lambda world: world.record.erased(_artifact(world)),
        lambda world: world.record.artifact(_artifact(world).ref),
        lambda world: world.record.trace("build/demo"),
        lambda world: world.start("again", StageKind.TRAIN),
    ],
    ids=["newest table", "erased", "artifact", "trace", "start"],
)
def test_a_question_about_one_version_costs_the_same_at_four_times_the_versions(
    worlds: tuple[StoredWorld, StoredWorld], work: Callable[[StoredWorld], object]
) -> None:
    for world in worlds:
        work(world)  # each connection compiles a statement once
    few, many = (calls(lambda world=world: work(world)) for world in worlds)
    assert many <= few * _SLACK
    few, many = (statements(world.record, lambda world=world: work(world)) for world in worlds)
    assert many == few


def test_what_a_run_asks_before_it_starts_does_not_grow_with_what_was_pruned(worlds: tuple[StoredWorld, StoredWorld]) -> None:
    """The last of these tests: it prunes both worlds, one version at a time in the larger one."""
    few, many = worlds
    newest = {id(world): world.made["drives"] for world in worlds}
    few.record.prune([few.made["model"].ref])
    for artifact in many.record.artifacts("model", "demo.model")[: MANY // 2]:
        many.record.prune([artifact.ref])
    counted = []
    for world in worlds:
        for ask in (world.record.withdrawn, lambda world=world: world.record.erased(newest[id(world)])):
            ask()
            counted.append((calls(ask), statements(world.record, ask)))
    assert counted[:2] == counted[2:]
