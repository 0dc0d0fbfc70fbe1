"""The history of KPIs as a table for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tracecore_lineage.rendering.words import count

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["history_table", "left_out"]

_COLUMNS = 5
"""KPIs that stand beside each other in a terminal."""


def history_table(answer: Mapping[str, Any], kpis: Sequence[str]) -> Table:
    """Draw what `Record.kpi_history` answered: a line a version, a column a KPI.

    A cell is the value, its interval, and the difference from the version before; the difference is marked with `!` where the two intervals don't
    overlap, which chance alone would seldom make.

    Args:
        answer: with its whole history.
        kpis: the names to show.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("made", "build", "version", *kpis):
        table.add_column(Text(name), no_wrap=name == "made")
    for version in answer["history"]:
        cells = [_cell(version, name) for name in kpis]
        builds = ", ".join(version["builds"]) or "-"
        table.add_row(*map(Text, (version["created_at"][:19].replace("T", " "), builds, version["ref"].partition("@")[2][:6], *cells)))
    return table


def left_out(answer: Mapping[str, Any], asked: Sequence[str]) -> tuple[list[str], str | None]:
    """Choose the KPIs to show, and say how many more there are where none was asked for: the summary ones, which are of no class or slice."""
    known: list[str] = answer["kpis"]
    if asked or len(known) <= _COLUMNS:
        return known, None
    shown = ([name for name in known if "." not in name] or known)[:_COLUMNS]
    return shown, f"{count(len(known) - len(shown), 'more KPI')}: --kpi NAME shows one, --json all."


def _cell(version: Mapping[str, Any], name: str) -> str:
    value = version["values"].get(name)
    if value is None:
        return "not defined" if name in version["values"] else "-"
    words = [f"{value:.3f}"]
    if name in version["intervals"]:
        low, high = version["intervals"][name]
        words.append(f"[{low:.3f}, {high:.3f}]")
    change = version["change"].get(name)
    if change is not None:
        words.append(f"({_signed(change['difference'])}{'!' if change['overlap'] is False else ''})")
    return " ".join(words)


def _signed(difference: float) -> str:
    return f"{difference:+.3f}" if difference else "="
