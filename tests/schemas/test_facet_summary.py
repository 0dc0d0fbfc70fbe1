"""The line that each facet has of itself: how it is made, and what is refused."""

from __future__ import annotations

import pytest

from tracecore_schemas.facets import LONGEST, count, size, summarize, wrong_summary


def test_numbers_are_written_with_their_nouns() -> None:
    assert [count(1, "frame"), count(1204, "frame"), count(2, "box"), count(0, "check")] == ["1 frame", "1,204 frames", "2 boxes", "0 checks"]
    assert [count(2, "batch"), count(3, "epoch"), count(2, "library"), count(2, "key")] == ["2 batches", "3 epochs", "2 libraries", "2 keys"]


def test_bytes_are_written_in_the_unit_that_reads_best() -> None:
    assert [size(83), size(2400), size(4_800_000), size(2_500_000_000_000)] == ["83 bytes", "2.4 kB", "4.8 MB", "2500.0 GB"]


def test_parts_that_no_longer_fit_are_left_out_and_empty_ones_skipped() -> None:
    assert summarize("a", "", "b") == "a · b"
    assert summarize("a", 200 * "x", "b") == "a · b"
    assert summarize() == ""


@pytest.mark.parametrize("text", [500 * "x", "a\nb\tc", "a\x00b", "drive \u202emarf", "日" * 400])
def test_whatever_it_is_made_of_a_summary_can_be_recorded(text: str) -> None:
    made = summarize(text)
    assert len(made) <= LONGEST
    assert wrong_summary(made) is None


@pytest.mark.parametrize("value", [None, 7, {}, "", "  ", 121 * "x", "two\nlines", "\x1b[31m"])
def test_what_is_no_line_for_a_trace_is_named(value: object) -> None:
    assert wrong_summary(value) is not None
