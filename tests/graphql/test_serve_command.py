"""`tracecore serve` in a process of its own: loopback, one line of where it is, a clear word when it can't."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tracecore.workspace import Workspace
from tracecore_graphql.tokens import Role, TokenStore
from tracecore_lineage import Record

SERVE = [sys.executable, "-c", "from tracecore.commands.shell import main; main()", "serve"]


def test_the_server_answers_on_loopback_with_the_token_that_was_made(record: Record, workspace: Workspace) -> None:
    token = TokenStore(workspace).create(Role.AUDITOR)
    process = subprocess.Popen([*SERVE, "--port", "0", "--workspace", str(workspace.root)], stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr
        line = process.stderr.readline()
        found = re.search(r"http://(127\.0\.0\.1:\d+)/graphql", line)
        assert found, line
        base = f"http://{found[1]}"
        with urllib.request.urlopen(f"{base}/health", timeout=30) as health:
            assert json.load(health) == {"status": "ok"}
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(f"{base}/graphql", data=b"{}", timeout=30)
        asked = urllib.request.Request(
            f"{base}/graphql",
            data=json.dumps({"query": '{trace(ref: "build/demo") {root complete}}'}).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:
            trace = json.load(answer)["data"]["trace"]
        assert trace == {"root": record.trace("build/demo")["root"], "complete": True}
    finally:
        process.terminate()
        process.communicate(timeout=20)


def test_a_port_in_use_is_one_clear_sentence(workspace: Workspace) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = subprocess.run(
            [*SERVE, "--port", str(port), "--workspace", str(workspace.root)], capture_output=True, text=True, timeout=60, check=False
        )
    assert result.returncode == 2
    assert result.stderr.splitlines()[-1].startswith(f"Error: Can't listen on 127.0.0.1:{port}: Address already in use.")
    assert result.stdout == ""


def test_without_a_workspace_it_says_how_to_make_one(tmp_path: Path) -> None:
    result = subprocess.run([*SERVE, "--workspace", str(tmp_path / "none")], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 2
    assert "tracecore init" in result.stderr
