"""Over HTTP nothing but `/health` answers without a token, and whatever is sent, the answer is one clear sentence."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tracecore.workspace import Workspace
from tracecore_graphql.limits import Limits
from tracecore_graphql.named_queries import document
from tracecore_graphql.server import application
from tracecore_graphql.tokens import Role, TokenStore
from tracecore_lineage import Record


@pytest.fixture(scope="module")
def tokens(workspace: Workspace) -> TokenStore:
    return TokenStore(workspace)


@pytest.fixture(scope="module")
def client(record: Record, tokens: TokenStore) -> Iterator[TestClient]:
    with TestClient(application(record, tokens), raise_server_exceptions=False) as opened:
        yield opened


@pytest.fixture(scope="module")
def auditor(tokens: TokenStore) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens.create(Role.AUDITOR)}"}


def message(response: object) -> str:
    return response.json()["errors"][0]["message"]  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/graphql"),
        ("GET", "/graphql"),
        ("GET", "/"),
        ("GET", "/nowhere"),
        ("POST", "/api/v1/lineage"),
        ("GET", "/health/"),
        ("GET", "//health"),
    ],
)
@pytest.mark.parametrize("authorization", [None, "Bearer ", "Bearer wrong", "Basic YTpi", "bearer\ttcr_x", "Bearer \u00e9"])
def test_without_a_valid_token_every_path_but_health_answers_401(client: TestClient, method: str, path: str, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization.encode()}
    response = client.request(method, path, headers=headers, content=b"{}")
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert "tracecore token create auditor" in message(response)


def test_health_answers_without_a_token_and_says_nothing_of_the_record(client: TestClient) -> None:
    response = client.get("/health")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


def test_the_trace_by_http_is_the_records_trace(client: TestClient, auditor: dict[str, str], record: Record) -> None:
    response = client.post("/graphql", headers=auditor, json={"query": document("trace"), "variables": {"ref": "build/demo"}})
    assert response.status_code == 200
    nodes = response.json()["data"]["trace"]["nodes"]
    assert [node["ref"] for node in nodes] == [node["ref"] for node in record.trace("build/demo")["nodes"]]


@pytest.mark.parametrize(("role", "status"), [(Role.AUDITOR, 200), (Role.ADMIN, 200), (Role.PRODUCER, 403)])
def test_auditors_and_admins_may_ask_and_a_producer_may_not(client: TestClient, tokens: TokenStore, role: Role, status: int) -> None:
    response = client.post("/graphql", headers={"Authorization": f"Bearer {tokens.create(role)}"}, json={"query": "{builds{totalCount}}"})
    assert response.status_code == status
    if status == 403:
        assert message(response) == "A token of the role 'producer' may not do this; it takes 'admin' or 'auditor'."


def test_a_token_that_is_revoked_is_refused_at_once(client: TestClient, workspace: Workspace) -> None:
    other = TokenStore(workspace)
    headers = {"Authorization": f"Bearer {other.create(Role.AUDITOR)}"}
    assert client.post("/graphql", headers=headers, json={"query": "{builds{totalCount}}"}).status_code == 200
    other.revoke(other.all()[-1].id)
    assert client.post("/graphql", headers=headers, json={"query": "{builds{totalCount}}"}).status_code == 401


def test_with_a_token_an_unknown_path_is_404_and_a_wrong_method_405(client: TestClient, auditor: dict[str, str]) -> None:
    assert client.get("/nowhere", headers=auditor).status_code == 404
    response = client.get("/graphql", headers=auditor)
    assert response.status_code == 405
    assert response.headers["Allow"] == "POST"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "not JSON"),
        (b"[]", "JSON object with the key 'query'"),
        (b'{"query": 7}', "JSON object with the key 'query'"),
        (b'{"query": "{a}", "query": "{b}"}', "appears twice"),
        (b'{"query": "{a}", "variables": {"x": NaN}}', "NaN"),
        (b'{"query": "\\ud800"}', "surrogate"),
        (b'{"query": "{a}", "variables": []}', "'variables' to be an object"),
        (b'{"query": "{a}", "operationName": 1}', "'operationName' a string"),
        (b"\xff", "UTF-8"),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_a_body_that_is_no_request_is_refused_in_words(client: TestClient, auditor: dict[str, str], body: bytes, sentence: str) -> None:
    response = client.post("/graphql", headers={**auditor, "Content-Type": "application/json"}, content=body)
    assert response.status_code == 400
    assert sentence in message(response)


def test_another_content_type_is_refused(client: TestClient, auditor: dict[str, str]) -> None:
    response = client.post("/graphql", headers={**auditor, "Content-Type": "text/plain"}, content=b'{"query": "{builds{totalCount}}"}')
    assert response.status_code == 400
    assert "application/json" in message(response)


def test_a_body_over_its_bound_is_413_whether_it_says_its_size_or_not(client: TestClient, auditor: dict[str, str]) -> None:
    bound = Limits().body_bytes
    headers = {**auditor, "Content-Type": "application/json"}
    for declared in (bound + 1, 10**30):
        assert client.post("/graphql", headers={**headers, "Content-Length": str(declared)}, content=b"{}").status_code == 413
    response = client.post("/graphql", headers=headers, content=(b" " * 1024 for _ in range(bound // 1024 + 1)))
    assert (response.status_code, message(response)) == (413, f"The body is larger than {bound} bytes.")
    exactly = json.dumps({"query": "{builds{totalCount}}"}).encode().ljust(bound)
    assert client.post("/graphql", headers=headers, content=exactly).status_code == 200


def test_what_the_bounds_of_document_and_variables_allow_fits_into_a_body(client: TestClient, auditor: dict[str, str]) -> None:
    """Every byte of both may be written as an escape of six."""
    limits = Limits()
    query = "{builds{totalCount}}#" + "x" * (limits.document_bytes - 21)
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in query)
    variables = '{"a": "' + "\\u0061" * (limits.variables_bytes - 20) + '"}'
    headers = {**auditor, "Content-Type": "application/json"}
    response = client.post("/graphql", headers=headers, content=f'{{"query": "{escaped}", "variables": {variables}}}'.encode())
    assert response.status_code == 200, response.text


def test_megabytes_of_variables_are_refused_before_they_are_parsed(
    client: TestClient, auditor: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[int] = []
    monkeypatch.setattr("tracecore_graphql.server.loads_strict", lambda body: parsed.append(len(body)) or {})
    body = json.dumps({"query": "{builds{totalCount}}", "variables": {"a": list(range(300_000))}}).encode()
    assert client.post("/graphql", headers={**auditor, "Content-Type": "application/json"}, content=body).status_code == 413
    assert parsed == []


def test_a_document_over_a_bound_is_refused_with_400(client: TestClient, auditor: dict[str, str]) -> None:
    response = client.post("/graphql", headers=auditor, json={"query": "{" + "a " * 5000 + "}"})
    assert response.status_code == 400
    assert message(response) == "The document has more than 2000 tokens."


def test_an_error_in_the_answer_is_200_with_its_path(client: TestClient, auditor: dict[str, str]) -> None:
    response = client.post("/graphql", headers=auditor, json={"query": '{trace(ref:"build/none"){root}}'})
    assert response.status_code == 200
    assert response.json()["errors"][0]["path"] == ["trace"]


class SlowRecord:
    """The record, with a trace that waits until it is let go on."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.released = threading.Event()
        self.begun = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.record, name)

    def trace(self, ref: str, **options: Any) -> Any:
        self.begun += 1
        self.released.wait(60)
        return self.record.trace(ref, **options)


