"""Processes of tests, forked from ones that have imported what each of them would take seconds to import.

A server of workers is forked from a process that has loaded the kernel only and observed that, as such a server does itself; a command, from one
that has loaded the command line and what a build needs. Each is given the import path, the folder and the environment of its caller. What
Python reads of its environment when it starts is not read again: a test of that starts a process of its own.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import importlib.util
import io
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

__all__ = ["run", "server", "use"]

LEARNING = ("torch._dynamo", "torch.onnx", "scipy.stats", "scipy.optimize", "matplotlib.figure")
"""What the workers of stages that learn and judge load, each anew; most of their time in tests that do so little."""

_MOST_BYTES = 1 << 17  # of a request: import path, arguments, environment
_BOOT = "import sys; exec(compile(open(sys.argv[1]).read(), sys.argv[1], 'exec'))"
"""Not as a script: as one it would be the main module of all that is forked, and something that each run depends on."""

_SERVERS = ("servers", "learning_servers")
_begun: dict[tuple[int, str], tuple[socket.socket, Any]] = {}
_used = {"servers": "servers"}


def use(*, learning: bool) -> None:
    """Set the process that servers of workers are forked from: one that has loaded `LEARNING` too, or the kernel only."""
    _used["servers"] = "learning_servers" if learning else "servers"


def run(arguments: list[str], *, cwd: Path, env: dict[str, str], timeout: float = 120, learning: bool = False) -> subprocess.CompletedProcess[str]:
    """Run `tracecore` with arguments, as `subprocess.run` does: nothing to read, outputs captured as text, nothing checked.

    Args:
        arguments: of the command line.
        cwd: where.
        env: its whole environment.
        timeout: seconds after which it is killed.
        learning: whether its workers find `LEARNING` loaded.

    Raises:
        subprocess.TimeoutExpired: it was killed.
    """
    pipes = [os.pipe() for _ in range(3)]
    path = ["", *filter(None, env.get("PYTHONPATH", "").split(os.pathsep))]
    _ask("commands", {"path": path, "cwd": str(cwd), "env": env, "arguments": arguments, "learning": learning}, [write for _, write in pipes])
    for _, write in pipes:
        os.close(write)
    texts, pid, until = {read: io.BytesIO() for read, _ in pipes}, 0, time.monotonic() + timeout
    out, err, status = unread = list(texts)
    while unread:
        ready, _, _ = select.select(unread, [], [], max(0.0, until - time.monotonic()))
        if not ready:
            if pid:  # 0 would be this process's own group
                os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(arguments, timeout)
        for each in ready:
            texts[each].write(data := os.read(each, 1 << 16))
            if each == status and not pid:
                pid = int(data.split()[0])
            if not data:
                unread = [other for other in unread if other != each]
                os.close(each)
    code = os.waitstatus_to_exitcode(int(texts[status].getvalue().split()[1]))
    return subprocess.CompletedProcess(arguments, code, *(texts[each].getvalue().decode() for each in (out, err)))


def server() -> tuple[socket.socket, Any]:
    """Return what `tracecore.running.worker.workers._start` returns: a socket to a server of workers, and its process."""
    from tracecore.running.worker import workers
    from tracecore.running.worker.process import server_environment

    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    workers._OURS.add(ours)
    ended, lives = os.pipe()
    with theirs:
        request = {"path": sys.path, "cwd": str(Path.cwd()), "env": server_environment(os.environ)}
        _ask(_used["servers"], request, [theirs.fileno(), workers._stderr(), lives])
    os.close(lives)
    assert ours.recv(len(workers.FORK)), "its server of workers ended at once"

    def wait() -> None:
        os.read(ended, 1)
        os.close(ended)

    return ours, SimpleNamespace(wait=wait)


def _ask(what: str, request: dict[str, Any], descriptors: list[int]) -> None:
    socket.send_fds(_forking(what), [json.dumps(request).encode()], descriptors)


def _forking(what: str) -> socket.socket:
    """Return a socket to the process of this one that forks, started with the first request."""
    key = os.getpid(), what
    if key not in _begun:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        passed = [each.fileno() for each in (theirs, *([_forking(servers) for servers in _SERVERS] if what == "commands" else []))]
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        environment["OPENBLAS_NUM_THREADS"] = "1"  # its threads would not be there after a fork
        line = [sys.executable, "-c", _BOOT, __file__, what, *map(str, passed)]
        process = subprocess.Popen(
            line, pass_fds=passed, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        )
        theirs.close()
        _begun[key] = ours, process
    return _begun[key][0]


@atexit.register
def _end() -> None:
    own = [each for (pid, _), each in _begun.items() if pid == os.getpid()]
    for control, _ in own:
        control.close()
    for _, process in own:
        if process is not None:
            process.wait()


def _fork_for_each(control: socket.socket, become: Callable[[dict[str, Any], list[int]], NoReturn]) -> NoReturn:
    """Wait for requests, and become what each asks for in a fork of its own."""
    threads = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
    if len([name for name in threads if not name.startswith("jemalloc")]) != 1:  # the allocator's own see to forks themselves
        sys.exit(f"The threads {', '.join(threads)}: a fork would lack all but one.")
    gc.collect()
    gc.freeze()  # so that no collection in a fork touches, and thereby copies, the pages that all share
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, _MOST_BYTES, 8)
        if not data:
            sys.exit()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            control.close()
            request = json.loads(data)
            os.environ.clear()
            os.environ.update(request["env"])
            os.chdir(request["cwd"])
            become(request, descriptors)
        for each in descriptors:
            os.close(each)


def _commands(control: socket.socket, *servers: socket.socket) -> NoReturn:
    names = ["alembic.command", "dagster", "deltalake", "pandas", "pyarrow.dataset", *_modules("tracecore_lineage"), *_modules("tracecore_assets")]
    for name in names:
        importlib.import_module(name)
    from tracecore.commands.shell import main
    from tracecore.running.worker import workers

    workers._start = server

    def become(request: dict[str, Any], descriptors: list[int]) -> NoReturn:
        out, err, status = descriptors
        if pid := os.fork():  # a process between reports how the command ended
            os.write(status, f"{pid} ".encode())
            os.close(out)
            os.close(err)
            os.write(status, str(os.waitpid(pid, 0)[1]).encode())
            os._exit(0)
        os.close(status)
        _begun.update(((os.getpid(), name), (each, None)) for name, each in zip(_SERVERS, servers, strict=True))
        use(learning=request["learning"])
        for standard, descriptor in ((1, out), (2, err)):
            os.dup2(descriptor, standard)
            os.close(descriptor)
        # New ones: those there are know that they were opened on something else.
        sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # type: ignore[misc]  # noqa: SIM115
        sys.stderr = sys.__stderr__ = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # type: ignore[misc]  # noqa: SIM115
        sys.path[:0] = request["path"]
        sys.argv = ["-c", *request["arguments"]]
        main()
        sys.exit()

    _fork_for_each(control, become)


def _modules(package: str) -> list[str]:
    path = importlib.import_module(package).__path__
    return [each.name for each in pkgutil.walk_packages(path, f"{package}.") if "migrations" not in each.name]


def _serve(control: socket.socket, *preloaded: str) -> NoReturn:
    select.select([control], [], [])
    # As `tracecore.running.worker.workers` begins a server: this one module by its path, before the package that it lies in.
    spec = importlib.util.find_spec("tracecore")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    name, file = "tracecore.running.worker.load_observer", Path(spec.submodule_search_locations[0]) / "running" / "worker" / "load_observer.py"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    observing = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(observing)
    began, observer = time.time_ns(), observing.Observer()
    observer.install()
    from tracecore.running.worker import child  # noqa: F401  # what a server preloads
    from tracecore.running.worker.server import serve

    for each in preloaded:
        importlib.import_module(each)

    def become(request: dict[str, Any], descriptors: list[int]) -> NoReturn:
        os.setsid()
        sys.path[:] = request["path"]
        connection, err, _ = descriptors  # the last is open as long as this process lives
        os.dup2(err, 2)
        os.close(err)
        serve(observer, connection, began)

    _fork_for_each(control, become)


if __name__ == "__main__":
    sys.path.remove("")
    _, _, kind, *numbers = sys.argv
    sockets = [socket.socket(fileno=int(each)) for each in numbers]
    if kind == "commands":
        _commands(*sockets)
    _serve(*sockets, *(LEARNING if kind == "learning_servers" else ()))
