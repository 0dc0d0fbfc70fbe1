"""The server that workers are forked from: one a build, with the kernel preloaded and no thread, so that a fork copies nothing half done.

It knows nothing of jobs: a message on its socket brings the descriptors of a new worker, which reads its job itself. It ends when the build does, and
its workers with it.
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
"""A worker's process id when it begins, and its wait status when it has ended, each on its own pipe."""

_MOST_DESCRIPTORS = 250
_THREADS_OF_ALLOCATORS = "jemalloc"
"""They see to forks themselves."""


def serve(observer: Observer, control: int, at_ns: int) -> NoReturn:
    """Preload the kernel, then fork until the other end of the socket is closed.

    Args:
        observer: already up.
        at_ns: when this process began.
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
                    _end(live)
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
                _kill(pid)
                ended = os.waitpid(pid, 0)[1]
                with suppress(BrokenPipeError):
                    os.write(status, STATUS.pack(ended))
                os.close(status)
                os.close(pidfd)


def _kill(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def _end(live: dict[int, tuple[int, int]]) -> NoReturn:
    for pid, _ in live.values():
        _kill(pid)
    os._exit(0)
