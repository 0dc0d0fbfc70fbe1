"""Where code is kept: the commit and remote of the git checkout that a folder lies in, read without the git program."""

from __future__ import annotations

import configparser
import re
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tracecore_schemas.run import CodeLocation

__all__ = ["code_location"]

_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
UNPUBLISHED = "urn:tracecore:unpublished-checkout"
"""Stands where a checkout has no remote: its path on this machine is no part of the record."""


@cache
def code_location(folder: Path) -> CodeLocation | None:
    """Give the git remote, path inside the repository and commit of a folder, None where it is in no checkout or nothing is committed.

    Args:
        folder: a package folder.
    """
    for root in folder.resolve().parents:
        if (root / ".git").exists():
            try:
                return _read(root, folder.resolve())
            except (OSError, UnicodeDecodeError, configparser.Error):
                return None
    return None


def _git_folder(root: Path) -> Path:
    """Follow the `.git` file of a worktree or submodule to the real folder."""
    marker = root / ".git"
    if marker.is_dir():
        return marker
    return (root / marker.read_text(encoding="utf-8").strip().removeprefix("gitdir:").strip()).resolve()


def _read(root: Path, folder: Path) -> CodeLocation | None:
    git = _git_folder(root)
    # A worktree keeps its own HEAD; branches and config lie in the folder that `commondir` names.
    common = (git / (git / "commondir").read_text(encoding="utf-8").strip()).resolve() if (git / "commondir").exists() else git
    commit = _commit(git, common)
    if commit is None:
        return None
    return CodeLocation(type="git", url=_remote(common) or UNPUBLISHED, version=commit, path=folder.relative_to(root.resolve()).as_posix())


def _commit(git: Path, common: Path) -> str | None:
    head = (git / "HEAD").read_text(encoding="utf-8").strip()
    if _COMMIT.fullmatch(head):
        return head
    reference = head.removeprefix("ref:").strip()
    for place in (git, common):
        if (place / reference).is_file():
            found = (place / reference).read_text(encoding="utf-8").strip()
            return found if _COMMIT.fullmatch(found) else None
    packed = common / "packed-refs"
    lines = packed.read_text(encoding="utf-8").splitlines() if packed.exists() else []
    return next((line.split(" ")[0] for line in lines if line.endswith(f" {reference}") and _COMMIT.fullmatch(line.split(" ")[0])), None)


def _remote(common: Path) -> str | None:
    """Read the URL of `origin`, else of the first remote, without any user name or password in it."""
    config = configparser.ConfigParser(strict=False, allow_no_value=True, interpolation=None)
    config.read_string((common / "config").read_text(encoding="utf-8"))
    remotes = [section for section in config.sections() if section.startswith("remote ")]
    chosen = 'remote "origin"' if 'remote "origin"' in remotes else next(iter(remotes), None)
    url = config.get(chosen, "url", fallback=None) if chosen else None
    if not url:
        return None
    parts = urlsplit(url)
    if parts.scheme in {"http", "https", "ssh", "git"}:
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
    # The scp form (git@host:path) names no machine of ours; a plain path or file URL would.
    return url.rpartition("@")[2] if re.fullmatch(r"[^/\s]+:[^\s]+", url) and parts.scheme != "file" else None
