"""The sensor reports failed checks once for each run, through Apprise, and none that failed before it started."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dagster as dg
import pytest
from toy_plugin import write_drives

from tracecore.errors import UsageError
from tracecore.workspace import Workspace
from tracecore_assets.define.notifications import failed_checks, failed_checks_sensor, notify
from tracecore_assets.run.instance import dagster_instance


@pytest.fixture
def hook():
    """A web hook on loopback that keeps what it is sent."""
    received = []

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self):
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield received, [f"json://127.0.0.1:{server.server_port}/hook"]
        server.shutdown()


@pytest.fixture
def refused(project):
    """A workspace whose last run failed a blocking check."""
    write_drives(project.folder / "drives", a="1 2 3", b="-4 5")
    assert project.run("build", "one", "--program", "toy.yaml", "--approver", "board").returncode == 1
    return Workspace.open(project.workspace)


def tick(instance, cursor, urls):
    context = dg.build_sensor_context(instance=instance, cursor=cursor)
    answer = failed_checks_sensor(urls)(context)
    return answer.skip_message, context.cursor


def test_a_run_with_a_failed_check_is_told_once(refused, hook):
    received, urls = hook
    with dagster_instance(refused) as instance:
        said, cursor = tick(instance, "[0, []]", urls)
        assert said == "Runs with failed checks that were reported: 1."
        assert tick(instance, cursor, urls) == ("No run with a failed check ended.", cursor)
    assert len(received) == 1
    assert received[0]["title"].startswith("tracecore: 1 check failed in run ")
    assert received[0]["message"].startswith("blocking: toy_positive of toy/drives/frames: the least value is -4")


def test_what_failed_before_anybody_listened_is_no_news(refused, hook):
    received, urls = hook
    with dagster_instance(refused) as instance:
        said, cursor = tick(instance, None, urls)
        assert said == "Listening from now on."
        assert tick(instance, cursor, urls)[0] == "No run with a failed check ended."
    assert received == []


def test_a_place_that_cannot_be_reached_is_tried_again(refused, hook):
    received, urls = hook
    with dagster_instance(refused) as instance:
        with pytest.raises(UsageError, match="could not be notified"):
            tick(instance, "[0, []]", ["json://127.0.0.1:9/nobody"])
        assert tick(instance, "[0, []]", urls)[0] == "Runs with failed checks that were reported: 1."
    assert len(received) == 1


def test_a_url_that_is_none_is_named_by_its_place_and_not_shown(refused):
    with dagster_instance(refused) as instance:
        failed = failed_checks(instance, instance.get_runs()[0].run_id)
    with pytest.raises(UsageError, match=r"Entry 2 of TRACECORE_NOTIFY is not a valid Apprise URL") as problem:
        notify(["json://127.0.0.1:9/x", "nonsense-with-a-password"], "build/one", failed)
    assert "password" not in str(problem.value)


def test_nobody_is_told_where_nobody_asked(refused):
    with dagster_instance(refused) as instance:
        assert tick(instance, "[0, []]", ())[0] == "TRACECORE_NOTIFY names no target."
    assert failed_checks_sensor(()).default_status is dg.DefaultSensorStatus.STOPPED
