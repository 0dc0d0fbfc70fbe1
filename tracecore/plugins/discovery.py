"""Plugin discovery: each entry point of the group `tracecore` is loaded separately, so that a broken plugin does not affect the rest."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from importlib.machinery import SourceFileLoader
from typing import Any

import pluggy

from tracecore import hookspecs
from tracecore.errors import suggestion
from tracecore.hookspecs import PROJECT
from tracecore.plugins.objects import OBJECT_TYPES, ObjectType, UnfitError, check_outputs
from tracecore.system.failures import reason_of

__all__ = ["GROUP", "BrokenPlugin", "LoadedPlugin", "load_plugins", "mentions"]

GROUP = "tracecore"


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that can't be used, and why."""

    entry_point: str
    distribution: str
    version: str
    error: str


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """A loaded plugin; `brings` are the objects that it registers, by plural of their type (`stages`, `checks`)."""

    entry_point: str
    distribution: str
    version: str
    module: str
    brings: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    description: str = ""


def load_plugins(
    manager: pluggy.PluginManager, allowed: Collection[str] | None, entry_points: Iterable[metadata.EntryPoint] | None = None
) -> tuple[list[LoadedPlugin], list[BrokenPlugin]]:
    """Load plugins into a plugin manager, and return those that were loaded and those that are broken (could not be loaded).

    `allowed` are the entry-point names in `TRACECORE_PLUGINS`, None for all; `entry_points` by default the installed ones of the group `tracecore`.
    """
    found = metadata.entry_points(group=GROUP) if entry_points is None else entry_points
    ordered = sorted(found, key=lambda entry: (entry.name, entry.dist.name if entry.dist else ""))
    loaded: list[LoadedPlugin] = []
    taken: set[str] = set()
    known = {entry.name for entry in ordered}
    broken = [
        BrokenPlugin(name, "", "", f"TRACECORE_PLUGINS names it, but no installed distribution offers it. {suggestion(name, known)}")
        for name in sorted({*(allowed or ())} - known)
    ]
    for entry in ordered:
        if allowed is not None and entry.name not in allowed:
            continue
        distribution, version = (entry.dist.name, entry.dist.version) if entry.dist else ("", "")
        if entry.name in taken:
            # The same distribution can be found twice on the path; it does not conflict with itself.
            continue
        taken.add(entry.name)
        offering = sorted({(each.dist.name if each.dist else "") for each in ordered if each.name == entry.name})
        if len(offering) > 1 or len({each.value for each in ordered if each.name == entry.name}) > 1:
            shown = " and ".join(f"'{each}'" for each in offering)
            broken.append(
                BrokenPlugin(entry.name, distribution, version, f"the entry point '{entry.name}' is offered by {shown}: uninstall all but one")
            )
            continue
        try:
            loaded.append(_load_one(manager, entry, distribution, version))
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001  # a plugin may raise anything on import, SystemExit too; it must stop nothing
            if manager.has_plugin(entry.name):
                manager.unregister(name=entry.name)
            broken.append(BrokenPlugin(entry.name, distribution, version, str(error) if isinstance(error, UnfitError) else reason_of(error)))
    return loaded, broken


def mentions(entry: metadata.EntryPoint, hook: str) -> bool:
    """Whether a plugin's module may implement a hook, judged by its source text without importing it; True if it has no source text."""
    try:
        spec = importlib.util.find_spec(entry.module)
        source = spec.loader.get_source(entry.module) if spec is not None and isinstance(spec.loader, SourceFileLoader) else None
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  # finding a module imports its package, which may raise anything; `tracecore plugins list` names it
        return False
    return source is None or hook in source or "import *" in source or "specname" in source


def _load_one(manager: pluggy.PluginManager, entry: metadata.EntryPoint, distribution: str, version: str) -> LoadedPlugin:
    """Import a plugin, register it, and return it with its stages, checks and other objects; raises any error of the import, or UnfitError."""
    module = entry.load()
    _refuse_unknown_hooks(manager, module)
    manager.register(module, name=entry.name)
    brings = {each.plural: _registered_objects(manager, entry.name, each) for each in OBJECT_TYPES}
    check_outputs(brings)
    description = (inspect.getdoc(module) or "").partition("\n")[0]
    return LoadedPlugin(entry.name, distribution, version, entry.value, brings, description)


def _refuse_unknown_hooks(manager: pluggy.PluginManager, module: object) -> None:
    """Raise UnfitError if a module implements a hook that tracecore does not define (a mistyped one), which pluggy would ignore."""
    known = {name for name, member in vars(hookspecs).items() if hasattr(member, f"{PROJECT}_spec")}
    for name in dir(module):
        if manager.parse_hookimpl_opts(module, name) is not None and name not in known:
            raise UnfitError(f"it implements an unknown hook '{name}'. {suggestion(name, known)}")


def _registered_objects(manager: pluggy.PluginManager, plugin: str, type_: ObjectType) -> tuple[Any, ...]:
    """Call one plugin's register hook for a type of object (such as checks) and return its objects; raises UnfitError for an invalid one."""
    others = [other for name, other in manager.list_name_plugin() if name != plugin and other is not None]
    answers: Sequence[Any] = manager.subset_hook_caller(type_.hook, others)()
    items: list[Any] = []
    for answer in answers:
        if not isinstance(answer, list | tuple):
            raise UnfitError(f"its hook {type_.hook} must return a list, it returned {type(answer).__name__}")
        items.extend(type_.check(item) for item in answer)
    return tuple(items)
