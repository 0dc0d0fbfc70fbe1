"""What holds for every test of the repository: of the core, and of each plugin."""

from __future__ import annotations

import gc
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import forked
import pytest
from hypothesis import HealthCheck, settings

from tracecore.running.worker import workers

# A shell starts what runs in its background with Ctrl-C ignored, and child processes inherit that: what they do on it could not be tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Recorded data, where it is next to the repository.
os.environ.setdefault("TRACECORE_SHARED_DATA", str(Path(__file__).parents[1] / "shared" / "data"))

# As `tracecore` itself does: what Dagster, torch and Great Expectations bring stays, and is not looked through again and again.
gc.set_threshold(50_000, 20, 50)

# As workers have it (`worker_environment`): the threads of two test processes wait asleep for one another, not spinning on the cores both want.
os.environ.setdefault("GOMP_SPINCOUNT", "2500")

workers._start = forked.server

# A deadline of Hypothesis measures the machine's load, not the code.
settings.register_profile("tracecore", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tracecore")


@pytest.fixture(autouse=True, scope="module")
def _workers_that_learn(request: pytest.FixtureRequest) -> Iterator[None]:
    """Workers of the plugins' stages find loaded what most of them load."""
    forked.use(learning="plugins" in request.path.parts)
    yield
    forked.use(learning=False)
