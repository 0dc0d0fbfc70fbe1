"""The cost of a put, an open and a clean-up of a Delta table does not grow with its versions: counted in files and bytes read, not in seconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pytest
from store_bytes import put, signals

from tracecore.store.local import LocalStore
from tracecore.store.place import LocalPlace
from tracecore.workspace import Workspace
from tracecore_schemas.run import Artifact

FEW, MANY = 25, 100


@dataclass
class Counting:
    """What a place was asked for."""

    reads: int = 0
    bytes: int = 0
    listed: int = 0

    def of(self, work: Callable[[], object]) -> tuple[int, int, int]:
        before = (self.reads, self.bytes, self.listed)
        work()
        return self.reads - before[0], self.bytes - before[1], self.listed - before[2]


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    found = Counting()
    read, listed = LocalPlace.read, LocalPlace.listed

    def counted_read(place: LocalPlace, path: str) -> bytes:
        data = read(place, path)
        found.reads += 1
        found.bytes += len(data)
        return data

    def counted_listed(place: LocalPlace, folder: str) -> Iterator[tuple[str, int]]:
        for each in listed(place, folder):
            found.listed += 1
            yield each

    monkeypatch.setattr(LocalPlace, "read", counted_read)
    monkeypatch.setattr(LocalPlace, "listed", counted_listed)
    return found


def versions(store: LocalStore, made: list[Artifact], upto: int) -> Sequence[Artifact]:
    while len(made) < upto:
        run = f"run-{len(made):06d}"
        made.append(put(store, signals({"a": 1 + len(made) % 7}), run, after=made[-1].delta if made else None))
        store.discard(run)
    return made


def test_a_put_and_an_open_cost_the_same_at_four_times_the_versions(workspace: Workspace, counting: Counting) -> None:
    store = LocalStore(workspace)
    made: list[Artifact] = []
    costs = []
    for count in (FEW, MANY):
        versions(store, made, count)
        costs.append(
            {
                "put": counting.of(lambda: versions(store, made, len(made) + 1)),
                "open": counting.of(lambda: store.open(made[FEW // 2]).to_table()),
                "exists": counting.of(lambda: store.exists(made[FEW // 2])),
                "parts": counting.of(lambda: store.parts(made[-1])),
            }
        )
    assert costs[0].keys() == costs[1].keys()
    for what, (reads, size, listed) in costs[1].items():
        few = costs[0][what]
        assert (reads, listed) == (few[0], few[2]), what
        assert size <= few[1] * 1.1, what
    assert costs[1]["put"][0] <= 2


def test_a_log_is_read_once_to_verify_all_its_versions(workspace: Workspace, counting: Counting) -> None:
    store = LocalStore(workspace)
    made: list[Artifact] = []
    costs = []
    for count in (FEW, MANY):
        versions(store, made, count)
        recorded = [each.delta for each in made if each.delta is not None]
        location = str(made[0].location)
        costs.append(counting.of(lambda location=location, recorded=recorded: store.verify_log(location, recorded)))
    assert [each[0] for each in costs] == [FEW, MANY]


def test_what_killed_runs_left_in_a_table_is_found_in_one_pass(workspace: Workspace, counting: Counting) -> None:
    store = LocalStore(workspace)
    made: list[Artifact] = []
    for count in (FEW, MANY):
        versions(store, made, count)
        assert counting.of(LocalStore(workspace).staged_runs)[0] <= count
