"""Torch's global state while a training runs, and after."""

from __future__ import annotations

import pytest
import torch

from tracecore_training.training_loop import reproducible


def test_threads_and_determinism_are_pinned_inside_and_given_back_after() -> None:
    threads, deterministic = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    with reproducible(seed=1, threads=1):
        assert torch.get_num_threads() == 1
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == threads
    assert torch.are_deterministic_algorithms_enabled() == deterministic


def test_state_is_given_back_after_a_failure_too() -> None:
    threads = torch.get_num_threads()
    with pytest.raises(RuntimeError, match="on the way"), reproducible(seed=1, threads=threads + 1):
        raise RuntimeError("on the way")
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_global_generator_goes_on_as_if_nothing_had_been_drawn() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with reproducible(seed=1, threads=1):
        torch.rand(100)
    assert torch.equal(torch.rand(3), expected)


def test_the_seed_decides_what_is_drawn_and_may_be_any_integer() -> None:
    def drawn(seed: int) -> list[float]:
        with reproducible(seed=seed, threads=1) as generator:
            return [*torch.rand(2, generator=generator).tolist(), *torch.rand(2).tolist()]

    assert drawn(7) == drawn(7)
    assert drawn(7) != drawn(8)
    assert drawn(2**70) == drawn(2**70)
    assert drawn(-3) == drawn(-3)
