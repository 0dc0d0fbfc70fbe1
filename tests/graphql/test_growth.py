"""An answer over GraphQL costs what it lists once, and a token is found without the others: counted at N and 4N, not in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
from counting import calls

from tracecore.testing.worlds import RecordWorld, artifact, origin
from tracecore.workspace import Workspace
from tracecore_graphql.named_queries import document
from tracecore_graphql.schema import ask
from tracecore_graphql.tokens import Role, TokenStore
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.run import RunInput

FEW, MANY = 25, 100
_SLACK = 1.1


def grown(folder: Path, size: int) -> RecordWorld:
    """A build whose one run read so many files, and so many builds of it."""
    world = RecordWorld.at(folder)
    files = [artifact("external", f"f{n}", f"{n}", namespace="file", origin=origin(f"f{n}", f"{n}", "label file")) for n in range(size)]
    inputs = [RunInput("label_file", each) for each in files]
    world.run("model", StageKind.TRAIN, outputs={"model": artifact("model", "demo.model", "weights")}, more_inputs=inputs)
    for number in range(size):
        world.seal(f"b{number}")
    return world


@pytest.fixture(scope="module")
def worlds(tmp_path_factory: pytest.TempPathFactory) -> tuple[RecordWorld, RecordWorld]:
    folder = tmp_path_factory.mktemp("growth")
    return grown(folder / "few", FEW), grown(folder / "many", MANY)


@pytest.mark.parametrize(
    ("question", "variables"),
    [
        ("trace", {"ref": "build/b0"}),
        ("trace", {"ref": "model/demo.model"}),
        ("impact", {"ref": "external/file/f0"}),
        ("builds", {"first": 500}),
    ],
)
def test_four_times_what_is_listed_costs_four_times_the_calls_at_most(
    worlds: tuple[RecordWorld, RecordWorld], question: str, variables: dict[str, object]
) -> None:
    counted = []
    for world in worlds:
        for _ in range(2):  # what is compiled once counts for neither
            answer, errors = ask_once(world, question, variables)
            assert not errors, errors
            assert answer
        counted.append(calls(lambda world=world: ask_once(world, question, variables)))
    assert counted[1] <= counted[0] * MANY / FEW * _SLACK


def ask_once(world: RecordWorld, question: str, variables: dict[str, object]) -> tuple[object, object]:
    answer = ask(world.record, document(question), variables)
    return answer.body.get("data"), answer.body.get("errors")


def test_a_token_is_found_without_the_others(tmp_path: Path) -> None:
    counted = []
    for size in (FEW, MANY):
        store = TokenStore(Workspace.create(tmp_path / str(size)))
        texts = [store.create(Role.AUDITOR) for _ in range(size)]
        for text in (texts[0], texts[-1], "none"):
            found = store.find(text)
            assert (found is not None) == (text != "none")
            counted.append(calls(lambda store=store, text=text: store.find(text)))
    assert counted[:3] == counted[3:]
