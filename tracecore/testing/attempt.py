"""One trial of a stage inside its worker: its accesses, and the process's global state before and after."""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import locale
import logging
import os
import pkgutil
import random
import shutil
import sys
import tempfile
import threading
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tracecore.running.audit_hook import Access
from tracecore.running.context import RunContext
from tracecore.stage import Stage

__all__ = ["Snapshot", "attempt", "changed", "snapshot"]

_PLAIN = (str, bytes, int, float, complex, bool, type(None), tuple, frozenset, list, dict, set)
_MOST_BYTES = 1 << 24
_CODE = (types.ModuleType, types.FunctionType, types.BuiltinFunctionType, type)


@dataclass(frozen=True)
class Snapshot:
    """Fingerprints of a process's global state (`process`) and of a plugin's module globals and class attributes (`plugin`), by name.

    The import of a library may change the process's state; the functions in `restore` set it back.
    """

    process: Mapping[str, str]
    plugin: Mapping[str, str]
    restore: tuple[Callable[[], object], ...]


def snapshot(package: str) -> Snapshot:
    """Return fingerprints of the process's global state and of all loaded modules in a plugin's package, to find what a stage changes."""
    states, environment = list(_states()), dict(os.environ)
    process = {f"os.environ[{name!r}]": value for name, value in environment.items()}
    process |= {f"the thread {_thread(thread)!r} that it left running": str(thread.ident) for thread in threading.enumerate()}
    process |= {name: fingerprint for name, fingerprint, _ in states}
    restores = [os.environ.clear, lambda: os.environ.update(environment), *(restore for *_, restore in states if restore is not None)]
    return Snapshot(process, _plugin(package), tuple(restores))


def changed(before: Mapping[str, str], after: Mapping[str, str]) -> list[str]:
    """Return the sorted names whose fingerprints differ between two mappings of fingerprints by name, or that only one has."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def _states() -> Iterator[tuple[str, str, Callable[[], object] | None]]:
    """Yield (name, fingerprint, function that restores it or None) of each global state of the process, such as locale."""
    generator, filters, path = random.getstate(), list(warnings.filters), list(sys.path)
    folder, where = os.getcwd(), locale.setlocale(locale.LC_ALL)  # noqa: PTH109  # compared as text
    yield "the working directory", folder, lambda: os.chdir(folder)
    yield "the random module's global state", _digest(generator), lambda: random.setstate(generator)
    digest = _digest([str(each) for each in filters])
    yield "warnings.filters", digest, lambda: warnings.filters.__setitem__(slice(None), filters)  # type: ignore[index]  # read-only in typeshed
    yield "the locale", where, lambda: locale.setlocale(locale.LC_ALL, where)
    yield "sys.path", _digest(path), lambda: sys.path.__setitem__(slice(None), path)
    yield "the root logger", _digest((logging.root.level, len(logging.root.handlers))), None
    if (numpy := sys.modules.get("numpy")) is not None:
        state, handling = numpy.random.get_state(legacy=True), numpy.geterr()
        numbers = _digest([*(str(part) for part in state[1:]), hashlib.sha256(state[1].tobytes()).hexdigest()])
        yield "numpy's global random state", numbers, lambda: numpy.random.set_state(state)
        yield "numpy's error handling (np.seterr)", str(sorted(handling.items())), lambda: numpy.seterr(**handling)
    if (torch := sys.modules.get("torch")) is not None and hasattr(torch, "get_rng_state"):
        tensor, threads, dtype = torch.get_rng_state(), torch.get_num_threads(), torch.get_default_dtype()
        yield "torch's global random state", hashlib.sha256(tensor.numpy().tobytes()).hexdigest(), lambda: torch.set_rng_state(tensor)
        yield "torch's number of threads", str(threads), lambda: torch.set_num_threads(threads)
        yield "torch's default dtype", str(dtype), lambda: torch.set_default_dtype(dtype)
        yield "torch's deterministic algorithms", str(torch.are_deterministic_algorithms_enabled()), None
        yield "torch's gradient mode", str(torch.is_grad_enabled()), None


def _thread(thread: threading.Thread) -> str:
    # The number in a default name would make each thread another finding.
    return thread.name.partition("-")[0] if thread.name.startswith("Thread-") else thread.name


def _plugin(package: str) -> dict[str, str]:
    """Return {dotted name: fingerprint} of the globals and class attributes in the loaded modules of a plugin's package."""
    found: dict[str, str] = {}
    for name, module in list(sys.modules.items()):
        if module is None or name.partition(".")[0] != package:
            continue
        for attribute, value in list(vars(module).items()):
            if attribute.startswith("__") or isinstance(value, types.ModuleType):
                continue
            found[f"{name}.{attribute}"] = _fingerprint(value)
            if isinstance(value, type) and value.__module__ == name:
                # What starts with an underscore is abc's and pydantic's bookkeeping, filled in on first use.
                members = [(member, each) for member, each in list(vars(value).items()) if not member.startswith("_")]
                found |= {f"{name}.{attribute}.{member}": _fingerprint(each) for member, each in members}
    return found


