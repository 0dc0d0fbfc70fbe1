"""A training that is killed goes on, in another process, to the very weights it would have had."""

from __future__ import annotations

import importlib.util
import logging
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tracecore_training.architecture import MultiTask
from tracecore_training.checkpoint import Checkpoints, TrainingState
from tracecore_training.model_files import Curves

LOG = logging.getLogger("test")
SCRIPT = Path(__file__).with_name("training_process.py")
FILES = ("config.json", "curves.json", "model.safetensors")


def train(folder: Path) -> tuple[dict[str, bytes], Any]:
    """Train to the end; give the model's files and the step at which it was taken up again."""
    spec = importlib.util.spec_from_file_location("training_process", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model, resumed = module.train(folder)
    return {name: (model / name).read_bytes() for name in FILES}, resumed


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("workspace/scratch/*/step-*.safetensors"))


def test_a_killed_training_is_taken_up_again_to_identical_weights(tmp_path: Path) -> None:
    whole, resumed = train(tmp_path / "whole")
    assert resumed is None
    killed = tmp_path / "killed"
    process = subprocess.Popen([sys.executable, str(SCRIPT), str(killed)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 300  # of a machine that does much else
    while not kept(killed):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    (checkpoint,) = kept(killed)[-1:]
    again, resumed = train(killed)
    assert resumed >= int(checkpoint.name.split("-")[1]) > 0
    assert again == whole
    assert not kept(killed)


def state_of(seed: int) -> TrainingState:
    torch.manual_seed(seed)
    model, average = MultiTask(2, width=0.25), MultiTask(2, width=0.25)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    sum(parameter.sum() for parameter in model.parameters()).backward()  # type: ignore[union-attr]  # a tensor, not the int that sum starts from
    optimizer.step()
    return TrainingState(model, average, optimizer, torch.Generator().manual_seed(seed), Curves.of(["center"]), 20, [3, 1, 2])


def checkpoints(folder: Path, **other: Any) -> Checkpoints:
    return Checkpoints(folder, **({"every": 10, "threads": 1, "log": LOG} | other))


@pytest.fixture
def _quiet_generator() -> Any:
    with torch.random.fork_rng(devices=[]):
        yield


@pytest.mark.usefixtures("_quiet_generator")
class TestCheckpoints:
    """What is kept, and what is believed of it."""

    def test_everything_that_the_next_step_depends_on_comes_back(self, tmp_path: Path) -> None:
        state, other = state_of(1), state_of(2)
        state.curves.add({"": 2.5, "center": 0.1})
        checkpoints(tmp_path).keep(state)
        assert checkpoints(tmp_path).resume(other) == 20
        assert (other.step, other.order, other.curves) == (20, [3, 1, 2], state.curves)
        assert torch.equal(other.generator.get_state(), state.generator.get_state())
        for one, two in zip(state.model.state_dict().values(), other.model.state_dict().values(), strict=True):
            assert torch.equal(one, two)
        assert torch.equal(next(state.average.parameters()), next(other.average.parameters()))
        for parameter, same in zip(state.model.parameters(), other.model.parameters(), strict=True):
            assert torch.equal(state.optimizer.state[parameter]["exp_avg"], other.optimizer.state[same]["exp_avg"])

    def test_the_newest_alone_is_kept_every_so_many_steps(self, tmp_path: Path) -> None:
        state = state_of(1)
        keeper = checkpoints(tmp_path)
        for step in (10, 15, 20, 21):
            state.step = step
            keeper.keep(state)
        assert [path.name[:14] for path in tmp_path.iterdir()] == ["step-000000020"]
        nothing = tmp_path / "nothing"
        nothing.mkdir()
        checkpoints(nothing, every=0).keep(state)
        assert not list(nothing.iterdir())

    def test_a_damaged_checkpoint_is_not_used_and_is_named(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        checkpoints(tmp_path).keep(state_of(1))
        (path,) = tmp_path.iterdir()
        data = bytearray(path.read_bytes())
        data[-40] ^= 1
        path.write_bytes(data)
        assert checkpoints(tmp_path).resume(state_of(2)) is None
        assert f"checkpoint {path.name} is damaged" in caplog.text

    def test_a_checkpoint_of_another_thread_count_is_of_another_training(self, tmp_path: Path) -> None:
        checkpoints(tmp_path).keep(state_of(1))
        assert checkpoints(tmp_path, threads=2).resume(state_of(2)) is None
