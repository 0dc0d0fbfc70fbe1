"""The same bytes from the same seed: torch's global state, pinned while a training runs and given back after."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

__all__ = ["reproducible"]


@contextmanager
def reproducible(*, seed: int, threads: int) -> Iterator[torch.Generator]:
    """Pin threads, deterministic algorithms and the seed, and restore what was before.

    Sums over threads differ between thread counts, so the count is part of what makes a training the same again.

    Args:
        seed: any integer; taken modulo 2^64.
        threads: intra-op threads.

    Yields:
        The one generator that everything random draws from.
    """
    before_threads = torch.get_num_threads()
    before_mode = torch.get_deterministic_debug_mode()
    generator = torch.Generator().manual_seed(seed % 2**64)
    with torch.random.fork_rng(devices=[]):
        try:
            torch.set_num_threads(threads)
            # the same as use_deterministic_algorithms(True), which imports torch's compiler for seconds besides
            torch.set_deterministic_debug_mode("error")
            # layers draw their first weights from the global generator
            torch.manual_seed(seed % 2**64)
            yield generator
        finally:
            torch.set_deterministic_debug_mode(before_mode)
            torch.set_num_threads(before_threads)
