"""A process that has imported everything and opened nothing: each job runs in a fork of it, in which it opens its own record.

Started as `python fork_server.py SITE [dagster]`; a line of JSON in is a job (a function of `victims`), two lines out are its process id and how it
ended.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["Ended", "ForkServer"]


@dataclass(frozen=True, slots=True)
class Ended:
    """How a job ended.

    Attributes:
        signal: that killed it; 0 where it ended by itself.
        code: exit code of one that ended by itself.
        errors: what it wrote to stderr.
        result: what the job gave; empty where it did not come to its end.
        phase: what it was doing last, as its witness marked it.
        process: its id.
    """

    signal: int
    code: int
    errors: str
    result: Mapping[str, Any] = field(default_factory=dict)
    phase: str = ""
    process: int = 0


class ForkServer:
    """Runs jobs, one at a time; ended with the block.

    Args:
        site: where the plugin is installed.
        folder: for what jobs leave: acknowledgements, results, messages.
        dagster: whether Dagster is imported too.
    """

    def __init__(self, site: Path, folder: Path, *, dagster: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("TRACECORE_", "DAGSTER_"))}
        environment |= {
            "PYTHONDONTWRITEBYTECODE": "1", "TRACECORE_PLUGINS": "two-stages", "DAGSTER_DISABLE_TELEMETRY": "yes", "GX_ANALYTICS_ENABLED": "false",
            "OPENBLAS_NUM_THREADS": "1",
        }  # fmt: skip
        command = [sys.executable, __file__, str(site), *(["dagster"] if dagster else [])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=folder)
        self._ask_line("ready")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def begin(
        self,
        job: str,
        arguments: Mapping[str, Any],
        *,
        acks: Path,
        kill: Mapping[str, Any] | None = None,
        gate: Path | None = None,
        since: str | None = None,
        plant: Path | None = None,
        worker: Mapping[str, Any] | None = None,
    ) -> int:
        """Fork a process for a job and give its id.

        Args:
            job: name of a function of `victims`.
            arguments: its own.
            acks: file to which each acknowledgement is appended after the call that gave it returned.
            kill: when it is killed (see `witness.Kill`); None lets it end.
            gate: a named pipe; the job waits until a writer opens it.
            since: the phase before which it waits there; None waits before all.
            plant: a file of Python that the job runs first: it breaks the product, to show that a judge sees it.
            worker: what its worker of a stage obeys (see `worker_orders`).
        """
        assert self._process.stdin is not None
        for name in ("result", "errors", "phase"):
            (self.folder / name).write_bytes(b"")
        said = {"job": job, "arguments": arguments, "folder": str(self.folder), "acks": str(acks), "kill": kill}
        said |= {"gate": str(gate) if gate else None, "since": since, "plant": str(plant) if plant else None, "worker": worker}
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()
        self._child = int(self._ask_line("pid"))
        return self._child

    def end(self) -> Ended:
        """Wait for the job that was begun."""
        status = int(self._ask_line("status"))
        signal, code = (os.WTERMSIG(status), 0) if os.WIFSIGNALED(status) else (0, os.WEXITSTATUS(status))
        result = (self.folder / "result").read_text(encoding="utf-8")
        phase = (self.folder / "phase").read_text(encoding="utf-8").strip("\0 ")
        errors = (self.folder / "errors").read_text(encoding="utf-8", errors="replace")
        return Ended(signal, code, errors, json.loads(result) if result and not signal else {}, phase, self._child)

    def run(
        self,
        job: str,
        arguments: Mapping[str, Any],
        *,
        acks: Path,
        kill: Mapping[str, Any] | None = None,
        plant: Path | None = None,
        worker: Mapping[str, Any] | None = None,
    ) -> Ended:
        """Run a job to its end, its own or the one that `kill` sets it."""
        self.begin(job, arguments, acks=acks, kill=kill, plant=plant, worker=worker)
        return self.end()

    def _ask_line(self, what: str) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith(f"{what} "):
            raise RuntimeError(f"The fork server wrote {line!r}, expected its {what}: see what it wrote to stderr.")
        return line.removeprefix(f"{what} ").strip()


def _serve() -> None:
    """Import everything, then fork once for each line on stdin."""
    sys.path.insert(0, sys.argv[1])
    import victims

    victims.warm(dagster="dagster" in sys.argv[2:])
    threads = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    others = [name for name in threads if not name.startswith("jemalloc")]  # the allocator's own survive a fork: it sees to that
    if len(others) != 1:
        sys.exit(f"The fork server has the threads {', '.join(others)}: a fork would lack all but one, and could wait for them for ever.")
    gc.collect()
    gc.freeze()  # so that no collection in a child touches, and thereby copies, the pages that all share
    print("ready 1", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _run(victims, asked)
        print(f"pid {child}", flush=True)
        print(f"status {os.waitpid(child, 0)[1]}", flush=True)


def _run(victims: Any, asked: Mapping[str, Any]) -> None:
    """Be the child: never return to the server's loop."""
    code = 70
    try:
        folder = Path(asked["folder"])
        errors = os.open(folder / "errors", os.O_WRONLY | os.O_TRUNC)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.dup2(errors, 2)
        os.dup2(errors, 1)
        code = victims.be(asked)
    except BaseException:  # noqa: BLE001  # whatever it is, it belongs to the child's messages
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
