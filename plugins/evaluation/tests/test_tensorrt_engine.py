"""When an engine is executed, and when it is not even opened. No GPU is needed: these are the guards before one is used."""

from __future__ import annotations

import hashlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tracecore.errors import RunFailed
from tracecore_evaluation import tensorrt_engine as module
from tracecore_evaluation.tensorrt_engine import NotExecutable, engine_detector
from tracecore_schemas.canonical import digest_bytes
from tracecore_schemas.run import Artifact

CONTENT = b"not an engine; whoever deserializes it will notice"


class Here:
    """Represents a machine with a GPU of compute capability 8.9."""

    capability = "89"


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(module, "_Cuda", Here)
    runtime = SimpleNamespace(__version__="1.7.1")
    monkeypatch.setattr(module.importlib, "import_module", lambda name: {"tensorrt_rtx": runtime}[name])
    (tmp_path / "model.engine").write_bytes(CONTENT)
    return tmp_path


def recorded(content: bytes = CONTENT, **changes: Any) -> Artifact:
    roles = [{"role": "engine", "file": "model.engine", "sha256": hashlib.sha256(content).hexdigest()}]
    facet = {"roles": roles, "builder": "tensorrt-rtx", "builder_version": "1.7.1", "compute_capability": "SM86, SM89"} | changes
    return Artifact("engine", "test.engine", digest_bytes(content), facets={"tracecore_engine": facet})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"compute_capability": "SM86, SM120"}, "The engine is built for SM86, SM120; the GPU here is SM89."),
        ({"builder": "other"}, "The engine is built with 'other', which this evaluation has no runtime for."),
        (
            {"builder_version": "1.6.0"},
            "The engine is built with tensorrt-rtx 1.6.0; here is 1.7.1, and engines only run in the version they are of.",
        ),
    ],
)
def test_an_engine_of_another_gpu_or_runtime_is_not_touched(engine: Path, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(NotExecutable) as raised:
        engine_detector(engine, recorded(**changes))
    assert str(raised.value) == why


def test_an_engine_that_says_nothing_of_its_gpu_is_not_touched(engine: Path) -> None:
    with pytest.raises(NotExecutable, match=r"built for no GPU that the record names; the GPU here is SM89"):
        engine_detector(engine, Artifact("engine", "test.engine", digest_bytes(CONTENT)))


def test_a_missing_runtime_is_named_with_how_to_install_it(engine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(module.importlib, "import_module", missing)
    with pytest.raises(NotExecutable, match=r'not installed here: pip install "tensorrt-rtx"\.'):
        engine_detector(engine, recorded())


def test_bytes_that_are_not_the_recorded_ones_are_never_loaded(engine: Path) -> None:
    with pytest.raises(RunFailed, match=r"The engine's file is not the recorded one: expected sha256 \w{64}, found \w{64}; it was not loaded\."):
        engine_detector(engine, recorded(b"what was recorded"))


def test_an_engine_whose_files_are_not_listed_is_never_loaded(engine: Path) -> None:
    with pytest.raises(RunFailed, match=r"expected sha256 none recorded"):
        engine_detector(engine, recorded(roles=[]))