SLOW = {"query": '{trace(ref:"build/demo"){root}}'}


def test_a_question_that_takes_too_long_is_answered_in_time(record: Record, tokens: TokenStore, auditor: dict[str, str]) -> None:
    slow = SlowRecord(record)
    with TestClient(application(slow, tokens, limits=Limits(seconds=0.2))) as client:
        limited = client.post("/graphql", headers=auditor, json=SLOW)
        assert limited.status_code == 503
        assert "took longer than 0.2 s" in message(limited)
        slow.released.set()


def test_forty_four_slow_questions_hold_four_threads_and_stop_nothing_else(record: Record, tokens: TokenStore, auditor: dict[str, str]) -> None:
    slow = SlowRecord(record)
    with TestClient(application(slow, tokens, limits=Limits(seconds=0.3))) as client, ThreadPoolExecutor(44) as pool:
        asked = [pool.submit(client.post, "/graphql", headers=auditor, json=SLOW) for _ in range(44)]
        answers = [each.result() for each in asked]
        # All were answered while the four that were begun still run; what waited for a place was never begun.
        assert slow.begun == 4
        assert {answer.status_code for answer in answers} == {503}
        late = [answer for answer in answers if "Retry-After" in answer.headers]
        assert len(late) == 40
        assert message(late[0]) == "The server was busy with other questions for 0.3 s; ask again later."
        assert client.get("/health").status_code == 200
        assert client.get("/nowhere", headers=auditor).status_code == 404  # a token is looked up though no place is free
        slow.released.set()
        deadline = time.monotonic() + 30
        while (answer := client.post("/graphql", headers=auditor, json=SLOW)).status_code != 200:  # the places come back with their threads
            assert time.monotonic() < deadline, answer.text


def test_a_damaged_token_file_lets_nobody_in_and_tells_nothing(record: Record, tmp_path: Path) -> None:
    workspace = Workspace.create(tmp_path / "w")
    tokens = TokenStore(workspace)
    headers = {"Authorization": f"Bearer {tokens.create(Role.ADMIN)}"}
    (workspace.root / "access" / "tokens.json").write_text("{", encoding="utf-8")
    with TestClient(application(record, TokenStore(workspace)), raise_server_exceptions=False) as client:
        response = client.post("/graphql", headers=headers, json={"query": "{builds{totalCount}}"})
        assert (response.status_code, message(response)) == (500, "Something went wrong on the server; its log has it.")
        assert client.get("/health").status_code == 200


def test_answers_are_not_kept_by_anybody_on_the_way(client: TestClient, auditor: dict[str, str]) -> None:
    for response in (client.get("/health"), client.get("/"), client.post("/graphql", headers=auditor, json={"query": "{builds{totalCount}}"})):
        assert response.headers["Cache-Control"] == "no-store"


def test_many_askers_at_once_get_the_same_answer(client: TestClient, auditor: dict[str, str]) -> None:
    body = {"query": document("trace"), "variables": {"ref": "build/demo"}}
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: client.post("/graphql", headers=auditor, json=body).text, range(16)))
    assert len(set(answers)) == 1
    assert json.loads(answers[0])["data"]["trace"]["complete"] is True
