"""`tracecore ui`: the Dagster page of a workspace."""

from __future__ import annotations

import os
import sys

import click

from tracecore.cli import say, workspace_option
from tracecore.workspace import NamedWorkspace

__all__ = ["command"]


_EXAMPLES = """
\b
Examples:
  tracecore ui --port 3001
  TRACECORE_NOTIFY="json://hooks.example/perception" tracecore ui
"""


@click.command("ui", epilog=_EXAMPLES)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; the page has no login, so anything but loopback opens it to others."
)
@click.option("--port", default=3000, show_default=True, type=click.IntRange(1, 65535), help="Port to listen on.")
@workspace_option
def command(host: str, port: int, workspace: NamedWorkspace) -> None:
    """Show the workspace's programs, assets, checks and builds in the Dagster UI, and launch builds from it.

    If TRACECORE_NOTIFY is set (Apprise URLs, separated by spaces), a Dagster daemon runs too, whose sensor sends notifications of failed checks.
    """
    from tracecore.workspace import Workspace
    from tracecore_assets.load.recent_programs import recent_programs
    from tracecore_assets.run.instance import dagster_home, workspace_file
    from tracecore_lineage import Record

    targets = len(workspace.settings.notify)
    _refuse_taken(host, port)
    opened = Workspace.open(workspace)
    Record.open(opened).close()  # refuses a catalog or store of another workspace, which the page would write to
    if not recent_programs(opened):
        say("No program was built here yet: the page will be empty until 'tracecore build' or 'tracecore init' names one.")
    home = dagster_home(opened)
    # The code server and each launched run are separate processes, configured only by their environment.
    environment = {**os.environ, "DAGSTER_HOME": home, "TRACECORE_HOME": str(opened.root), "DAGSTER_DISABLE_TELEMETRY": "1"}
    say(f"Dagster UI of {opened.root}: http://{host}:{port} (Ctrl-C ends it)")
    levels = ["--log-level", "warning", "--code-server-log-level", "warning"]
    # Sensors run in Dagster's daemon, which `dagster dev` starts too; the webserver by itself starts sooner.
    page = ["dagster", "dev"] if targets else ["dagster_webserver"]
    arguments = ["-m", *page, "--host", host, "--port", str(port), "--workspace", workspace_file(opened), *levels]
    if targets:
        say(f"Notifications of failed checks go to {targets} target{'s' if targets > 1 else ''} of TRACECORE_NOTIFY.")
    os.execve(sys.executable, [sys.executable, *arguments], environment)  # noqa: S606  # the same interpreter, no shell


def _refuse_taken(host: str, port: int) -> None:
    """Raise UsageError if the address can't be bound; Dagster would report it only after seconds, with a traceback."""
    import socket

    from tracecore.errors import UsageError

    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        raise UsageError(f"The page can't listen on {host}:{port} ({error.strerror or error}): name another with --host and --port.") from error
