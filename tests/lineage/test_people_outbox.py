"""Persons stay out of the ledger, and other backends get every event at least once without ever holding up the record."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from fresh_record import BEGUN

from tracecore.errors import UsageError
from tracecore.testing.worlds import RecordWorld
from tracecore_lineage.catalog import pseudonyms
from tracecore_lineage.catalog.pseudonyms import person_of, pseudonym_of
from tracecore_lineage.ledger import ledger, outbox


def test_a_pseudonym_is_kept_and_forgotten_on_request(world: RecordWorld) -> None:
    pseudonym = world.record.recorder.commit(pseudonym_of, "Ada Lovelace")
    assert re.fullmatch(r"person-[0-9a-f]{32}", pseudonym)
    assert world.record.recorder.commit(pseudonym_of, "Ada Lovelace") == pseudonym != world.record.recorder.commit(pseudonym_of, "Grace Hopper")
    assert world.record.query(person_of, pseudonym) == "Ada Lovelace"
    with world.record.database.write() as connection:
        assert pseudonyms.forget(connection, pseudonym) is True
        assert pseudonyms.forget(connection, pseudonym) is False
    assert world.record.query(person_of, pseudonym) is None
    assert world.record.recorder.commit(pseudonym_of, "Ada Lovelace") != pseudonym


def test_a_name_never_enters_the_ledger(world: RecordWorld) -> None:
    world.all()
    world.seal(approver="Ada Lovelace")
    with world.record.database.read() as connection:
        assert not [leaf.seq for leaf in ledger.read(connection) if b"Lovelace" in leaf.body]


class Backend:
    """A real HTTP server that keeps what it is sent, and fails on demand."""

    def __init__(self) -> None:
        self.received: list[dict[str, Any]] = []
        self.fail_after: int | None = None
        backend = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                failing = backend.fail_after is not None and len(backend.received) >= backend.fail_after
                if not failing:
                    backend.received.append(json.loads(body))
                self.send_response(503 if failing else 201)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def _unconfigured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENLINEAGE_URL", raising=False)
    monkeypatch.delenv("OPENLINEAGE_CONFIG", raising=False)


@pytest.mark.usefixtures("_unconfigured")
def test_without_a_transport_nothing_waits_and_nothing_is_printed(world: RecordWorld, capfd: pytest.CaptureFixture[str]) -> None:
    world.ingest("north")
    with world.record.database.read() as connection:
        assert outbox.pending(connection) == 0
    with pytest.raises(UsageError, match="No OpenLineage transport is configured: set OPENLINEAGE_URL"):
        outbox.relay(world.record.database)
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("_unconfigured")
def test_events_reach_a_backend_in_order_and_what_failed_waits(world: RecordWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = Backend()
    config = Path.cwd() / "openlineage.yml"
    config.write_text(json.dumps({"transport": {"type": "http", "url": backend.url, "timeout": 5, "retry": {"total": 0}}}), encoding="utf-8")
    world.ingest("north")
    with world.record.database.read() as connection:
        events = [json.loads(leaf.body) for leaf in ledger.read(connection, BEGUN)]
        assert outbox.pending(connection) == len(events)
    backend.fail_after = 2
    first = outbox.relay(world.record.database)
    assert (first.delivered, first.waiting) == (2, len(events) - 2)
    assert first.error is not None
    assert "503" in first.error
    backend.fail_after = None
    again = outbox.relay(world.record.database)
    assert (again.delivered, again.waiting, again.error) == (len(events) - 2, 0, None)
    assert backend.received == events
    assert outbox.relay(world.record.database).delivered == 0
    backend.close()
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    assert outbox.configured() is False


@pytest.mark.usefixtures("_unconfigured")
def test_a_dead_backend_holds_up_no_recording(world: RecordWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENLINEAGE_CONFIG", str(Path.cwd() / "mine.yml"))
    transport = {"type": "http", "url": "http://127.0.0.1:9", "timeout": 1, "retry": {"total": 0}}
    Path("mine.yml").write_text(json.dumps({"transport": transport}), encoding="utf-8")
    world.ingest("north")
    relayed = outbox.relay(world.record.database)
    assert relayed.delivered == 0
    assert relayed.waiting == world.record.recorder.position() - BEGUN
    assert relayed.error


@pytest.mark.parametrize("kind", ["async_http", "composite"])
@pytest.mark.usefixtures("_unconfigured")
def test_a_transport_that_cannot_say_whether_it_delivered_is_refused(world: RecordWorld, kind: str) -> None:
    inner = {"type": "http", "url": "http://127.0.0.1:9"}
    settings = {"type": "composite", "transports": [inner]} if kind == "composite" else {"type": kind, "url": "http://127.0.0.1:9"}
    Path("openlineage.yml").write_text(json.dumps({"transport": settings}), encoding="utf-8")
    with pytest.raises(UsageError, match=f"'{kind}' can't be relied on"):
        outbox.relay(world.record.database)
