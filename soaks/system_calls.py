"""strace as a tool of the soaks: a forked job, which has imported everything, is watched call by call, and single calls are made to fail."""

from __future__ import annotations

import errno
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fork_server import Ended, ForkServer
from worker_orders import traced_worker

__all__ = ["WRITING", "Call", "missing_tool", "points", "read_log", "watched"]

WRITING = (
    "openat", "mkdir", "mkdirat", "write", "writev", "pwritev", "pwritev2", "ftruncate", "fallocate", "copy_file_range", "sendfile", "ioctl", "fsync",
    "fdatasync", "sync_file_range", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "chmod", "fchmod", "fchmodat",
    "unlink", "unlinkat", "rmdir", "pwrite64",
)  # fmt: skip
"""The calls that change files or force them to disk; the one whose number varies by a few (SQLite's pages) stands last."""

_CLONES = ("FICLONE", "BTRFS_IOC_CLONE", "FICLONERANGE")
_LINE = re.compile(r"(?P<pid>\d+) +(?P<rest>.*)")
_STARTED = re.compile(r"(?P<name>\w+)\((?P<text>.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>,? ?(?P<text>.*)")
_ATTACHED = "attached"
_PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Call:
    """One system call.

    Attributes:
        process: id of the thread that made it.
        name: of the call.
        text: its arguments and answer as strace shows them, paths of descriptors with them.
        when: which call of this name it was in its thread, from 1.
    """

    process: int
    name: str
    text: str
    when: int

    @property
    def failed(self) -> bool:
        """Whether the kernel (or strace in its place) refused, or a kill came before it answered."""
        return " = -1 " in self.text or self.cut_off

    @property
    def cut_off(self) -> bool:
        """Whether a kill came before the kernel answered."""
        return " = ?" in self.text


def missing_tool() -> str | None:
    """Return why calls can't be watched here; None where they can."""
    if shutil.which("strace") is None:
        return "strace is not installed here: apt install strace"
    with tempfile.TemporaryDirectory() as folder:
        tried = subprocess.run(["strace", "-f", "--seccomp-bpf", "-o", f"{folder}/log", "true"], capture_output=True, text=True, check=False)
    return None if tried.returncode == 0 else f"strace may not trace here: {' '.join(tried.stderr.split())}"


def read_log(log: Path) -> list[Call]:
    """Read what `strace -f -y` wrote, in the order in which calls returned."""
    unfinished: dict[int, tuple[str, str]] = {}
    counts: Counter[tuple[int, str]] = Counter()
    calls: list[Call] = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        found = _LINE.fullmatch(line)
        if found is None:
            continue
        process, rest = int(found["pid"]), found["rest"]
        if resumed := _RESUMED.match(rest):
            name, text = unfinished.pop(process, ("", ""))
            text += resumed["text"]
        elif started := _STARTED.match(rest):
            name, text = started["name"], started["text"]
            if "<unfinished ...>" in text:
                unfinished[process] = name, text.partition("<unfinished ...>")[0]
                continue
        else:
            continue
        if name:
            counts[process, name] += 1
            calls.append(Call(process, name, text, counts[process, name]))
    return calls


def points(log: Path, root: Path) -> Iterator[Call]:
    """Yield the calls that write inside a folder; others only count, so that numbers stay true."""
    inside = str(root)
    for call in read_log(log):
        if (
            call.name not in WRITING
            or inside not in call.text
            or (call.name == "openat" and "O_CREAT" not in call.text and "O_TRUNC" not in call.text)
        ):
            continue
        if call.name == "ioctl" and not any(clone in call.text for clone in _CLONES):
            continue
        yield call


@contextmanager
def _tracing(process: int, log: Path, *, calls: str, inject: str | None, every_thread: bool) -> Iterator[None]:
    command = ["strace", "-y", "-s", "0", "-o", str(log), "-e", f"trace={calls}", "-p", str(process)]
    command[1:1] = [*(["-f"] if every_thread else []), *(["-e", f"inject={inject}"] if inject else [])]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        said = tracer.stderr.readline()
        if _ATTACHED not in said:
            raise RuntimeError(f"strace could not attach: {said} {tracer.stderr.read()}")
        yield
        tracer.stderr.read()  # it ends with what it traces


def watched(
    server: ForkServer,
    job: str,
    arguments: Mapping[str, Any],
    *,
    acks: Path,
    log: Path,
    inject: str | None = None,
    every_thread: bool = True,
    since: str | None = None,
    calls: str | None = None,
    plant: Path | None = None,
    stage: str | None = None,
) -> Ended:
    """Run a job under strace.

    Args:
        server: forks it.
        job: of `victims`.
        arguments: its own.
        acks: where it writes down what it was promised.
        log: where strace writes.
        inject: what is made to fail, as strace's `-e inject` wants it.
        every_thread: whether threads that the job starts are watched too; else only its first.
        since: the phase from which on it is watched; None watches all.
        calls: which calls, as `-e trace` wants them; those that write by default.
        plant: a file of Python that breaks the product first.
        stage: whose worker is watched from the beginning of its work on, instead of the job's own process.
    """
    gate = server.folder / "gate"
    gate.unlink(missing_ok=True)
    os.mkfifo(gate)
    if stage is None:
        process = server.begin(job, arguments, acks=acks, gate=gate, since=since, plant=plant)
    else:
        server.begin(job, arguments, acks=acks, plant=plant, worker={"stage": stage, "gate": str(gate)})
    opened = _stands_before(gate)
    if stage is not None:
        process = traced_worker(gate)
    try:
        with _tracing(process, log, calls=calls or ",".join(WRITING), inject=inject, every_thread=every_thread):
            os.write(opened, b"go")
            return server.end()
    finally:
        os.close(opened)


def _stands_before(gate: Path) -> int:
    """Wait until the job has opened the gate to read from it, which is where it waits."""
    until = time.monotonic() + _PATIENCE_S
    while True:
        try:
            return os.open(gate, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO or time.monotonic() > until:
                raise
            time.sleep(0.002)
