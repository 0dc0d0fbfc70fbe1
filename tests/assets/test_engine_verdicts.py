"""The verdict on two engines: what a vehicle carries decides, in this order: bytes, program, recipe."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tracecore.engines import rename_inner, with_roles
from tracecore.store.local import LocalStore
from tracecore.workspace import Workspace
from tracecore_assets.rebuild import Verdict
from tracecore_assets.rebuild.compare import Comparison, RebuiltVersion
from tracecore_assets.rebuild.recorded_build import RebuildTarget
from tracecore_assets.rebuild.tolerances import compare_engines
from tracecore_schemas.run import Artifact

PROGRAM = b"\x00trt name=__mye2567_shape { __mye99 __mye2567 } \xff"
RENUMBERED = b"\x00trt name=__mye10001_shape { __mye7 __mye10001 } \xff"
SWAPPED = b"\x00trt name=__mye2567_shape { __mye99 __mye99 } \xff"
RECIPE = "sha256:" + "a" * 64
FILES = {"model.engine": PROGRAM, "model.so": b"companion", "model.checker": b"checker", "timing.cache": b"times", "inspector.json": b"{}"}


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(Workspace.create(tmp_path / "workspace"))


def engine(store: LocalStore, files: dict[str, bytes], recipe: str | None = RECIPE) -> Artifact:
    """Keep an engine as a compile stage would have left it."""
    folder = store.staging("run") / "engine"
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    facet = with_roles({"summary": "an engine", "recipe_digest": recipe}, folder)
    kept = store.put_directory(folder, run_id="run")
    return Artifact("engine", "test.engine", kept.digest, kept.media, kept.location, facets={"tracecore_engine": facet})


def verdict(store: LocalStore, sealed: Artifact, rebuilt: Artifact, *, kept: bool = True) -> tuple[Verdict, str] | None:
    return compare_engines((sealed if kept else None, rebuilt), (sealed.facets, rebuilt.facets), (store, store))


@pytest.mark.parametrize(
    ("changed", "found", "why"),
    [
        (
            {"timing.cache": b"others"},
            Verdict.IDENTICAL,
            "the same bytes in all that a vehicle carries; no vehicle carries what differs: timing_cache",
        ),
        ({"inspector.json": None}, Verdict.IDENTICAL, "no vehicle carries what differs: inspector"),
        ({"model.engine": RENUMBERED}, Verdict.PROGRAM, "engine equal once the compiler's inner names are numbered by order of appearance"),
        ({"model.engine": RENUMBERED, "timing.cache": b"others"}, Verdict.PROGRAM, "no vehicle carries what differs: timing_cache"),
        ({"model.engine": SWAPPED}, Verdict.RECIPE, "the same recipe (sha256:aaaaaaaaaaaa"),
        ({"model.engine": RENUMBERED, "model.so": b"another"}, Verdict.RECIPE, "the same recipe"),
        ({"model.engine": RENUMBERED, "model.checker": None}, Verdict.RECIPE, "the same recipe"),
        ({"model.so": None}, Verdict.RECIPE, "the same recipe"),
        ({"model.engine": PROGRAM + b"x"}, Verdict.RECIPE, "the same recipe"),
    ],
)
def test_the_roles_that_a_vehicle_carries_decide(store: LocalStore, changed: dict[str, bytes | None], found: Verdict, why: str) -> None:
    files = {name: data for name, data in {**FILES, **changed}.items() if data is not None}
    given = verdict(store, engine(store, FILES), engine(store, files))
    assert given is not None
    assert given[0] is found
    assert why in given[1]


def test_an_engine_of_a_build_that_is_made_again_is_judged_by_its_roles_and_what_follows_from_it_is_near(store: LocalStore) -> None:
    sealed, rebuilt = engine(store, FILES), engine(store, {**FILES, "model.engine": RENUMBERED})
    report = Artifact("kpi_report", "test.kpis", "sha256:" + "1" * 64)
    targets = [
        RebuildTarget(sealed.ref, "engine", "engine", (), sealed.facets),
        RebuildTarget(report.ref, "kpis", "kpis", (sealed.ref,), {"tracecore_kpis": {"values": {"map": 0.5}}}),
    ]
    known: Any = SimpleNamespace(stored={sealed.ref: sealed}, erased={}, runs={})
    comparison = Comparison(known, (store, store), (), ())
    assert comparison.judge(targets[0], RebuiltVersion(rebuilt, rebuilt.facets)).verdict is Verdict.PROGRAM
    again = comparison.judge(targets[1], RebuiltVersion(replace(report, digest="sha256:" + "2" * 64), targets[1].facets))
    assert again.follows is None
    assert "the stage does not make the same twice" not in again.why  # its input is declared to be other bytes


def test_one_program_of_another_recipe_is_one_program(store: LocalStore) -> None:
    given = verdict(store, engine(store, FILES), engine(store, {**FILES, "model.engine": RENUMBERED}, recipe="sha256:" + "b" * 64))
    assert given is not None
    assert given[0] is Verdict.PROGRAM


@pytest.mark.parametrize("recipe", ["sha256:" + "b" * 64, None])
def test_neither_program_nor_recipe_is_different(store: LocalStore, recipe: str | None) -> None:
    assert verdict(store, engine(store, FILES), engine(store, {**FILES, "model.engine": SWAPPED}, recipe=recipe)) is None


def test_bytes_that_are_not_kept_or_not_the_recorded_ones_are_no_program(store: LocalStore) -> None:
    sealed, rebuilt = engine(store, FILES), engine(store, {**FILES, "model.engine": RENUMBERED})
    given = verdict(store, sealed, rebuilt, kept=False)
    assert given is not None
    assert given[0] is Verdict.RECIPE
    place = store.open(sealed)
    assert isinstance(place, Path)
    (place / "model.engine").chmod(0o644)
    (place / "model.engine").write_bytes(RENUMBERED)
    given = verdict(store, sealed, rebuilt)
    assert given is not None
    assert given[0] is Verdict.RECIPE


def test_a_record_without_roles_is_judged_by_its_recipe(store: LocalStore) -> None:
    sealed, rebuilt = (replace(engine(store, FILES), facets={"tracecore_engine": {"recipe_digest": RECIPE}}) for _ in range(2))
    given = verdict(store, sealed, rebuilt)
    assert given is not None
    assert given[0] is Verdict.RECIPE


def test_inner_names_are_numbered_by_first_appearance_whatever_their_digits() -> None:
    assert rename_inner(PROGRAM) == rename_inner(RENUMBERED) == b"\x00trt name=__mye0_shape { __mye1 __mye0 } \xff"
    assert rename_inner(SWAPPED) != rename_inner(PROGRAM)
    assert rename_inner(b"__mye1__mye2") != rename_inner(b"__mye1__mye1")
    assert rename_inner(b"no names: __my __mye") == b"no names: __my __mye"
