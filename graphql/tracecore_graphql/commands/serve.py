"""`tracecore serve`: the audit server on this machine."""

from __future__ import annotations

import ipaddress
import socket

import click

from tracecore.cli import say, workspace_option
from tracecore.errors import UsageError
from tracecore.workspace import NamedWorkspace

__all__ = ["command"]

_CONNECTIONS = 64
"""Maximum number of connections; each may keep a body of `Limits.body_bytes` in memory."""


@click.command(epilog="\b\nExamples:\n  tracecore serve\n  tracecore serve --host 0.0.0.0 --port 8443 --workspace /srv/tracecore")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8011, show_default=True, type=click.IntRange(0, 65535), help="Port to listen on; 0 takes a free one.")
@workspace_option
def command(host: str, port: int, workspace: NamedWorkspace) -> None:
    """Serve the record to auditors: POST /graphql with a token, GET /health without."""
    try:
        import uvicorn

        from tracecore_graphql.server import application
        from tracecore_graphql.tokens import TokenStore
    except ImportError as error:
        raise UsageError(f'The audit server needs packages that are not installed ({error.name}): pip install "tracecore[graphql]".') from error
    from tracecore_lineage import Record

    record = Record.open(workspace)
    tokens = TokenStore(record.workspace)
    listener = _listen(host, port)
    address = listener.getsockname()
    say(f"Audit server of {record.workspace.root} at http://{host}:{address[1]}/graphql")
    if not tokens.all():
        say("There is no token yet: make one with 'tracecore token create auditor'.")
    if not _is_loopback(host):
        say("It listens beyond this machine without TLS: put a TLS proxy in front of it, or tokens travel in clear text.")
    config = uvicorn.Config(
        application(record, tokens),
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        limit_concurrency=_CONNECTIONS,
        timeout_graceful_shutdown=5,
    )
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()
        record.close()


def _listen(host: str, port: int) -> socket.socket:
    """Return an open socket that listens on a host and port (for port 0, a free one); raise UsageError if it can't be opened."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise UsageError(f"Can't listen on {host}:{port}: {error.strerror or error}.") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        raise UsageError(f"Can't listen on {host}:{port}: {error.strerror or error}. Choose another with --host and --port.") from error
    return listener


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
