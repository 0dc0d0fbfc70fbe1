"""Tokens are kept hashed, end, can be revoked, and their text is shown once."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from tracecore.commands.shell import cli
from tracecore.errors import UsageError
from tracecore.workspace import Workspace
from tracecore_graphql.tokens import LIFETIME, Role, TokenStore


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "w")


def test_a_token_is_found_by_its_text_and_kept_only_as_a_hash(workspace: Workspace) -> None:
    store = TokenStore(workspace)
    text = store.create(Role.AUDITOR)
    found = store.find(text)
    assert found is not None
    assert found.role is Role.AUDITOR
    kept = (workspace.root / "access" / "tokens.json").read_bytes()
    assert text.encode() not in kept
    assert (workspace.root / "access" / "tokens.json").stat().st_mode & 0o077 == 0
    assert store.find(text + "x") is None
    assert store.find("") is None


def test_a_token_ends_when_it_says(workspace: Workspace) -> None:
    now = datetime(2026, 11, 1, tzinfo=UTC)
    store = TokenStore(workspace, clock=lambda: now)
    short, usual = store.create(Role.ADMIN, now + timedelta(hours=1)), store.create(Role.ADMIN)
    now += timedelta(minutes=59)
    assert store.find(short)
    now += timedelta(minutes=1)
    assert store.find(short) is None
    assert store.find(usual)
    now += LIFETIME
    assert store.find(usual) is None


def test_a_revoked_token_is_refused_by_a_store_that_is_already_open(workspace: Workspace) -> None:
    text = TokenStore(workspace).create(Role.AUDITOR)
    server = TokenStore(workspace)
    assert server.find(text)
    TokenStore(workspace).revoke(server.all()[0].id)
    assert server.find(text) is None


def test_two_stores_writing_in_turn_lose_no_token(workspace: Workspace) -> None:
    one, other = TokenStore(workspace), TokenStore(workspace)
    texts = [store.create(Role.AUDITOR) for store in (one, other, one, other)]
    assert all(one.find(text) and other.find(text) for text in texts)


def test_a_token_that_has_expired_already_is_refused(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="would never be valid"):
        TokenStore(workspace).create(Role.AUDITOR, datetime(2020, 1, 1, tzinfo=UTC))


def test_a_damaged_token_file_is_named_and_not_overwritten(workspace: Workspace) -> None:
    store = TokenStore(workspace)
    store.create(Role.AUDITOR)
    file = workspace.root / "access" / "tokens.json"
    file.write_text("{", encoding="utf-8")
    for question in (store.all, lambda: store.create(Role.AUDITOR)):
        with pytest.raises(UsageError, match=r"tokens\.json can't be read"):
            question()
    assert file.read_text(encoding="utf-8") == "{"


def test_the_command_prints_the_token_alone_and_once(workspace: Workspace) -> None:
    runner = CliRunner()
    made = runner.invoke(cli, ["token", "create", "auditor", "--workspace", str(workspace.root)])
    assert made.exit_code == 0
    text = made.stdout.strip()
    assert made.stdout == text + "\n"
    assert TokenStore(workspace).find(text)
    listed = json.loads(runner.invoke(cli, ["token", "list", "--json", "--workspace", str(workspace.root)]).stdout)["tokens"]
    assert [(token["role"], token["state"]) for token in listed] == [("auditor", "valid")]
    assert text not in json.dumps(listed)
    assert runner.invoke(cli, ["token", "revoke", listed[0]["id"], "--workspace", str(workspace.root)]).exit_code == 0
    assert "revoked" in runner.invoke(cli, ["token", "list", "--workspace", str(workspace.root)]).stdout


def test_a_token_is_made_and_revoked_in_json_and_ends_at_a_time_with_an_offset(workspace: Workspace) -> None:
    where = ["--workspace", str(workspace.root), "--json"]
    made = json.loads(CliRunner().invoke(cli, ["token", "create", "producer", "--expires", "2999-01-31T18:00:00+02:00", *where]).stdout)
    token = TokenStore(workspace).find(made["token"])
    assert token is not None
    assert (made["role"], token.role, token.expires_at) == ("producer", "producer", "2999-01-31T16:00:00+00:00")
    revoked = CliRunner().invoke(cli, ["token", "revoke", token.id, *where])
    assert json.loads(revoked.stdout) == {"revoked": token.id, "role": "producer"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["create", "owner"], "'owner' is not one of 'producer', 'auditor', 'admin'"),
        (["create", "auditor", "--expires", "soon"], "does not match the format"),
        (["create", "auditor", "--expires", "2001-01-01"], "would never be valid"),
        (["revoke", "abcdef01"], "There is no token 'abcdef01'"),
    ],
)
def test_a_wrong_token_command_says_what_was_expected(workspace: Workspace, arguments: list[str], sentence: str) -> None:
    result = CliRunner().invoke(cli, ["token", *arguments, "--workspace", str(workspace.root)])
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_without_a_workspace_the_command_says_how_to_make_one(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli, ["token", "create", "auditor", "--workspace", str(tmp_path / "none")])
    assert result.exit_code == 2
    assert "tracecore init" in result.stderr
