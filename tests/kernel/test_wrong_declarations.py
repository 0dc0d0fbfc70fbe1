"""Kinds, facets, KPIs, table types and ports that are declared wrongly: refused where they are declared, in one sentence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

import tracecore as tc
from tracecore.errors import RunFailed
from tracecore.plugins.objects import OBJECT_TYPES, UnfitError
from tracecore.running.context import _facet
from tracecore_assets.release.gates import _evaluate_gate

_X = tc.Column("x", "string", "x")
_SCHEMA = {"description": "Wet.", "type": "object", "required": ["wet"]}


@pytest.mark.parametrize(
    ("declare", "sentence"),
    [
        (lambda: tc.TableType("lanes", "Lanes."), "the table type 'lanes' has no columns"),
        (lambda: tc.TableType("lanes", "Lanes.", _X, _X), "the table type 'lanes' has two columns named 'x'"),
        (lambda: tc.TableType("lanes", "Lanes.", tc.Column("luma", "string", ""), extends=tc.FRAMES), "has two columns named 'luma'"),
        (lambda: tc.TableType("lanes", "Lanes.", _X, kind="modul"), "the table type 'lanes' has the kind 'modul', which is not a built-in kind"),
        (lambda: tc.FacetSpec("acme_wet", str), "the facet 'acme_wet' needs its contract"),
        (lambda: tc.KpiSpec("glare", "Glare.", better="lss"), "the KPI 'glare' needs better='more' or 'less'"),
        (lambda: tc.Input(table="frames"), "table='frames' is not a table type"),
    ],
)
def test_a_wrong_declaration_is_refused(declare: Any, sentence: str) -> None:
    with pytest.raises((TypeError, ValueError)) as caught:
        declare()
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (tc.ArtifactKind("run", "Runs."), "its kind 'run' has the name of what refs such as run/… name already"),
        (tc.ArtifactKind("lane_map", "Maps.", rank="two"), "its kind 'lane_map' has the rank 'two'"),
    ],
)
def test_a_kind_that_would_break_the_record_is_refused(kind: Any, sentence: str) -> None:
    with pytest.raises(UnfitError) as caught:
        next(each for each in OBJECT_TYPES if each.plural == "kinds").check(kind)
    assert sentence in str(caught.value)


def test_a_facet_that_cannot_be_summarized_names_its_first_cause() -> None:
    spec = tc.FacetSpec("acme_wet", lambda value: str(value["wet"]), schema=_SCHEMA, example={"wet": 1})
    with pytest.raises(TypeError, match=r"facet 'acme_wet' can't be recorded: its contract refuses it: 'wet' is a required property"):
        _facet(spec, {})
    broken = tc.FacetSpec("acme_wet", lambda value: str(value["rain"]), schema=_SCHEMA, example={"wet": 1})
    with pytest.raises(TypeError, match=r"facet 'acme_wet' can't be recorded: its summary function failed with KeyError: 'rain'"):
        _facet(broken, {"wet": 1})


@pytest.mark.parametrize("result", [None, True, tc.GateResult("yes", 1, 1, "ok"), tc.GateResult(True, 1, 1, 5)])  # type: ignore[arg-type]
def test_a_gate_that_returns_no_valid_result_is_named(result: Any) -> None:
    found = SimpleNamespace(item=SimpleNamespace(evaluate=lambda _evidence, _asked: result), entry_point="night")
    with pytest.raises(RunFailed, match=r"The gate 'dark' of plugin 'night' must return a GateResult"):
        _evaluate_gate("dark", "dark", {}, None, SimpleNamespace(gate=lambda _name: found))  # type: ignore[arg-type]


def test_a_usage_error_of_a_gate_names_the_gate_and_its_plugin() -> None:
    def evaluate(_evidence: Any, _asked: Any) -> Any:
        raise tc.UsageError("No frame is at hand.")

    found = SimpleNamespace(item=SimpleNamespace(evaluate=evaluate), entry_point="night")
    with pytest.raises(tc.UsageError, match=r"The gate 'dark' of plugin 'night' refused to judge: No frame is at hand\."):
        _evaluate_gate("dark", "dark", {}, None, SimpleNamespace(gate=lambda _name: found))  # type: ignore[arg-type]
