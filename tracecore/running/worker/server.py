"""The worker server: one per build, with the kernel preloaded and single-threaded, so that forks are safe.

It does not read jobs: each message on its socket passes the descriptors of a new worker, which reads its own job. It ends with the build, and its
workers with it.
"""

from __future__ import annotations

import gc
import os
import selectors
import signal
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from tracecore.running.worker.load_observer import Observer

__all__ = ["FORK", "STATUS", "serve"]

FORK = b"fork"
STATUS = struct.Struct("i")
"""Format of both messages on a worker's status pipe: its process id when it starts, its wait status when it ends."""

_MOST_DESCRIPTORS = 250
_THREADS_OF_ALLOCATORS = "jemalloc"
"""Name prefix of jemalloc's threads, which handle forks themselves."""


def serve(observer: Observer, control: int, at_ns: int) -> NoReturn:
    """Preload tracecore, then fork a worker process for each message on the socket with the descriptor `control`, until the socket is closed.

    `at_ns` is the start time of this process in ns.
    """
    from tracecore.running.worker.child import main

    observer.preloaded(at_ns)
    threads = [(task / "comm").read_text(encoding="utf-8").strip() for task in Path("/proc/self/task").iterdir()]
    if len([name for name in threads if not name.startswith(_THREADS_OF_ALLOCATORS)]) != 1:
        sys.exit(f"The server of workers has the threads {', '.join(threads)}: a fork would lack all but one, and could wait for them for ever.")
    gc.collect()
    gc.freeze()  # so that no collection in a worker touches, and thereby copies, the pages that all share
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the build, which ends its workers
    connection = socket.socket(fileno=control)
    connection.send(FORK)
    waiting = selectors.DefaultSelector()
    waiting.register(connection, selectors.EVENT_READ)
    live: dict[int, tuple[int, int]] = {}
    own = os.getpid()
    while True:
        for key, _ in waiting.select():
            if key.fileobj is connection:
                message, descriptors, _, _ = socket.recv_fds(connection, len(FORK), _MOST_DESCRIPTORS)
                if not message:
                    _end_all(live)
                pid = os.fork()
                if pid == 0:
                    waiting.close()
                    connection.close()
                    for pidfd, (_, status) in live.items():
                        os.close(pidfd)
                        os.close(status)
                    main(observer, own, *descriptors)
                pidfd = os.pidfd_open(pid)
                live[pidfd] = pid, descriptors[1]
                with suppress(OSError):  # it may have done so itself, or have ended
                    os.setpgid(pid, pid)
                with suppress(BrokenPipeError):
                    os.write(descriptors[1], STATUS.pack(pid))
                for descriptor in (descriptors[0], *descriptors[2:]):
                    os.close(descriptor)
                waiting.register(pidfd, selectors.EVENT_READ)
            else:
                pidfd = key.fd
                waiting.unregister(pidfd)
                pid, status = live.pop(pidfd)
                # Before it is reaped, so that the number can't be another's: what it started may not write on.
                _kill_group(pid)
                ended = os.waitpid(pid, 0)[1]
                with suppress(BrokenPipeError):
                    os.write(status, STATUS.pack(ended))
                os.close(status)
                os.close(pidfd)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _end_all(live: dict[int, tuple[int, int]]) -> NoReturn:
    for pid, _ in live.values():
        _kill_group(pid)
    os._exit(0)
