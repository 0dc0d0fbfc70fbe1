"""Finding plugins: each entry point of the group `tracecore` loaded by itself, so that a broken one is named and the rest work."""

from __future__ import annotations

import importlib.util
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from importlib.machinery import SourceFileLoader
from typing import Any, TypeVar, cast

import click
import pluggy

from tracecore import hookspecs
from tracecore.check import Check
from tracecore.errors import suggestion
from tracecore.gate import Gate
from tracecore.hookspecs import PROJECT, Exporter, Importer
from tracecore.stage import Stage, StageKind
from tracecore.system.failures import reason_of

__all__ = ["GROUP", "BrokenPlugin", "Contributions", "LoadedPlugin", "load_plugins", "mentions"]

GROUP = "tracecore"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BrokenPlugin:
    """A plugin that can't be used, and why; everything else works without it."""

    entry_point: str
    distribution: str
    version: str
    error: str


@dataclass(frozen=True, slots=True)
class Contributions:
    """What one plugin brings."""

    stages: tuple[type[Stage], ...] = ()
    checks: tuple[Check, ...] = ()
    gates: tuple[Gate, ...] = ()
    exporters: tuple[Exporter, ...] = ()
    importers: tuple[Importer, ...] = ()
    commands: tuple[click.Command, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedPlugin:
    """A plugin that was loaded.

    Attributes:
        entry_point: its name in the entry-point group `tracecore`.
        distribution: the installed distribution it comes with.
        version: of the distribution.
        module: dotted name of what the entry point names.
        brings: its stages, checks and all the rest.
        description: first line of the module's docstring.
    """

    entry_point: str
    distribution: str
    version: str
    module: str
    brings: Contributions = field(default_factory=Contributions)
    description: str = ""


class _UnfitError(Exception):
    """What a plugin brings is not what the hook asks for; the message says what was expected and found."""


def load_plugins(
    manager: pluggy.PluginManager, allowed: Collection[str] | None, entry_points: Iterable[metadata.EntryPoint] | None = None
) -> tuple[list[LoadedPlugin], list[BrokenPlugin]]:
    """Load every allowed plugin into a plugin manager.

    Args:
        manager: knows the hook specifications.
        allowed: entry points that `TRACECORE_PLUGINS` names; all where None.
        entry_points: which ones; the installed ones of the group `tracecore` by default.

    Returns:
        The plugins that work and those that don't, by entry-point name.
    """
    found = metadata.entry_points(group=GROUP) if entry_points is None else entry_points
    ordered = sorted(found, key=lambda entry: (entry.name, entry.dist.name if entry.dist else ""))
    loaded: list[LoadedPlugin] = []
    broken: list[BrokenPlugin] = []
    taken: set[str] = set()
    known = {entry.name for entry in ordered}
    broken.extend(
        BrokenPlugin(name, "", "", f"TRACECORE_PLUGINS names it, but no installed distribution offers it. {suggestion(name, known)}")
        for name in sorted({*(allowed or ())} - known)
    )
    for entry in ordered:
        if allowed is not None and entry.name not in allowed:
            continue
        distribution, version = (entry.dist.name, entry.dist.version) if entry.dist else ("", "")
        if entry.name in taken:
            # The same distribution can be found twice on the path; that is no conflict.
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
            broken.append(BrokenPlugin(entry.name, distribution, version, str(error) if isinstance(error, _UnfitError) else reason_of(error)))
    return loaded, broken


def mentions(entry: metadata.EntryPoint, hook: str) -> bool:
    """Return whether a plugin's module may implement a hook, by looking at its source without running it; True where that can't be seen."""
    try:
        spec = importlib.util.find_spec(entry.module)
        source = spec.loader.get_source(entry.module) if spec is not None and isinstance(spec.loader, SourceFileLoader) else None
    except KeyboardInterrupt:
        raise
    except BaseException:  # noqa: BLE001  # finding a module imports its package, which may raise anything; `tracecore plugins list` names it
        return False
    return source is None or hook in source or "import *" in source or "specname" in source


def _load_one(manager: pluggy.PluginManager, entry: metadata.EntryPoint, distribution: str, version: str) -> LoadedPlugin:
    module = entry.load()
    _refuse_unknown_hooks(manager, module)
    manager.register(module, name=entry.name)
    brings = Contributions(
        stages=_ask(manager, entry.name, "tracecore_register_stages", _fit_stage),
        checks=_ask(manager, entry.name, "tracecore_register_checks", _fit_instance(Check)),
        gates=_ask(manager, entry.name, "tracecore_register_gates", _fit_instance(Gate)),
        exporters=_ask(manager, entry.name, "tracecore_register_exporters", _fit_instance(Exporter)),
        importers=_ask(manager, entry.name, "tracecore_register_importers", _fit_instance(Importer)),
        commands=_ask(manager, entry.name, "tracecore_register_commands", _fit_instance(click.Command)),
    )
    description = (inspect.getdoc(module) or "").partition("\n")[0]
    return LoadedPlugin(entry.name, distribution, version, entry.value, brings, description)


def _refuse_unknown_hooks(manager: pluggy.PluginManager, module: object) -> None:
    """Pluggy ignores an implementation of a hook that does not exist; a plugin author who mistyped a name would never learn of it."""
    known = {name for name, member in vars(hookspecs).items() if hasattr(member, f"{PROJECT}_spec")}
    for name in dir(module):
        if manager.parse_hookimpl_opts(module, name) is not None and name not in known:
            raise _UnfitError(f"it implements an unknown hook '{name}'. {suggestion(name, known)}")


def _ask(manager: pluggy.PluginManager, plugin: str, hook: str, fit: Callable[[str, Any], T]) -> tuple[T, ...]:
    """Call a register hook of one plugin alone, so that what it raises or returns wrongly has its name on it."""
    others = [other for name, other in manager.list_name_plugin() if name != plugin and other is not None]
    answers: Sequence[Any] = manager.subset_hook_caller(hook, others)()
    items: list[T] = []
    for answer in answers:
        if not isinstance(answer, list | tuple):
            raise _UnfitError(f"its hook {hook} must return a list, it returned {type(answer).__name__}")
        items.extend(fit(hook, item) for item in answer)
    return tuple(items)


def _fit_instance(wanted: Callable[..., T]) -> Callable[[str, Any], T]:
    assert isinstance(wanted, type)  # typed as a callable because a type[T] may not be abstract
    kind: type = wanted

    def fit(hook: str, item: Any) -> T:
        if not isinstance(item, kind):
            shown = item.__name__ + " (a class, not an instance)" if isinstance(item, type) else type(item).__name__
            raise _UnfitError(f"its hook {hook} must return {kind.__name__} instances, it returned {shown}")
        name = getattr(item, "name", None)
        if not isinstance(name, str) or not name or "/" in name:  # a slash stands between a plugin's entry point and a name of it
            raise _UnfitError(f"its hook {hook} returned a {kind.__name__} without a name that has no '/': {name!r}")
        return cast("T", item)

    return fit


def _fit_stage(hook: str, item: Any) -> type[Stage]:
    if not isinstance(item, type) or not issubclass(item, Stage):
        raise _UnfitError(f"its hook {hook} must return Stage classes, it returned {item!r}")
    if inspect.isabstract(item):
        raise _UnfitError(f"its stage {item.__name__} has no method run(self, context, params)")
    if not isinstance(getattr(item, "kind", None), StageKind):
        raise _UnfitError(f"its stage {item.__name__} has no kind: set `kind = tc.StageKind.<KIND>`")
    if not _NAME.fullmatch(item.name):
        raise _UnfitError(f"its stage {item.__name__} has the name {item.name!r}; expected letters, digits, '.', '_' and '-'")
    fields = getattr(item.Params, "model_fields", None)
    if fields is None:
        raise _UnfitError(f"the Params of its stage {item.__name__} is no subclass of tracecore.Params")
    for port in item.file_ports().values():
        if port.param not in fields:
            raise _UnfitError(
                f"its stage {item.__name__} takes files by the parameter '{port.param}', which its Params lack. {suggestion(port.param, fields)}"
            )
    if not item.outputs():
        raise _UnfitError(f"its stage {item.__name__} declares no output: what it makes would be recorded nowhere")
    return item
