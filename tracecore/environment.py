"""The environment of a run (Python, machine, installed distributions), and the git commit of a source folder."""

from __future__ import annotations

import configparser
import os
import platform
import re
import shutil
import socket
import subprocess
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from tracecore.system.distributions import installed, module_digest
from tracecore_schemas.canonical import digest_json
from tracecore_schemas.run import CodeLocation, Environment

__all__ = ["accelerator", "current_environment", "host_name", "module_digest"]


def current_environment() -> Environment:
    """Return the installed distributions, Python version, machine type and operating system, with a digest of all but the last."""
    distributions = tuple((name, each.version, each.digest) for name, each in installed().items())
    python = platform.python_version()
    machine = platform.machine()
    digest = digest_json({"distributions": [list(each) for each in distributions], "python": python, "machine": machine})
    return Environment(digest=digest, python=python, machine=machine, os=_os_words(), distributions=distributions)


def _os_words() -> str:
    """Return the operating system's name for display: `Debian GNU/Linux 12 (bookworm)`."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME") or platform.system()
    except OSError:
        return f"{platform.system()} {platform.release()}".strip()


def host_name() -> str:
    """Return the host name of the machine."""
    return socket.gethostname()


@cache
def accelerator() -> str | None:
    """Return the name and compute capability of the first GPU (`NVIDIA H200, 9.0`); None if there is none or CUDA_VISIBLE_DEVICES hides all.

    Read from nvidia-smi, since importing torch takes seconds.
    """
    tool = shutil.which("nvidia-smi")
    if tool is None or os.environ.get("CUDA_VISIBLE_DEVICES") in {"", "-1"}:
        return None
    try:
        answer = subprocess.run(  # noqa: S603  # the tool found on PATH, with fixed arguments
            [tool, "--query-gpu=name,compute_cap", "--format=csv,noheader"], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return next((line.strip() for line in answer.stdout.splitlines() if line.strip()), None)


_COMMIT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")
UNPUBLISHED = "urn:tracecore:unpublished-checkout"
"""Recorded in place of the URL for a checkout without a remote, since local paths are not recorded."""


@cache
def code_location(folder: Path) -> CodeLocation | None:
    """Return the git remote and commit of a folder's checkout, and its path in it; None without a checkout, without a commit, or if unreadable."""
    for root in folder.resolve().parents:
        if (root / ".git").exists():
            try:
                return _read(root, folder.resolve())
            except (OSError, UnicodeDecodeError, configparser.Error):
                return None
    return None


def _read(root: Path, folder: Path) -> CodeLocation | None:
    """Return the git remote and commit of the checkout at `root` and the path of `folder` in it; None if it has no commit."""
    git = root / ".git"
    if not git.is_dir():  # of a worktree or submodule: a file that names the git directory
        git = (root / git.read_text(encoding="utf-8").strip().removeprefix("gitdir:").strip()).resolve()
    # A worktree keeps its own HEAD; branches and config lie in the folder that `commondir` names.
    common = (git / (git / "commondir").read_text(encoding="utf-8").strip()).resolve() if (git / "commondir").exists() else git
    commit = _commit(git, common)
    if commit is None:
        return None
    return CodeLocation(type="git", url=_remote(common) or UNPUBLISHED, version=commit, path=folder.relative_to(root.resolve()).as_posix())


def _commit(git: Path, common: Path) -> str | None:
    """Return the id of HEAD's commit from a checkout's git directory and its repository's (`common`); None if there is no commit."""
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
    """Return the URL of the git remote `origin`, else of the first one, without credentials; None if there is none or it is a local path."""
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
    # The scp form (git@host:path) names a remote; a plain path or file URL would be a local place.
    return url.rpartition("@")[2] if re.fullmatch(r"[^/\s]+:[^\s]+", url) and parts.scheme != "file" else None
