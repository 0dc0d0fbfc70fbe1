"""`tracecore completion SHELL`: shell completion by click's own mechanism."""

from __future__ import annotations

import click

__all__ = ["command"]


_WHERE = """
\b
Where it goes:
  bash:  eval "$(tracecore completion bash)"     in ~/.bashrc
  zsh:   eval "$(tracecore completion zsh)"      in ~/.zshrc
  fish:  tracecore completion fish > ~/.config/fish/completions/tracecore.fish
"""


@click.command("completion", short_help="Print the shell code that completes tracecore's commands.", epilog=_WHERE)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the shell code that completes tracecore's commands and options."""
    from click.shell_completion import get_completion_class

    completion = get_completion_class(shell)
    assert completion is not None  # the choice above names the three that click has
    root = context.find_root()
    click.echo(completion(root.command, {}, "tracecore", "_TRACECORE_COMPLETE").source())
