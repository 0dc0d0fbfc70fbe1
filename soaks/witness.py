"""Watches the product from outside, in the process that will be killed: marks what is being done, and writes down what was acknowledged.

A call that returned is an acknowledgement: from then on what it reported must be there, whatever happens. Only public methods and functions of
the record and the store are wrapped.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["Witness", "kill_after"]

_CLOCK_MONOTONIC = 1
_WRITES = {"start": "START", "complete": "COMPLETE", "check": "check", "fail": "FAIL", "abort": "recover"}
_PUTS = {"put_file": "store put of a file", "put_directory": "store put of a directory", "put_table": "store put of a table"}
_THEN = {"start": "running a stage", "complete": "after COMPLETE", "check": "after COMPLETE", "seal": "after the seal"}


class _Event(ctypes.Structure):
    _fields_ = (("value", ctypes.c_void_p), ("signal", ctypes.c_int), ("notify", ctypes.c_int), ("rest", ctypes.c_char * 48))


class _Times(ctypes.Structure):
    _fields_ = (("again_s", ctypes.c_long), ("again_ns", ctypes.c_long), ("first_s", ctypes.c_long), ("first_ns", ctypes.c_long))


def kill_after(seconds: float) -> None:
    """Let the kernel kill this process in a while, wherever it is then: precise however busy the machine is."""
    libc = ctypes.CDLL(None, use_errno=True)
    timer = ctypes.c_void_p()
    event = _Event(None, signal.SIGKILL, 0, b"")
    nanoseconds = max(int(seconds * 1e9), 1)
    times = _Times(0, 0, nanoseconds // 10**9, nanoseconds % 10**9)
    if libc.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(timer)) or libc.timer_settime(timer, 0, ctypes.byref(times), None):
        raise OSError(ctypes.get_errno(), "no timer could be set that kills this process")


class Witness:
    """Actions of a process and their answers, written where it outlives the process.

    Args:
        acks: file to append acknowledgements to, one JSON line each.
        phase: file that holds what is being done.
        kill: `{"after": seconds}`, or `{"phase": name, "occurrence": n, "after": seconds}`; None kills nothing.
        gate: a phase, and the named pipe before which it waits when that first begins (None: at once).
    """

    def __init__(self, acks: Path, phase: Path, kill: Mapping[str, Any] | None, gate: tuple[str | None, Path] | None = None) -> None:
        self._acks = os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        self._phase = os.open(phase, os.O_WRONLY)
        self._kill = kill
        self._gate = gate
        self._seen: Counter[str] = Counter()
        self._stack: list[str] = []
        self._local = threading.local()
        self._watching = False
        self.timeline: list[tuple[str, float]] = []
        if gate is not None and gate[0] is None:
            self._wait()
        self.mark("before START")
        if kill is not None and "phase" not in kill:
            kill_after(kill["after"])

    def mark(self, phase: str) -> None:
        """Write what is being done from here on."""
        os.pwrite(self._phase, phase.ljust(40).encode(), 0)
        self._arm(phase)
        self._base = phase

    def acknowledge(self, **said: Any) -> None:
        """Write down what the product has just promised."""
        os.write(self._acks, json.dumps(said).encode() + b"\n")

    def _wait(self) -> None:
        """Wait at the gate until the process that watches is ready."""
        assert self._gate is not None
        with self._gate[1].open("rb", buffering=0) as gate:
            gate.read(1)
        self._gate = None

    def _arm(self, phase: str) -> None:
        self._seen[phase] += 1
        if self._gate is not None and self._gate[0] == phase:
            self._wait()
        kill = self._kill
        if kill is not None and kill.get("phase") == phase and self._seen[phase] == kill["occurrence"]:
            kill_after(kill["after"])

    def _during(self, phase: str, call: Callable[[], Any]) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return call()
        self._stack.append(phase)
        os.pwrite(self._phase, phase.ljust(40).encode(), 0)
        self._arm(phase)
        began = time.monotonic()
        try:
            return call()
        finally:
            self._stack.pop()
            self.timeline.append((phase, time.monotonic() - began))
            os.pwrite(self._phase, (self._stack[-1] if self._stack else self._base).ljust(40).encode(), 0)

    def watch(self, workspace: Any) -> None:
        """Wrap the record and the store of this process, once.

        Args:
            workspace: whose store is asked for its class; it must exist.
        """
        if self._watching:
            return
        self._watching = True
        from tracecore.store import delta_log, open_store
        from tracecore_assets.release import release
        from tracecore_lineage import Record
        from tracecore_lineage.catalog.recorder import RecordWriter
        from tracecore_lineage.events.build import EventMaker
        from tracecore_lineage.retention import recover

        for name in ("start", "complete", "check", "abort", "environment"):
            self._wrap(EventMaker, name, self._remember)
        for name in _WRITES:
            self._wrap(RecordWriter, name, functools.partial(self._write, name))
        self._wrap(release, "seal_build", functools.partial(self._write, "seal"))
        self._wrap(recover, "recover", lambda call, *_: self._during("recover", call))
        self._wrap(Record, "ingest", lambda call, *_: self._during("event ingest", call))
        store = type(open_store(workspace))
        for name in _PUTS:
            self._wrap(store, name, functools.partial(self._put, name))
        self._wrap(delta_log, "_commit", lambda call, *_: self._during("Delta commit", call))

    def _wrap(self, owner: Any, name: str, around: Callable[..., Any]) -> None:
        original = getattr(owner, name)

        @functools.wraps(original)
        def wrapped(*arguments: Any, **named: Any) -> Any:
            return around(lambda: original(*arguments, **named), *arguments)

        setattr(owner, name, wrapped)

    def _remember(self, call: Callable[[], Any], *_: Any) -> Any:
        """Keep the bytes of an event that is being made; they are promised only when the call that records them returns."""
        made = call()
        pending = getattr(self._local, "pending", None)
        if pending is not None:
            pending += [hashlib.sha256(body).hexdigest() for body in ((made,) if isinstance(made, bytes) else made)]
        return made

    def _write(self, name: str, call: Callable[[], Any], recorder: Any, *_: Any) -> Any:
        before = getattr(self._local, "pending", None)
        self._local.pending = []
        try:
            answer = self._during(_WRITES.get(name, name), call)
            pending = self._local.pending
        finally:
            self._local.pending = before
        # A FAIL is not recorded for a run that ended before, an ABORT neither; a build that was sealed already was not sealed again.
        recorded = name != "fail" and answer is not False and getattr(answer, "new", True)
        if recorded and pending:
            self.acknowledge(kind="events", by=name, events=pending)
        if recorded and name == "seal":
            self.acknowledge(kind="sealed", ref=answer.ref)
        self.head(recorder)
        if name in _THEN and not self._stack:
            self.mark(_THEN[name])
        return answer

    def head(self, recorder: Any) -> None:
        """Write down the signed head that the record has now."""
        self.acknowledge(kind="head", note=recorder.checkpoint())

    def _put(self, name: str, call: Callable[[], Any], *_: Any) -> Any:
        stored = self._during(_PUTS[name], call)
        delta = stored.delta and {"version": stored.delta.version, "log": stored.delta.log}
        said = {"media": stored.media.value, "digest": stored.digest, "location": stored.location, "size_bytes": stored.size_bytes, "delta": delta}
        self.acknowledge(kind="stored", **said)
        return stored
