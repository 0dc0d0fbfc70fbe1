"""A share of the shuffles: one state whatever the order; and the judge notices a catalog that depends on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from shuffles import Shuffles

from tracecore.testing.worlds import real_input
from tracecore_lineage.catalog import recorder

_real = recorder.project


def test_a_share_of_the_shuffles_gives_one_state(tmp_path: Path) -> None:
    real_input("openlineage")
    with Shuffles().trials(tmp_path) as attempt:
        assert [why for number in range(5) for why in attempt(number).broken] == []


def test_a_catalog_in_which_the_last_to_come_wins_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real_input("openlineage")

    def in_order(body: bytes, seq: int, *more: Any) -> list[Any]:
        return [replace(row, values={**row.values, "event_time": f"{seq:027}"}) for row in _real(body, seq, *more)]

    monkeypatch.setattr(recorder, "project", in_order)
    with Shuffles().trials(tmp_path) as attempt:
        assert "the catalog's state is another" in attempt(0).broken
