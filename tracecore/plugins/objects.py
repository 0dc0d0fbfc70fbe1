"""The types of objects that plugins register, each with its hook `tracecore_register_<plural>`.

A new type needs an entry in `OBJECT_TYPES`, a hook in `tracecore.hookspecs`, and its class.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import click

from tracecore.check import Check
from tracecore.errors import suggestion
from tracecore.gate import Gate
from tracecore.hookspecs import Exporter, Importer
from tracecore.kpis import KpiSpec
from tracecore.plugins.built_in_checks import ParityCheck, SuiteCheck
from tracecore.plugins.release_gates import GATES
from tracecore.stage import Stage, StageKind
from tracecore_schemas.arrow_tables import BUILT_IN_TABLES, TableType
from tracecore_schemas.facets import SHARED_FACETS, FacetSpec
from tracecore_schemas.kinds import BUILT_IN_KINDS, ArtifactKind
from tracecore_schemas.refs import NO_ARTIFACTS
from tracecore_schemas.suites import SUITES

__all__ = ["CORE", "OBJECT_TYPES", "STAGES", "ObjectType", "UnfitError", "built_in", "check_outputs"]

CORE = "tracecore"
"""Entry-point name used for the kernel's own objects."""

STAGES = "stages"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class UnfitError(Exception):
    """An object that a plugin registers is invalid; the message names what was expected and found."""


@dataclass(frozen=True, slots=True)
class ObjectType:
    """A type of registered object.

    Attributes:
        plural: name in the hook, in `PluginHost.objects` and in `plugins list --json`.
        type: class of the objects, which must have a `name`.
        what: noun for messages about ambiguous names, if not `noun`.
        by_name: whether programs and commands refer to such objects by name, so that names must be unambiguous.
        of_stages: whether stages refer to such objects by name: a stage gets its own plugin's, else the only one.
    """

    plural: str
    noun: str
    type: Callable[..., Any]
    what: str = ""
    by_name: bool = True
    of_stages: bool = False

    @property
    def hook(self) -> str:
        """Name of the hook by which plugins register objects of this type, such as `tracecore_register_checks`."""
        return f"tracecore_register_{self.plural}"

    def check(self, item: Any) -> Any:
        """Return an object unchanged that a plugin's register hook returned; raises UnfitError if it has the wrong type or no valid name."""
        assert isinstance(self.type, type)  # typed as a callable because a type[T] may not be abstract
        if not isinstance(item, self.type):
            shown = item.__name__ + " (a class, not an instance)" if isinstance(item, type) else type(item).__name__
            raise UnfitError(f"its hook {self.hook} must return {self.type.__name__} instances, it returned {shown}")
        name = getattr(item, "name", None)
        if not isinstance(name, str) or not name or "/" in name:  # a slash separates a plugin's entry point and a name of it
            raise UnfitError(f"its hook {self.hook} returned a {self.type.__name__} without a name that has no '/': {name!r}")
        return item


class _StageType(ObjectType):
    """The type of stages, which are registered as classes since each run creates an instance."""

    def check(self, item: Any) -> type[Stage]:
        if not isinstance(item, type) or not issubclass(item, Stage):
            raise UnfitError(f"its hook {self.hook} must return Stage classes, it returned {item!r}")
        if inspect.isabstract(item):
            raise UnfitError(f"its stage {item.__name__} has no method run(self, context, params)")
        if not isinstance(getattr(item, "kind", None), StageKind):
            raise UnfitError(f"its stage {item.__name__} has no kind: set `kind = tc.StageKind.<KIND>`")
        if not _NAME.fullmatch(item.name):
            raise UnfitError(f"its stage {item.__name__} has the name {item.name!r}; expected letters, digits, '.', '_' and '-'")
        fields = getattr(item.Params, "model_fields", None)
        if fields is None:
            raise UnfitError(f"the Params of its stage {item.__name__} is not a subclass of tracecore.Params")
        for port in item.file_ports().values():
            if port.param not in fields:
                raise UnfitError(
                    f"its stage {item.__name__} takes files by the parameter '{port.param}', which its Params lack. {suggestion(port.param, fields)}"
                )
        if not item.outputs():
            raise UnfitError(f"its stage {item.__name__} declares no output: what it makes would be recorded nowhere")
        return item


class _KindType(ObjectType):
    """The record sorts and finds artifacts by their kinds."""

    def check(self, item: Any) -> ArtifactKind:
        kind: ArtifactKind = super().check(item)
        if kind in NO_ARTIFACTS:
            raise UnfitError(f"its kind '{kind}' has the name of what refs such as {kind}/… name already: choose another name")
        if not isinstance(kind.rank, int) or not isinstance(kind.rank_measured, int):
            raise UnfitError(f"its kind '{kind}' has the rank {kind.rank!r} and rank_measured {kind.rank_measured!r}; expected whole numbers")
        return kind


OBJECT_TYPES = (
    _StageType(STAGES, "stage", Stage),
    ObjectType("checks", "check", Check),
    ObjectType("gates", "gate", Gate),
    ObjectType("exporters", "exporter", Exporter, "export format"),
    ObjectType("importers", "importer", Importer, "import format"),
    ObjectType("commands", "command", click.Command),
    ObjectType("facets", "facet", FacetSpec, by_name=False, of_stages=True),
    ObjectType("kpis", "KPI", KpiSpec, by_name=False, of_stages=True),
    _KindType("kinds", "kind", ArtifactKind, by_name=False),
    ObjectType("tables", "table type", TableType, by_name=False),
)


def built_in() -> dict[str, tuple[Any, ...]]:
    """Return the checks, gates, facets, kinds and tables that tracecore itself registers, by the plural of their type (`checks`)."""
    suites = (SuiteCheck(suite.name, suite.expectations, description=suite.description, severity=suite.severity) for suite in SUITES)
    return {
        "checks": (*suites, ParityCheck()),
        "gates": tuple(GATES.values()),
        "facets": SHARED_FACETS,
        "kinds": tuple(BUILT_IN_KINDS.values()),
        "tables": tuple(BUILT_IN_TABLES.values()),
    }


def check_outputs(brings: Mapping[str, tuple[Any, ...]]) -> None:
    """Raise UnfitError if a plugin's stage writes a kind or table type that is neither in `brings` (the plugin's objects by type) nor built in."""
    known: Mapping[str, Mapping[str, Any]] = {"kinds": BUILT_IN_KINDS, "tables": BUILT_IN_TABLES}
    for stage in brings[STAGES]:
        for port in stage.outputs().values():
            for plural, item in (("kinds", port.kind), ("tables", port.table)):
                if item is not None and known[plural].get(item.name) is not item and item not in brings[plural]:
                    where = f"its stage {stage.__name__} writes '{item.name}' at its output '{port.name}'"
                    raise UnfitError(f"{where}, which is not registered: return it from the hook tracecore_register_{plural}")