def _fingerprint(value: Any) -> str:
    """Return a text to compare two states of a value: a hash of a plain value's or small array's content, else the object's identity."""
    if isinstance(value, _CODE):
        return str(id(value))
    if isinstance(value, _PLAIN):
        return _digest(value)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray) and value.nbytes < _MOST_BYTES:
        return hashlib.sha256(value.tobytes()).hexdigest()
    return f"{type(value).__name__}@{id(value)}"


def _digest(value: Any) -> str:
    return hashlib.sha256(repr(value).encode("utf-8", "replace")).hexdigest()


def attempt(
    stage: type[Stage], context: RunContext, params: Any, asked: Mapping[str, Any], found: dict[str, Any], again: Callable[[], RunContext]
) -> None:
    """Run a stage and add to `found` which undeclared files and global state it touched; if it changed global state, run it again to confirm.

    Args:
        asked: `package` of the plugin, `state` (whether to confirm changes by a second run), and the path `workspace`.
        found: filled, even if the stage raises, with lists of texts: `reads`, `writes`, `connects`, `starts`, `extra` files, changed `state`.
        again: creates a context whose outputs are discarded.
    """
    package = asked["package"]
    _import_all(package)
    context.places.write(tempfile.gettempdir())
    before = snapshot(package)
    try:
        stage().run(context, params)
    finally:
        strays = context.watch.strays()
        found |= {f"{verb}s": _accesses_in_words(strays, verb, asked["workspace"]) for verb in ("read", "write", "connect", "start")}
        found["extra"] = list(_files_beside(stage, context.folders))
        after = snapshot(package)
        found["state"] = changed(before.plugin, after.plugin)
    suspects = changed(before.process, after.process)
    if suspects and asked["state"]:
        for restore in before.restore:  # else what the first run set once, a variable or a seed, would look unchanged by the second
            restore()
        second = again()
        earlier = snapshot(package)
        stage().run(second, params)
        later = snapshot(package)
        found["state"] = [*(name for name in changed(earlier.process, later.process) if name in suspects), *found["state"]]
        for folder in second.folders.values():
            shutil.rmtree(folder.parent, ignore_errors=True)


def _accesses_in_words(strays: list[Access], verb: str, workspace: str) -> list[str]:
    """Return the targets of a stage's undeclared accesses of the kind `verb` (`read`, `write`, …), each once, with the plugin's line of code."""
    words = [f"{_short(each.target, workspace)}{f' ({each.where})' if each.where else ''}" for each in strays if each.verb == verb]
    return list(dict.fromkeys(words))


def _short(target: str, root: str) -> str:
    """Return the target of an access, a path in the test workspace at `root` as `the workspace's <relative path>`, others unchanged."""
    real = os.path.realpath(target) if target.startswith("/") else target
    return f"the workspace's {real[len(root) + 1 :]}" if real.startswith(f"{root}/") else target


def _files_beside(stage: type[Stage], folders: Mapping[str, Path]) -> Iterator[str]:
    """Yield a message for each file that the stage wrote next to an output's declared file, since only that file is stored."""
    declared = stage.outputs()
    for port, folder in folders.items():
        if declared[port].file is None or not folder.is_dir():
            continue
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != declared[port].file:
                yield f"{path.relative_to(folder).as_posix()} beside the file '{declared[port].file}' of the output '{port}'"


def _import_all(package: str) -> None:
    """Import every module in a plugin's package, ignoring those that fail, so that later imports do not count as changes by a stage."""
    module = importlib.import_module(package)
    for _, name, _ in pkgutil.walk_packages(getattr(module, "__path__", []), f"{package}.", onerror=lambda _: None):
        if name not in sys.modules and not name.endswith("__main__"):
            # It may need a library that is not installed; the stage itself says so if it does.
            with contextlib.suppress(Exception, SystemExit):
                importlib.import_module(name)
