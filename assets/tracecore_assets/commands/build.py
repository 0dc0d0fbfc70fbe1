"""`tracecore build NAME`: makes a sealed vehicle build from drive files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tracecore.cli import emit_json, json_option, workspace_option
from tracecore.workspace import NamedWorkspace

if TYPE_CHECKING:
    from tracecore_assets.building import BuildAnswer

__all__ = ["VariadicCommand", "command"]


class VariadicCommand(click.Command):
    """A click command with one argument, whose repeatable options take several values: `--drives A B` means `--drives A --drives B`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse a command line in which one option may precede several values: `--drives A B` is read as `--drives A --drives B`."""
        return super().parse_args(ctx, self._repeat_options(args))

    def _repeat_options(self, args: list[str]) -> list[str]:
        """Return the arguments with `--drives A B` written as `--drives A --drives B`; the command's positional argument is left as it is."""
        options = {name: option for option in self.params if isinstance(option, click.Option) for name in option.opts}
        # Index of each word that is not an option's only value, with the repeatable option that it may belong to.
        free: list[tuple[int, str | None]] = []
        current: str | None = None
        place = 0
        while place < len(args) and args[place] != "--":
            word = args[place]
            if word.startswith("-") and len(word) > 1:
                option = options.get(word.partition("=")[0])
                current = word.partition("=")[0] if option is not None and option.multiple else None
                place += 1 if option is None or option.is_flag or "=" in word else 2
                continue
            free.append((place, current))
            place += 1
        if len(free) < 2:
            return args
        # The argument is the first free word that follows no repeatable option, else the last free word.
        argument = next((at for at, option in free if option is None), free[-1][0])
        owners = {at: option for at, option in free if option is not None and at != argument}
        return [word for at, each in enumerate(args) for word in ((owners[at], each) if at in owners else (each,))]


_EXAMPLES = """
\b
Examples:
  tracecore build first --program vehicle.yaml --approver me
  tracecore build first --program recorded --drives drives/*.mcap --labels labels.coco.json --approver me
  tracecore build second --program vehicle.yaml --set model.steps=800 --approver me --strict-io
  tracecore build third --approver me --waive no_leak --reason "one drive, shown to the board" --until 2027-01-31
"""


@click.command("build", cls=VariadicCommand, epilog=_EXAMPLES)
@click.argument("name")
@click.option(
    "--program", default="reference", show_default=True, metavar="FILE|NAME", help="A program's file, or a shipped program: reference, recorded."
)
@click.option("--drives", multiple=True, metavar="PATH", help="Drive files, folders or globs instead of the program's; several, or repeated.")
@click.option("--labels", multiple=True, metavar="PATH", help="Label files instead of the program's; several, or repeated.")
@click.option("--set", "settings", multiple=True, metavar="ASSET.PARAM=VALUE", help="Set a parameter, the value as YAML; may be repeated.")
@click.option("--approver", metavar="WHO", help="The approver of the build; the record keeps a pseudonym.")
@click.option("--waive", multiple=True, metavar="GATE", help="Let a failed gate pass; each with its own --reason and --until.")
@click.option("--reason", multiple=True, metavar="TEXT", help="Why a gate is waived.")
@click.option("--until", multiple=True, metavar="DATE", help="The last day a waiver holds (UTC), such as 2027-01-31.")
@click.option("--strict-io", is_flag=True, help="Fail a run that opens files or connections that nothing handed to it (TRACECORE_STRICT_IO=1).")
@workspace_option
@json_option
def command(
    name: str,
    program: str,
    drives: tuple[str, ...],
    labels: tuple[str, ...],
    settings: tuple[str, ...],
    approver: str | None,
    waive: tuple[str, ...],
    reason: tuple[str, ...],
    until: tuple[str, ...],
    strict_io: bool,
    workspace: NamedWorkspace,
    as_json: bool,
) -> None:
    """Make missing and stale assets, run checks and gates, and seal build/NAME.

    Artifacts made before from the same code, parameters and inputs are reused. A failed gate stops the release: exit code 1, and no build.
    """
    from dataclasses import replace

    from tracecore.errors import UsageError
    from tracecore_assets.building import BuildRefused, build
    from tracecore_assets.load.overrides import Overrides
    from tracecore_assets.release.release import WaiverText
    from tracecore_assets.run.progress import Console

    if strict_io:
        workspace = replace(workspace, settings=workspace.settings.model_copy(update={"strict_io": True}))
    if not len(waive) == len(reason) == len(until):
        raise UsageError(
            f"Each --waive needs its own --reason and --until; found {len(waive)} --waive, {len(reason)} --reason and {len(until)} --until."
        )
    waivers = [WaiverText(*each) for each in zip(waive, reason, until, strict=True)]
    overrides = Overrides(settings, drives, labels)
    try:
        with Console() as console:
            answer = build(workspace, name, program, overrides=overrides, approver=approver, waivers=waivers, console=console)
    except BuildRefused as refused:
        if as_json:
            emit_json(refused.answer.document())
        elif refused.answer.gates:
            _print_answer(name, refused.answer)
        raise
    if as_json:
        emit_json(answer.document())
    else:
        _print_answer(name, answer)


def _print_answer(name: str, answer: BuildAnswer) -> None:
    """Print the summary of a build: its state, failed checks, KPIs with their gates, then every gate."""
    from dataclasses import asdict

    from rich.text import Text

    from tracecore.cli import console
    from tracecore_lineage.present.words import BAD, checks_in_words, kpis_in_words, short_ref, training_in_words

    sealed = answer.sealed
    state = ("not released", BAD)
    if sealed is not None:
        state = (f"{'sealed' if sealed.new else 'sealed before with this very content'} at ledger position {sealed.position}", "")
    verdict = [*checks_in_words([check.name for check in answer.failed]), *kpis_in_words([asdict(gate) for gate in answer.gates], answer.kpis)]
    unknowns = ((unknown.what, unknown.why) for gate in answer.gates for unknown in gate.unknowns)
    verdict += [(words, "") for words in training_in_words(unknowns)]
    head = Text.assemble((short_ref(sealed.ref) if sealed is not None else f"build/{name}", "bold"), "  ")
    for place, (words, style) in enumerate([state, *verdict]):
        head.append(" · " if place else "").append(words, style)
    checks = (f"  check {check.name} failed ({check.severity.value}) on {short_ref(check.target)}: {check.message}" for check in answer.failed)
    lines = [head, *(Text(line, "red") for line in checks)]
    made = f"{len(answer.made)} made, {len(answer.reused)} reused" if answer.made else f"nothing was made, all {len(answer.reused)} reused"
    passed, waived = sum(gate.passed for gate in answer.gates), sum(gate.waived for gate in answer.gates)
    failed = len(answer.gates) - passed - waived
    lines += [Text(f"  artifacts: {made}"), Text(f"  gates: {passed} passed, {waived} waived{f', {failed} failed' if failed else ''}")]
    for gate in answer.gates:
        word = "passed" if gate.passed else "waived" if gate.waived else "FAILED"
        lines.append(Text(f"    {word:<7} {gate.name}: {gate.message}", "" if gate.passed else "red"))
    lines += [Text(f"  selection: {role} is of selection frames, and no headline") for role in answer.selection]
    if sealed is None:
        lines += [Text(f"  what it measured: tracecore show {short_ref(ref)}") for ref in answer.judged]
    else:
        lines.append(Text(f"  trace it: tracecore trace build/{name}"))
    target = console()
    for line in lines:
        target.print(line)
