"""The plugin host: every stage, check, gate and observer that is installed, found by pluggy through the entry-point group `tracecore`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

import click
import pluggy
from packaging.utils import canonicalize_name

from tracecore import hookspecs
from tracecore.check import Check, SuiteCheck
from tracecore.discovery import ENV_TRACE, BrokenPlugin, LoadedPlugin, load_plugins, reason_of
from tracecore.errors import UsageProblem
from tracecore.exchange import Exporter, Importer
from tracecore.gate import Gate
from tracecore.hookspecs import PROJECT
from tracecore.stage import Stage
from tracecore.suggest import nearest, suggestion
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.run import CodeLocation, Plugin
from tracecore_schemas.suites import SUITES

__all__ = ["BrokenPlugin", "LoadedPlugin", "PluginHost", "Registered", "RegisteredStage"]

CORE = "tracecore"
"""Stands as the entry point of what the kernel itself brings: the built-in check suites."""

Event = Literal["run_started", "run_finished", "build_sealed"]
T = TypeVar("T", Check, Gate, Exporter, Importer, click.Command)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)  # no slots: the digests are cached on the instance
class RegisteredStage:
    """A stage and the plugin it comes from.

    Attributes:
        stage_class: what is run.
        entry_point: name of its plugin in the entry-point group.
        distribution: installed distribution of the plugin.
        version: of the distribution.
    """

    stage_class: type[Stage]
    entry_point: str
    distribution: str
    version: str

    @property
    def name(self) -> str:
        """What a program's `plugin:` says."""
        return self.stage_class.name

    @property
    def qualified_name(self) -> str:
        """The name that is unique whatever else is installed: `<entry point>/<stage>`."""
        return f"{self.entry_point}/{self.name}"

    @property
    def kind(self) -> StageKind:
        """Which step of the loop it is."""
        return self.stage_class.kind

    @cached_property
    def plugin(self) -> Plugin:
        """The code as the record names it; its digests are taken when first asked for."""
        from tracecore.distributions import closure_digest, source_digest

        distribution = canonicalize_name(self.distribution)
        return Plugin(
            entry_point=self.entry_point,
            stage=self.name,
            distribution=self.distribution,
            version=self.version,
            source_digest=source_digest(distribution),
            closure_digest=closure_digest(distribution),
        )

    @cached_property
    def code(self) -> CodeLocation | None:
        """Where the source is kept, if it lies in a git checkout."""
        from tracecore.git import code_location

        package = sys.modules[self.stage_class.__module__.partition(".")[0]]
        file = getattr(package, "__file__", None)
        return code_location(Path(file).parent if Path(file).name == "__init__.py" else Path(file)) if file else None


@dataclass(frozen=True, slots=True)
class Registered(Generic[T]):
    """A check, gate, exporter, importer or command, and the entry point it comes from."""

    item: T
    entry_point: str


