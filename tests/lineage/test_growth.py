"""Work over a whole record grows with the record and no faster: counted in calls and statements at N versions and at 4N, not in seconds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from counting import calls, statements
from stored_world import StoredWorld, frames, kept

from tracecore_lineage.bundle.writer import export_bundle
from tracecore_lineage.catalog.replay import catalog_differences
from tracecore_lineage.exchange.importer import import_bundle
from tracecore_lineage.retention.cleanup import orphans
from tracecore_lineage.retention.consent import withdraw
from tracecore_lineage.retention.prune import prune
from tracecore_lineage.retention.recover import recover
from tracecore_lineage.trace.show import show
from tracecore_lineage.verify.bundle import verify_bundle
from tracecore_lineage.verify.doctor import examine
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.run import Artifact, RunInput

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
        lambda world: prune(world.record.recorder, dry_run=True),
        lambda world: withdraw(world.record.recorder, "north", "growth", dry_run=True),
        lambda world: world.record.verify(),
        lambda world: examine(world.record.recorder),
        lambda world: recover(world.record.recorder),
        lambda world: world.record.query(catalog_differences, world.record.ledger),
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
        lambda world: world.record.recorder.newest_table("dataset", "demo.drives"),
        lambda world: world.record.recorder.erased(_artifact(world)),
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


def _exported(world: StoredWorld, folder: Path) -> Path:
    """A sealed build on every version of one table: each is read by the run that made what is sealed."""
    path = folder / f"{world.record.workspace.root.name}.bundle"
    versions = [(f"frames-{number}", artifact) for number, artifact in enumerate(world.record.recorder.artifacts("dataset", "demo.drives"))]
    made = [world.record.query(show, artifact.ref, workspace=world.record.workspace)["made_by"][0]["run"] for _, artifact in versions]
    engine = kept("engine", "demo.engine", world.file(b"of all versions"))
    read = [RunInput(role, artifact, run) for (role, artifact), run in zip(versions, made, strict=True)]
    world.run("engine", StageKind.COMPILE, [], {"engine": engine}, more_inputs=read)
    world.seal("all")
    export_bundle(world.record.recorder, "all", path)
    return path


def test_a_bundle_of_four_times_the_versions_of_a_table_costs_four_times_the_calls_at_most(tmp_path: Path) -> None:
    counted: list[tuple[int, int, int]] = []
    for versions in (2, FEW, MANY):  # what is imported once counts for neither
        world = StoredWorld.at(tmp_path / f"w{versions}").all()
        for number in range(versions):
            table = kept("dataset", "demo.drives", world.table("demo.drives", frames("north", f"drive-{number}")))
            world.run("drives", StageKind.INGEST, outputs={"frames": table})
        path = _exported(world, tmp_path)
        exported = calls(lambda world=world, path=path: export_bundle(world.record.recorder, "all", path))
        verified = calls(lambda path=path: verify_bundle(path))
        other = StoredWorld.at(tmp_path / f"o{versions}")
        counted.append((exported, verified, calls(lambda other=other, path=path: import_bundle(other.record.recorder, path))))
        other.record.close()
        world.record.close()
    for few, many in zip(*counted[1:], strict=True):
        assert many <= few * MANY / FEW * _SLACK


def test_an_event_is_taken_and_a_bundle_imported_at_the_same_cost_however_many_were_imported(tmp_path: Path) -> None:
    other = StoredWorld.at(tmp_path / "ours")
    counted: list[tuple[int, int, int]] = []
    event_of = {
        "eventType": "COMPLETE", "producer": "urn:other", "schemaURL": "urn:other", "job": {"namespace": "other", "name": "job"},
    }  # fmt: skip
    for number in range(1, MANY // 2 + 1):
        world = StoredWorld.at(tmp_path / f"w{number}").all()
        world.seal(f"b{number}")
        path = tmp_path / f"{number}.bundle"
        export_bundle(world.record.recorder, f"b{number}", path)
        world.record.close()
        run = {"runId": f"019ab2c4-1111-7000-8000-{number:012d}"}
        said = {**event_of, "run": run, "eventTime": f"2026-01-01T00:00:{number:02d}Z"}
        imported = calls(lambda path=path: import_bundle(other.record.recorder, path))
        taken = [count(lambda said=said, n=n: other.record.ingest([{**said, "n": n}])) for n, count in ((1, calls), (2, _statements(other)))]
        counted.append((imported, *taken))
    few, many = counted[FEW // 2 - 1], counted[-1]
    assert many[0] <= few[0] * _SLACK
    assert many[1] <= few[1] * _SLACK
    assert many[2] == few[2]
    other.record.close()


def _statements(world: StoredWorld) -> Callable[[Callable[[], object]], int]:
    return lambda work: statements(world.record, work)


def test_what_a_run_asks_before_it_starts_does_not_grow_with_what_was_pruned(worlds: tuple[StoredWorld, StoredWorld]) -> None:
    """The last of these tests: it prunes both worlds, one version at a time in the larger one."""
    few, many = worlds
    newest = {id(world): world.made["drives"] for world in worlds}
    prune(few.record.recorder, [few.made["model"].ref])
    for artifact in many.record.recorder.artifacts("model", "demo.model")[: MANY // 2]:
        prune(many.record.recorder, [artifact.ref])
    counted = []
    for world in worlds:
        for ask in (world.record.recorder.withdrawn, lambda world=world: world.record.recorder.erased(newest[id(world)])):
            ask()
            counted.append((calls(ask), statements(world.record, ask)))
    assert counted[:2] == counted[2:]
