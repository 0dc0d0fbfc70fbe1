"""Where code is kept, read from a real git checkout without the git program."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tracecore.environment import UNPUBLISHED, code_location

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="git makes the checkouts of these tests")


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "init.defaultBranch=main"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    package = tmp_path / "repository" / "plugins" / "night"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    git(tmp_path / "repository", "init", "-q")
    git(tmp_path / "repository", "add", ".")
    git(tmp_path / "repository", "commit", "-qm", "first")
    code_location.cache_clear()
    return tmp_path / "repository"


def test_a_checkout_gives_its_commit_and_the_path_inside_it(checkout: Path) -> None:
    found = code_location(checkout / "plugins" / "night")
    assert found is not None
    assert (found.type, found.url, found.version, found.path) == ("git", UNPUBLISHED, git(checkout, "rev-parse", "HEAD"), "plugins/night")


@pytest.mark.parametrize(
    ("remote", "url"),
    [
        ("https://user:token@example.org/team/perception.git", "https://example.org/team/perception.git"),
        ("git@example.org:team/perception.git", "example.org:team/perception.git"),
        ("ssh://git@example.org/team/perception.git", "ssh://example.org/team/perception.git"),
        ("/home/someone/perception", UNPUBLISHED),
        ("file:///home/someone/perception", UNPUBLISHED),
    ],
)
def test_a_remote_is_named_without_users_passwords_or_paths_of_this_machine(checkout: Path, remote: str, url: str) -> None:
    git(checkout, "remote", "add", "origin", remote)
    found = code_location(checkout / "plugins" / "night")
    assert found is not None
    assert found.url == url


def test_packed_refs_detached_heads_and_worktrees_are_understood(checkout: Path, tmp_path: Path) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    git(checkout, "pack-refs", "--all")
    assert code_location(checkout / "plugins" / "night").version == commit
    git(checkout, "worktree", "add", "-q", "-b", "other", str(tmp_path / "worktree"))
    assert code_location(tmp_path / "worktree" / "plugins" / "night").version == commit
    code_location.cache_clear()
    git(checkout, "checkout", "-q", "--detach")
    assert code_location(checkout / "plugins" / "night").version == commit


def test_a_folder_in_no_checkout_or_without_a_commit_has_no_location(tmp_path: Path) -> None:
    (tmp_path / "plain" / "package").mkdir(parents=True)
    assert code_location(tmp_path / "plain" / "package") is None
    git(tmp_path / "plain", "init", "-q")
    code_location.cache_clear()
    assert code_location(tmp_path / "plain" / "package") is None
