"""Validation of a stage's parameters before its run, and of the facets it attaches before they are recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import rfc8785
from pydantic import BaseModel, ValidationError

from tracecore.errors import RunFailed, UsageError, suggestion
from tracecore.kpis import prefixes, with_traits
from tracecore.plugins.host import PluginHost, Registered, RegisteredStage
from tracecore_schemas.canonical import JSON, jcs
from tracecore_schemas.facets import KPIS_FACET

__all__ = ["effective_params", "finish_facets", "validate_params"]


def validate_params(stage: RegisteredStage, params: Mapping[str, Any], asset: str) -> BaseModel:
    """Return a stage's parameters from the program's values and the defaults; raises UsageError for an undeclared name or invalid value."""
    model: type[BaseModel] = stage.stage_class.Params
    where = f"of asset '{asset}' (stage '{stage.name}')"
    known = set(model.model_fields)
    unknown = next((name for name in params if name not in known), None)
    if unknown is not None and model.model_config.get("extra", "forbid") == "forbid":
        raise UsageError(f"Unknown parameter '{unknown}' {where}. {suggestion(unknown, known, none_known='The stage has no parameters.')}")
    try:
        return model.model_validate(dict(params))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known_inside = _names_inside(model, first["loc"][:-1])
            raise UsageError(f"Unknown parameter '{name}' {where}. {suggestion(str(first['loc'][-1]), known_inside)}") from error
        if first["type"] == "missing":
            raise UsageError(f"The parameter '{name}' {where} is missing.") from error
        shown = f"Parameter '{name}'" if name else "The parameters"
        reason = first["msg"].removeprefix("Value error, ")
        raise UsageError(f"{shown} {where}: {reason[:1].lower() + reason[1:]}, found {first['input']!r}.") from error


def _names_inside(model: type[BaseModel], place: Sequence[int | str]) -> set[str]:
    """Return the parameter names that the nested model at the path `place` in a parameter model declares; empty if there is no model."""
    blocks: list[type[BaseModel]] = [model]
    for name in place:
        if isinstance(name, str):
            blocks = [inside for block in blocks if name in block.model_fields for inside in _models_in(block.model_fields[name].annotation)]
    return {name for block in blocks for name in block.model_fields}


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [block for part in get_args(annotation) for block in _models_in(part)]


def effective_params(stage: RegisteredStage, params: BaseModel, asset: str) -> dict[str, JSON]:
    """Return a stage's parameters as JSON, without file paths, which are not recorded; raises UsageError if canonical JSON can't express a value."""
    paths = {port.param for port in stage.stage_class.file_ports().values()}
    values: dict[str, JSON] = params.model_dump(mode="json", exclude=paths)
    for name, value in values.items():
        try:
            jcs(value)
        except rfc8785.CanonicalizationError as error:
            raise UsageError(f"Parameter '{name}' of asset '{asset}' can't be recorded: {error}; write integers beyond 2^53 as text.") from error
    return values


def finish_facets(host: PluginHost, stage: RegisteredStage, subject: str, facets: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return an artifact's facets with the traits (unit, direction) of its registered KPIs added; raises RunFailed if a facet violates its schema.

    Args:
        stage: the stage that wrote the artifact; facet and KPI specs that its own plugin registers take precedence.
        subject: the artifact in words (`its output 'frames'`), for errors.
    """
    finished = dict(facets)
    if isinstance(report := finished.get(KPIS_FACET.name), Mapping):
        values: Any = report.get("values") or {}
        named = {prefix for name in values for prefix in prefixes(name)}
        specs = {name: _choose_object(stage, subject, "KPI", offered) for name, offered in host.objects["kpis"].items() if name in named}
        finished[KPIS_FACET.name] = with_traits(report, specs)
    for name, value in finished.items():
        offered = host.objects["facets"].get(name)
        problem = _choose_object(stage, subject, "facet", offered).problem(value) if offered and isinstance(value, Mapping) else None
        if problem is not None:
            raise RunFailed(f"The stage '{stage.name}' described {subject} by the facet '{name}', whose contract refuses it: {problem}.")
    return finished


def _choose_object(stage: RegisteredStage, subject: str, noun: str, offered: list[Registered[Any]]) -> Any:
    """Return a facet's or KPI's spec from the stage's own plugin, else from other plugins; raises RunFailed if the other plugins' specs differ."""
    own = [each.item for each in offered if each.entry_point == stage.entry_point]
    if not own and any(each.item is not offered[0].item for each in offered):
        owners = ", ".join(f"'{each.entry_point}'" for each in offered)
        raise RunFailed(
            f"The stage '{stage.name}' described {subject} by the {noun} '{offered[0].item.name}', which several plugins offer ({owners}), "
            f"but not its own plugin '{stage.entry_point}': register it there too, or uninstall all of them but one."
        )
    return (own or [offered[0].item])[0]
