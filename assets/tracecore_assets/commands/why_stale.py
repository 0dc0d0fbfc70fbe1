"""`tracecore why-stale`: what changed since an asset was made."""

from __future__ import annotations

import click

from tracecore.cli import emit_json, json_option, workspace_option
from tracecore.workspace import NamedWorkspace

__all__ = ["command"]

_EXAMPLES = """
\b
Examples:
  tracecore why-stale model
  tracecore why-stale reference.engine --json
  tracecore why-stale model --patch
  tracecore why-stale model --program fleet/vehicle.yaml
"""


@click.command("why-stale", epilog=_EXAMPLES)
@click.argument("asset", metavar="ASSET")
@click.option("--program", metavar="FILE|NAME", help="The program; by default the one that was built here and has the asset.")
@click.option("--patch", is_flag=True, help="Print the lines in which source files differ, too.")
@workspace_option
@json_option
def command(asset: str, program: str | None, patch: bool, workspace: NamedWorkspace, as_json: bool) -> None:
    """Name what changed since an asset was made: code, a dependency, a parameter, an input or the data format.

    The asset's newest completed run is compared with the current code, parameters and inputs. Exit 0, whether it is stale or not.
    """
    from tracecore_assets.why_stale import why_stale

    answer = why_stale(workspace, asset, program)
    if as_json:
        emit_json(answer.document())
        return
    if answer.run is None:
        click.echo(f"{answer.asset} was never made here.")
    elif not answer.changes:
        click.echo(f"{answer.asset} is as it was made: nothing that it depends on has changed.")
    else:
        click.echo(f"{answer.asset} would be made again:")
        for change in answer.changes:
            click.echo(f"  {change.part:<10} {change.name}: {_shorten(change.then)} then, {_shorten(change.now)} now")
            if patch and change.part == "code":
                click.echo(answer.patches.get(change.name, "    no text of one of the versions is available"))


def _shorten(value: str | None) -> str:
    if value is None:
        return "none"
    head, at, version = value.rpartition("@")
    if at:
        return f"{head}@{version.removeprefix('sha256:')[:12]}"
    return value if len(value) <= 40 else f"{value[:12]}…"
