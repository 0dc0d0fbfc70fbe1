"""The plugin host: all installed stages, checks, gates and other registered objects, and calls to observer hooks."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, Literal, NoReturn, TypeVar, get_args

import click
import pluggy
from packaging.utils import canonicalize_name

from tracecore import hookspecs
from tracecore.check import Check
from tracecore.cli import UnusableCommand
from tracecore.errors import UsageError, nearest, suggestion
from tracecore.gate import Gate
from tracecore.hookspecs import PROJECT, Exporter, Importer
from tracecore.plugins.discovery import BrokenPlugin, LoadedPlugin, load_plugins
from tracecore.plugins.objects import CORE, OBJECT_TYPES, STAGES, built_in
from tracecore.stage import Stage
from tracecore.system.failures import reason_of
from tracecore.system.settings import Settings
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.run import CodeLocation, Plugin

__all__ = ["BrokenPlugin", "Event", "LoadedPlugin", "PluginHost", "Registered", "RegisteredStage", "SharedName"]

Event = Literal["run_started", "run_finished", "build_sealed"]
T = TypeVar("T")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RegisteredStage:
    """A stage class and the plugin that registers it."""

    stage_class: type[Stage]
    entry_point: str
    distribution: str
    version: str

    @property
    def name(self) -> str:
        """The stage's name, which a program writes after `plugin:`."""
        return self.stage_class.name

    @property
    def qualified_name(self) -> str:
        """The stage's unique name: `<entry point of its plugin>/<stage name>`."""
        return f"{self.entry_point}/{self.name}"

    @property
    def kind(self) -> StageKind:
        """The stage's kind (`curate`, `train`), which a program writes after `stage:`."""
        return self.stage_class.kind

    @property
    def plugin(self) -> Plugin:
        """The stage's plugin as it is recorded with a run, including the current digest of its source files."""
        from tracecore.system.distributions import installed

        digest = installed()[canonicalize_name(self.distribution)].source_digest
        return Plugin(self.entry_point, self.name, self.distribution, self.version, digest)

    @property
    def code(self) -> CodeLocation | None:
        """Repository, commit and path of the plugin's source, or None outside a git checkout."""
        from tracecore.environment import code_location

        package = sys.modules[self.stage_class.__module__.partition(".")[0]]
        file = getattr(package, "__file__", None)
        return code_location(Path(file).parent if Path(file).name == "__init__.py" else Path(file)) if file else None


@dataclass(frozen=True, slots=True)
class Registered(Generic[T]):
    """A registered object and the entry point that registers it."""

    item: T
    entry_point: str


@dataclass(frozen=True, slots=True)
class SharedName:
    """A name, without entry point, of an object (`what`: `check`, `curate stage`) that several plugins offer, as `<entry point>/<name>` each.

    `of_stages` if a stage gets the object of its own plugin, so that no qualified name can be written instead.
    """

    what: str
    name: str
    choices: tuple[str, ...]
    of_stages: bool = False

    @property
    def sentence(self) -> str:
        """Error message for a name that several plugins offer, with the qualified names to write instead unless `of_stages`."""
        if self.of_stages:
            owners = ", ".join(f"'{each.partition('/')[0]}'" for each in self.choices)
            return f"Several plugins offer the {self.what} '{self.name}' ({owners}): a stage gets that of its own plugin, stages of others fail."
        choices = " or ".join(f"'{each}'" for each in self.choices)
        return f"Several plugins offer the {self.what} '{self.name}': write {choices}."


