"""`tracecore plugins check`: whether an installed plugin keeps the contract."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tracecore.options import console, emit_json, json_option, no_workspace_option, settings_of

if TYPE_CHECKING:
    from tracecore.testing import Report

__all__ = ["check"]

_EXAMPLES = """
\b
Examples:
  tracecore plugins check night
  tracecore plugins check night --stage night-frames --json
  tracecore plugins check night --samples night/tests/conformance.py    # installed as a wheel
"""
_MARKS = {"passed": "✓", "failed": "✗", "not run": "?"}
_STYLES = {"passed": "green", "failed": "red", "not run": "yellow"}


@click.command("check", short_help="Check that a plugin keeps the contract.", epilog=_EXAMPLES)
@click.argument("name")
@click.option("--stage", "stages", multiple=True, metavar="STAGE", help="Look at this stage alone; may be given several times.")
@click.option(
    "--samples",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Python file with tracecore_samples(stage, folder); tests/conformance.py of the plugin's project where it is installed from one.",
)
@no_workspace_option
@json_option
def check(name: str, stages: tuple[str, ...], samples: Path | None, *, as_json: bool) -> None:
    """Look at an installed plugin by every rule of the contract: run its stages on samples, twice, and name what is wrong.

    Exit code 1 where a rule failed. What can't be run on this machine is said and counts as neither.
    """
    from tracecore.errors import AnswerIsNo
    from tracecore.testing import conformance, read_samples

    report = conformance(name, None if samples is None else read_samples(samples), stages=stages or None, settings=settings_of())
    if as_json:
        emit_json(report.document())
    else:
        _print(report)
    if not report.ok:
        count = len(report.failures)
        raise AnswerIsNo(f"The plugin '{name}' does not keep the contract: {count} finding{'s' if count > 1 else ''}.")


def _print(report: Report) -> None:
    from rich.table import Table

    from tracecore.testing import RULES

    out = console()
    out.print(f"{report.plugin}  {report.distribution} {report.version}", markup=False)
    # Rules down, subjects across: a plugin has few stages, and there are many rules.
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule")
    for subject in report.subjects:
        table.add_column(subject, justify="center")
    for rule in RULES:
        cells = [_cell(report, rule, subject) for subject in report.subjects]
        if any(cells):
            table.add_row(rule, *cells)
    out.print(table)
    for finding in report.failures:
        out.print(f"[red]✗[/] {finding.subject}, {finding.rule}: ", end="")
        out.print(finding.message, markup=False)
    seen: set[tuple[str, str]] = set()
    for finding in report.not_run:
        if (finding.subject, finding.message) not in seen:
            seen.add((finding.subject, finding.message))
            rules = ", ".join(each.rule for each in report.not_run if (each.subject, each.message) == (finding.subject, finding.message))
            out.print(f"[yellow]?[/] {finding.subject}, not run ({rules}): ", end="")
            out.print(finding.message, markup=False)


def _cell(report: Report, rule: str, subject: str) -> str:
    results = {each.result.value for each in report.findings if each.rule == rule and each.subject == subject}
    worst = next((each for each in ("failed", "not run", "passed") if each in results), None)
    return "" if worst is None else f"[{_STYLES[worst]}]{_MARKS[worst]}[/]"
