"""`tracecore ui`: the page shows the programs and what was built, and builds launched from it end in the record."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time

import httpx
import pytest

from tracecore_lineage import Record
from tracecore_lineage.seal.seal import sealed_build

LAUNCH = """
mutation ($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
}
"""
STATUS = "query ($id: ID!) { runOrError(runId: $id) { ... on Run { status } } }"


@pytest.fixture(scope="module")
def page(shared_project):
    """Start the page of a workspace in which one build was made."""
    project = shared_project
    done = project.run("build", "one", "--program", "toy.yaml", "--approver", "board")
    assert done.returncode == 0, done.stderr
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = project.command("ui", "--port", str(port))
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(words, cwd=project.folder, env=project.environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            _wait(lambda: httpx.get(f"{address}/server_info").status_code == 200, process)
            yield address
        finally:
            process.send_signal(signal.SIGINT)


def _wait(holds, process=None, seconds=120):
    for _ in range(seconds * 5):
        if process is not None and process.poll() is not None:
            raise AssertionError(process.stderr.read())
        try:
            if holds():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError("waited in vain")


def _ask(address, query, **variables):
    answer = httpx.post(f"{address}/graphql", json={"query": query, "variables": variables}, timeout=60).json()
    assert "errors" not in answer, answer
    return answer["data"]


def test_a_build_launched_from_the_page_is_sealed(page, shared_project):
    """The page's own request: the run goes to a process of its own, and into the same record."""
    selector = {"repositoryLocationName": "tracecore", "repositoryName": "__repository__", "jobName": "build_toy"}
    config = {"ops": {"toy__release": {"config": {"name": "from_page", "approver": "board", "waivers": []}}}}
    launched = _ask(page, LAUNCH, parameters={"selector": selector, "runConfigData": config})["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run = launched["run"]["runId"]
    _wait(lambda: _ask(page, STATUS, id=run)["runOrError"]["status"] in ("SUCCESS", "FAILURE"))
    assert _ask(page, STATUS, id=run)["runOrError"]["status"] == "SUCCESS"
    with Record.open(shared_project.workspace) as record:
        assert record.query(sealed_build, "from_page").ref.startswith("build/from_page@")


def test_a_taken_port_is_told_at_once(page, shared_project):
    """No traceback after seconds: one sentence, exit 2."""
    done = shared_project.run("ui", "--port", page.rpartition(":")[2])
    assert done.returncode == 2
    assert "The page can't listen on 127.0.0.1:" in done.stderr


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH to look at the page with")
def test_a_browser_shows_the_asset_graph_and_a_past_materialization(page, tmp_path):
    """What a person sees: refs, columns and checks of an asset, and the program's assets up to the release."""
    shown = _render(f"{page}/assets/toy/drives/frames", tmp_path)
    for text in ("dataset/toy.drives.frames@", "frame_id", "Latest check results"):
        assert text in shown
    graph = _render(f"{page}/locations/tracecore/asset-groups/toy/lineage", tmp_path)
    for text in ("frames", "validation", "model", "kpis", "release"):
        assert text in graph


def _render(address, folder):
    """Return a page's document as a real browser has drawn it."""
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}", "--virtual-time-budget=20000", "--dump-dom"]
    return subprocess.run([CHROMIUM, *flags, address], capture_output=True, text=True, timeout=120, check=True).stdout