class PluginHost:
    """All objects that the kernel and the plugins register.

    Attributes:
        plugins: the usable plugins; `broken` are the others.
        stages: all registered stages.
        objects: all other objects by plural of their type (`checks`) and name; several objects where plugins share a name. The attributes `checks`,
            `gates`, `exporters` and `importers` are parts of it.
    """

    def __init__(self, entry_points: Iterable[metadata.EntryPoint] | None = None, settings: Settings | None = None) -> None:
        self.settings = settings or Settings.read()
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        if self.settings.trace_plugins:
            self._manager.trace.root.setwriter(lambda line: print(line, end="", file=sys.stderr))  # noqa: T201  # what the variable asks for
            self._manager.enable_tracing()
        loaded, broken = load_plugins(self._manager, self.settings.plugins, entry_points)
        self.plugins: list[LoadedPlugin] = []
        self.broken: list[BrokenPlugin] = broken
        self.stages: list[RegisteredStage] = []
        self.objects: dict[str, dict[str, list[Registered[Any]]]] = {each.plural: {} for each in OBJECT_TYPES if each.plural != STAGES}
        self._add(built_in())
        self.checks: dict[str, list[Registered[Check]]] = self.objects["checks"]
        self.gates: dict[str, list[Registered[Gate]]] = self.objects["gates"]
        self.exporters: dict[str, list[Registered[Exporter]]] = self.objects["exporters"]
        self.importers: dict[str, list[Registered[Importer]]] = self.objects["importers"]
        for plugin in loaded:
            self._add_plugin(plugin)

    @classmethod
    def load(cls, settings: Settings | None = None) -> PluginHost:
        """Return a host with every installed plugin that `settings` allow (None reads the environment); failed ones are listed in its `broken`."""
        return cls(settings=settings)

    def _add_plugin(self, plugin: LoadedPlugin) -> None:
        """Add a plugin's stages, checks and other objects; if two share a name, or one has a built-in object's, list the plugin as broken."""
        for each in OBJECT_TYPES:
            names = [item.name for item in plugin.brings[each.plural]]
            known = {} if each.plural == STAGES else self.objects[each.plural]
            reserved = next((name for name in names if any(other.entry_point == CORE for other in known.get(name, ()))), None)
            doubled = reserved or next((name for index, name in enumerate(names) if name in names[:index]), None)
            if doubled is not None:
                self._manager.unregister(name=plugin.entry_point)
                owner = CORE if reserved is not None else plugin.entry_point
                error = f"its {each.noun} '{doubled}' has the name of one that '{owner}' brings"
                self.broken.append(BrokenPlugin(plugin.entry_point, plugin.distribution, plugin.version, error))
                return
        self.plugins.append(plugin)
        self._add(plugin.brings, plugin)

    def _add(self, brings: Mapping[str, tuple[Any, ...]], plugin: LoadedPlugin | None = None) -> None:
        for plural, items in brings.items():
            if plugin is not None and plural == STAGES:
                self.stages.extend(RegisteredStage(stage, plugin.entry_point, plugin.distribution, plugin.version) for stage in items)
                continue
            for item in items:
                self.objects[plural].setdefault(item.name, []).append(Registered(item, CORE if plugin is None else plugin.entry_point))

    @property
    def shared_names(self) -> list[SharedName]:
        """Names of stages, checks and other objects that several plugins offer, each with its qualified names."""
        found = [
            SharedName(each.what or each.noun, name, tuple(f"{other.entry_point}/{name}" for other in offered), each.of_stages)
            for each in OBJECT_TYPES
            if (each.by_name or each.of_stages) and each.plural != STAGES
            for name, offered in sorted(self.objects[each.plural].items())
            if len(offered) > 1
        ]
        stages: dict[tuple[str, str], list[str]] = {}
        for stage in self.stages:
            stages.setdefault((f"{stage.kind} stage", stage.name), []).append(stage.qualified_name)
        return [SharedName(what, name, tuple(names)) for (what, name), names in sorted(stages.items()) if len(names) > 1] + found

    @property
    def commands(self) -> dict[str, click.Command]:
        """The plugins' click commands by name and by `<entry point>/<name>`; a name that two plugins use maps to a command that raises UsageError."""
        found: dict[str, click.Command] = {}
        for name, offered in self.objects["commands"].items():
            qualified = {f"{each.entry_point}/{name}": each.item for each in offered}
            sentence = SharedName("command", name, tuple(qualified)).sentence
            found[name] = offered[0].item if len(offered) == 1 else UnusableCommand(name, sentence, UsageError(sentence))
            found.update(qualified)
        return found

    def stage(self, kind: str, plugin: str) -> RegisteredStage:
        """Return the stage that a program names by an asset's `stage:` (kind) and `plugin:` (name, or `<entry point>/<name>`).

        Raises UsageError with a suggestion if no such stage is installed, or several plugins have one of that name.
        """
        if kind not in {each.value for each in StageKind}:
            raise UsageError(f"There is no stage kind '{kind}'. {suggestion(kind, [each.value for each in StageKind])}")
        qualified = "/" in plugin
        named = [stage for stage in self.stages if plugin == (stage.qualified_name if qualified else stage.name)]
        fitting = [stage for stage in named if stage.kind == kind]
        if len(fitting) == 1:
            return fitting[0]
        if len(fitting) > 1:
            raise UsageError(SharedName(f"{kind} stage", plugin, tuple(stage.qualified_name for stage in fitting)).sentence)
        if named:
            raise UsageError(f"The stage '{plugin}' is a {named[0].kind} stage, not a {kind} stage: write 'stage: {named[0].kind}'.")
        raise UsageError(f"No installed plugin offers the {kind} stage '{plugin}'. {self._offer(kind, plugin)}")

    def _offer(self, kind: str, plugin: str) -> str:
        """Return a hint for a stage name that no plugin offers: a similar name of the kind, and the broken plugins, which might offer it."""
        known = [stage.qualified_name if "/" in plugin else stage.name for stage in self.stages if stage.kind == kind]
        others = [stage.name for stage in self.stages if stage.kind != kind]
        offer = suggestion(plugin, known, none_known=f"No {kind} stage is installed.")
        if nearest(plugin, known) is None and (other := nearest(plugin, others)) is not None and other.lower() == plugin.lower():
            offer = f"Did you mean '{other}'?"
        if self.broken:
            offer += f" Broken plugins (see 'tracecore plugins list'): {', '.join(sorted({each.entry_point for each in self.broken}))}."
        return offer

    def check(self, name: str, of: str | None = None) -> Registered[Check]:
        """Return a check by its name or `<entry point>/<name>`; raises UsageError if no plugin has it, or several have it and none is `of`.

        `of` is the entry point of the plugin whose check is preferred if several plugins have one of that name.
        """
        return _choose_object("check", self.checks, name, of) or _refuse(f"There is no check '{name}'. {suggestion(name, self.checks)}")

    def gate(self, name: str) -> Registered[Gate]:
        """Return a release gate by its name or `<entry point>/<name>`; raises UsageError if no plugin, or more than one, has it."""
        return _choose_object("gate", self.gates, name) or _refuse(f"There is no gate '{name}'. {suggestion(name, self.gates)}")

    def exporter(self, name: str) -> Registered[Exporter] | None:
        """Return an exporter by its name or `<entry point>/<name>`, None if there is none; raises UsageError if several plugins have it."""
        return _choose_object("export format", self.exporters, name)

    def importer(self, name: str) -> Registered[Importer] | None:
        """Return an importer by its name or `<entry point>/<name>`, None if there is none; raises UsageError if several plugins have it."""
        return _choose_object("import format", self.importers, name)

    def observers(self, entry_point: str) -> list[Event]:
        """Return the names of the events (such as `run_started`) that a plugin, given by its entry point, observes by a hook."""
        module = self._manager.get_plugin(entry_point)
        hooks = {caller.name for caller in self._manager.get_hookcallers(module) or ()}
        return [event for event in get_args(Event) if f"tracecore_{event}" in hooks]

    def observe(self, entry_point: str, event: Event, summary: object) -> None:
        """Call one plugin's observer hook for an event with the summary of the run or build; its exceptions propagate."""
        others = [module for name, module in self._manager.list_name_plugin() if module is not None and name != entry_point]
        argument = "build" if event == "build_sealed" else "run"
        self._manager.subset_hook_caller(f"tracecore_{event}", others)(**{argument: summary, "settings": self.settings.others})

    def notify(self, event: Event, summary: object) -> None:
        """Call every plugin's observer hook for an event with the summary of the run or build; exceptions are logged, not raised."""
        for name, _ in self._manager.list_name_plugin():
            try:
                self.observe(name, event, summary)
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001  # an observer may raise anything, SystemExit too; the run must not feel it
                _log.warning("The plugin '%s' failed as an observer (tracecore_%s): %s", name, event, reason_of(error))


def _choose_object(what: str, known: Mapping[str, list[Registered[T]]], name: str, of: str | None = None) -> Registered[T] | None:
    """Return the object `name` of the plugin `of`, else of the only plugin that has it, else None; raises UsageError if several plugins have it."""
    owner, _, bare = name.rpartition("/")
    found = [each for each in known.get(bare, ()) if owner in {"", each.entry_point}]
    own = [each for each in found if each.entry_point == of]
    if len(own or found) > 1:
        raise UsageError(SharedName(what, name, tuple(f"{each.entry_point}/{bare}" for each in found)).sentence)
    return next(iter(own or found), None)


def _refuse(sentence: str) -> NoReturn:
    raise UsageError(sentence)
