"""One trial of a stage inside its worker: what it touched, and the global state that it left."""

from __future__ import annotations

import contextlib
import importlib
import os
import pkgutil
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tracecore.stage import Stage
from tracecore.testing.state import changed, put_back, snapshot
from tracecore.watch import Access
from tracecore.watched_context import WatchedContext

__all__ = ["attempt"]


def attempt(
    stage: type[Stage], context: WatchedContext, params: Any, asked: Mapping[str, Any], found: dict[str, Any], again: Callable[[], WatchedContext]
) -> None:
    """Run a stage; run it again where the process's state changed, to tell a library's first import from the stage.

    Args:
        stage: the class.
        context: its own.
        params: its own.
        asked: `package` of the plugin, `state`: whether global state is looked at, and `workspace`.
        found: gets what is found, also where the stage raises.
        again: makes a context whose outputs nobody keeps.
    """
    package = asked["package"]
    _import_all(package)
    context.places.write(tempfile.gettempdir())
    before = snapshot(package)
    try:
        stage().run(context, params)
    finally:
        strays = context.watch.strays()
        found |= {f"{verb}s": _words(strays, verb, asked["workspace"]) for verb in ("read", "write", "connect", "start")}
        found["extra"] = _extra(stage, context.folders)
        after = snapshot(package)
        found["state"] = changed(before.plugin, after.plugin)
    suspects = changed(before.process, after.process)
    if suspects and asked["state"]:
        put_back(before)  # else what the first run set once, a variable or a seed, would look unchanged by the second
        second = again()
        earlier = snapshot(package)
        stage().run(second, params)
        later = snapshot(package)
        found["state"] = [*(name for name in changed(earlier.process, later.process) if name in suspects), *found["state"]]
        for folder in second.folders.values():
            shutil.rmtree(folder.parent, ignore_errors=True)


def _words(strays: list[Access], verb: str, workspace: str) -> list[str]:
    """Return what the stage touched that is not its own, with the line of the plugin that did; the kernel's own work is the kernel's."""
    words = [f"{_short(each.target, workspace)}{f' ({each.where})' if each.where else ''}" for each in strays if each.verb == verb]
    return list(dict.fromkeys(words))


def _short(target: str, root: str) -> str:
    """Name a file of the workspace without the folder of the trial."""
    real = os.path.realpath(target) if target.startswith("/") else target
    return f"the workspace's {real[len(root) + 1 :]}" if real.startswith(f"{root}/") else target


def _extra(stage: type[Stage], folders: Mapping[str, Path]) -> list[str]:
    return list(_beside(stage, folders))


def _beside(stage: type[Stage], folders: Mapping[str, Path]) -> Iterator[str]:
    """Name files beside the one file that an output is declared to be: nobody would ever see them."""
    declared = stage.outputs()
    for port, folder in folders.items():
        if declared[port].file is None or not folder.is_dir():
            continue
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != declared[port].file:
                yield f"{path.relative_to(folder).as_posix()} beside the file '{declared[port].file}' of the output '{port}'"


def _import_all(package: str) -> None:
    """Import every module of a plugin, so that the globals of one that is imported late are not taken for changed ones."""
    module = importlib.import_module(package)
    for _, name, _ in pkgutil.walk_packages(getattr(module, "__path__", []), f"{package}.", onerror=lambda _: None):
        if name not in sys.modules and not name.endswith("__main__"):
            # It may need a library that is not installed; the stage itself says so if it does.
            with contextlib.suppress(Exception, SystemExit):
                importlib.import_module(name)