class PluginHost:
    """All that plugins bring; one instance a process is enough.

    Attributes:
        plugins: what was loaded.
        broken: what could not be, each with its reason.
        stages: every stage, by entry point and order of registration.
        checks: by name, the built-in suites among them.
        gates: by name.
        exporters: by name.
        importers: by name.
    """

    def __init__(self, entry_points: Iterable[metadata.EntryPoint] | None = None) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)
        if os.environ.get(ENV_TRACE) == "1":
            self._manager.trace.root.setwriter(lambda line: print(line, end="", file=sys.stderr))  # noqa: T201  # what the variable asks for
            self._manager.enable_tracing()
        loaded, broken = load_plugins(self._manager, entry_points)
        self.plugins: list[LoadedPlugin] = []
        self.broken: list[BrokenPlugin] = broken
        self.stages: list[RegisteredStage] = []
        self.checks: dict[str, Registered[Check]] = {
            suite.name: Registered(SuiteCheck(suite.name, suite.expectations, description=suite.description, severity=suite.severity), CORE)
            for suite in SUITES
        }
        self.gates: dict[str, Registered[Gate]] = {}
        self.exporters: dict[str, Registered[Exporter]] = {}
        self.importers: dict[str, Registered[Importer]] = {}
        self._commands: dict[str, Registered[click.Command]] = {}
        for plugin in loaded:
            self._take(plugin)

    @classmethod
    def load(cls) -> PluginHost:
        """Load every installed plugin that `TRACECORE_PLUGINS` allows; one that fails is named in `broken` and stops nothing."""
        return cls()

    def _take(self, plugin: LoadedPlugin) -> None:
        """Add what one plugin brings, all of it or nothing: a name already taken makes the later plugin a broken one."""
        brings = plugin.brings
        offered: list[tuple[str, Mapping[str, Any], tuple[Any, ...]]] = [
            ("check", self.checks, brings.checks),
            ("gate", self.gates, brings.gates),
            ("exporter", self.exporters, brings.exporters),
            ("importer", self.importers, brings.importers),
            ("command", self._commands, brings.commands),
        ]
        clash = next(
            ((what, item.name, known[item.name].entry_point) for what, known, items in offered for item in items if item.name in known), None
        )
        doubled = _first_double([stage.name for stage in brings.stages])
        if clash is not None or doubled is not None:
            what, name, owner = clash or ("stage", doubled, plugin.entry_point)
            self._manager.unregister(name=plugin.entry_point)
            self.broken.append(
                BrokenPlugin(
                    plugin.entry_point, plugin.distribution, plugin.version, f"its {what} '{name}' has the name of one that '{owner}' brings"
                )
            )
            return
        self.plugins.append(plugin)
        self.stages.extend(RegisteredStage(stage, plugin.entry_point, plugin.distribution, plugin.version) for stage in brings.stages)
        self.checks.update({check.name: Registered(check, plugin.entry_point) for check in brings.checks})
        self.gates.update({gate.name: Registered(gate, plugin.entry_point) for gate in brings.gates})
        self.exporters.update({exporter.name: Registered(exporter, plugin.entry_point) for exporter in brings.exporters})
        self.importers.update({importer.name: Registered(importer, plugin.entry_point) for importer in brings.importers})
        self._commands.update({command.name: Registered(command, plugin.entry_point) for command in brings.commands if command.name})

    @property
    def commands(self) -> dict[str, click.Command]:
        """The plugins' CLI commands by name."""
        return {name: registered.item for name, registered in self._commands.items()}

    def stage(self, kind: str, plugin: str) -> RegisteredStage:
        """Find the stage that a program names.

        Args:
            kind: the asset's `stage:` (`curate`).
            plugin: the asset's `plugin:`: a stage's name, or `<entry point>/<stage>`.

        Raises:
            UsageProblem: there is no such kind or stage, or two plugins offer it; the nearest right name is offered.
        """
        if kind not in {each.value for each in StageKind}:
            raise UsageProblem(f"There is no stage kind '{kind}'. {suggestion(kind, [each.value for each in StageKind])}")
        qualified = "/" in plugin
        named = [stage for stage in self.stages if plugin == (stage.qualified_name if qualified else stage.name)]
        fitting = [stage for stage in named if stage.kind == kind]
        if len(fitting) == 1:
            return fitting[0]
        if len(fitting) > 1:
            choices = " or ".join(f"'{stage.qualified_name}'" for stage in fitting)
            raise UsageProblem(f"Several plugins offer the {kind} stage '{plugin}': write {choices}.")
        if named:
            raise UsageProblem(f"The stage '{plugin}' is a {named[0].kind} stage, not a {kind} stage: write 'stage: {named[0].kind}'.")
        raise UsageProblem(f"No installed plugin offers the {kind} stage '{plugin}'. {self._offer(kind, plugin)}")

    def _offer(self, kind: str, plugin: str) -> str:
        """Offer the nearest name of that kind; a broken plugin that may hold it is named too."""
        known = [stage.qualified_name if "/" in plugin else stage.name for stage in self.stages if stage.kind == kind]
        others = [stage.name for stage in self.stages if stage.kind != kind]
        offer = suggestion(plugin, known, none_known=f"No {kind} stage is installed.")
        if nearest(plugin, known) is None and (other := nearest(plugin, others)) is not None and other.lower() == plugin.lower():
            offer = f"Did you mean '{other}'?"
        if self.broken:
            offer += f" Broken plugins (see 'tracecore plugins list'): {', '.join(sorted({each.entry_point for each in self.broken}))}."
        return offer

    def check(self, name: str) -> Check:
        """Find a check by name.

        Raises:
            UsageProblem: there is none; the nearest right name is offered.
        """
        if name not in self.checks:
            raise UsageProblem(f"There is no check '{name}'. {suggestion(name, self.checks)}")
        return self.checks[name].item

    def gate(self, name: str) -> Gate:
        """Find a plugin's gate by name.

        Raises:
            UsageProblem: there is none; the nearest right name is offered.
        """
        if name not in self.gates:
            raise UsageProblem(f"There is no gate '{name}'. {suggestion(name, self.gates, none_known='No installed plugin brings gates.')}")
        return self.gates[name].item

    def notify(self, event: Event, summary: object) -> None:
        """Show an observer event to every plugin; one that raises is logged by name and disturbs nothing.

        Args:
            event: which observer hook, `tracecore_` left out.
            summary: the frozen value it is shown.
        """
        argument = "build" if event == "build_sealed" else "run"
        registered = self._manager.list_name_plugin()
        for name, module in registered:
            if module is None:
                continue
            others = [other for _, other in registered if other is not None and other is not module]
            try:
                self._manager.subset_hook_caller(f"tracecore_{event}", others)(**{argument: summary})
            except KeyboardInterrupt:
                raise
            except BaseException as error:  # noqa: BLE001  # an observer may raise anything, SystemExit too; the run must not feel it
                _log.warning("The plugin '%s' failed as an observer (tracecore_%s): %s", name, event, reason_of(error))


def _first_double(names: list[str]) -> str | None:
    return next((name for index, name in enumerate(names) if name in names[:index]), None)
