"""Checkpoints of a training: a killed run resumes to bit-identical weights.

A checkpoint is one safetensors file (no pickle) with the digest of its bytes in its name. It is written under a temporary name, synced and renamed,
so that a file with a final name is complete.
"""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from tracecore.files import write_durably
from tracecore_training.architecture import MultiTask
from tracecore_training.model_files import Curves

__all__ = ["Checkpoints", "TrainingState"]

_NAME = re.compile(r"step-(\d{9})-([0-9a-f]{64})\.safetensors")
_FACTS = "tracecore"  # key in the file's metadata of all state but tensors, as JSON


@dataclass(slots=True)
class TrainingState:
    """All state that the next training step depends on; `order` has the frames not yet used in the current epoch."""

    model: MultiTask
    average: MultiTask
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    curves: Curves
    step: int = 0
    order: list[int] = field(default_factory=list)


class Checkpoints:
    """Writer and reader of the checkpoints of one training; only the newest is kept.

    Args:
        folder: used only by runs of the same training: equal code, inputs, parameters and seed.
        every: steps between checkpoints; 0 keeps none.
        threads: thread count of this run; checkpoints with another one are not used, since it changes rounding.
    """

    def __init__(self, folder: Path, *, every: int, threads: int, log: logging.Logger) -> None:
        self._folder = folder
        self._every = every
        # rounding also depends on the CPU's vector instructions
        self._made_with = {"threads": threads, "cpu": torch.backends.cpu.get_cpu_capability()}
        self._log = log

    def keep(self, state: TrainingState) -> None:
        """Write a checkpoint file if one is due at the training's current step, then delete older ones."""
        if not self._every or state.step % self._every:
            return
        facts = {"made_with": self._made_with, "step": state.step, "order": state.order, "curves": asdict(state.curves)}
        data = save(dict(_named_tensors(state)), metadata={_FACTS: json.dumps(facts)})
        path = self._folder / f"step-{state.step:09}-{hashlib.sha256(data).hexdigest()}.safetensors"
        write_durably(path, data)
        for other in self._folder.iterdir():
            if other != path and (_NAME.fullmatch(other.name) or other.suffix == ".tmp"):
                other.unlink()

    def resume(self, state: TrainingState) -> int | None:
        """Restore the newest intact checkpoint into `state` in place and return its step; None if there is none.

        Damaged or incompatible checkpoints are skipped and logged.
        """
        for path in sorted(self._folder.glob("step-*.safetensors"), reverse=True):
            named = _NAME.fullmatch(path.name)
            if named is None or hashlib.sha256(path.read_bytes()).hexdigest() != named[2]:
                self._log.warning("checkpoint %s is damaged: its bytes are not those of its name; it is not used", path.name)
                continue
            if self._restore(state, path):
                self._log.info("going on after step %d, where an earlier run was stopped", state.step)
                return state.step
        return None

    def _restore(self, state: TrainingState, path: Path) -> bool:
        """Load a checkpoint file into `state` in place. Return False if it can't be read, or was made with another CPU type or thread count."""
        try:
            with safe_open(path, framework="pt") as file:
                facts: dict[str, Any] = json.loads((file.metadata() or {})[_FACTS])
                if facts["made_with"] != self._made_with:
                    self._log.info("checkpoint %s was made with %s, this run has %s: it is not used", path.name, facts["made_with"], self._made_with)
                    return False
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # safe_open is not a mapping
        except (SafetensorError, KeyError, ValueError) as error:
            self._log.warning("checkpoint %s can't be read (%s); it is not used", path.name, error)
            return False
        state.model.load_state_dict(_strip_prefix("model", tensors))
        state.average.load_state_dict(_strip_prefix("average", tensors))
        for number, parameter in enumerate(_parameters(state.optimizer)):
            moments = _strip_prefix(f"optimizer.{number}", tensors)
            # in the parameter's memory format, which the fused optimizer step assumes
            state.optimizer.state[parameter] = {
                name: value if value.ndim == 0 else torch.empty_like(parameter).copy_(value) for name, value in moments.items()
            }
        state.generator.set_state(tensors["generator"])
        state.step, state.order, state.curves = facts["step"], facts["order"], Curves(**facts["curves"])
        return True


def _named_tensors(state: TrainingState) -> Iterator[tuple[str, Tensor]]:
    """Yield (name in a checkpoint file, tensor) for all weights, averaged weights, optimizer moments and the random generator of a training."""
    for part, module in (("model", state.model), ("average", state.average)):
        for name, tensor in module.state_dict().items():
            yield f"{part}.{name}", tensor.detach().contiguous()
    for number, parameter in enumerate(_parameters(state.optimizer)):
        for name, tensor in state.optimizer.state[parameter].items():
            yield f"optimizer.{number}.{name}", tensor.detach().contiguous()
    yield "generator", state.generator.get_state()


def _parameters(optimizer: torch.optim.Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _strip_prefix(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(f"{prefix}."): tensor for name, tensor in tensors.items() if name.startswith(f"{prefix}.")}
