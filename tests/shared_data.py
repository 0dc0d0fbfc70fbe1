"""Finds the real input that tests use where it is there: drives, labels and logs from outside the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ENV = "TRACECORE_SHARED_DATA"
_BESIDE = Path(__file__).parents[2] / "shared" / "data"


def shared_data(*parts: str) -> Path:
    """Return a file or folder of the shared data, or skip the test, saying what is absent.

    Looked for in the folder that TRACECORE_SHARED_DATA names, else next to the repository in `shared/data`.
    """
    folder = Path(os.environ.get(ENV) or _BESIDE)
    path = folder.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"real input is absent: {'/'.join(parts) or 'shared data'} (set {ENV} to the folder that holds it)")
    return path
