"""The JSON Schemas for other tools are committed snapshots of what the code says, and accept what it writes."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from markdown_pages import examples

from tracecore.testing.worlds import RecordWorld
from tracecore_assets.load.parse import parse_program, read_program_yaml, shipped_programs
from tracecore_assets.load.program import program_json_schema
from tracecore_schemas.build import GateOutcome, Waiver
from tracecore_schemas.data_request import DataRequest
from tracecore_schemas.json_schemas import SNAPSHOTS, build_predicate

FOLDER = Path(__file__).parents[2] / "schemas" / "json"
SCHEMAS = {**SNAPSHOTS, "program": program_json_schema}


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_schema_is_what_the_code_says(name: str) -> None:
    kept = json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
    made = SCHEMAS[name]()
    Draft202012Validator.check_schema(made)
    assert kept == made, "The shape changed: export it again (schemas/README.md) and note it in the Changelog."


def test_every_committed_schema_has_a_test() -> None:
    assert {path.name.removesuffix(".schema.json") for path in FOLDER.glob("*.json")} == set(SCHEMAS)


@pytest.mark.parametrize("name", shipped_programs())
def test_a_shipped_program_is_valid_as_written_and_as_recorded(name: str) -> None:
    validator = Draft202012Validator(program_json_schema())
    source = read_program_yaml(name)
    assert [error.message for error in validator.iter_errors(json.loads(json.dumps(source.data)))] == []
    assert [error.message for error in validator.iter_errors(parse_program(source).document())] == []


@pytest.mark.parametrize(
    "gate",
    [{"check": "no_leak", "min": 1}, {"kpi": "map50"}, {"unknowns": "some"}, {"check": "a", "kpi": "b", "min": 0}, {}],
)
def test_a_gate_that_the_program_reader_refuses_is_refused_by_the_schema(gate: dict[str, Any]) -> None:
    asset = {"stage": "ingest", "plugin": "mcap"}
    program = {"type": "tracecore_assets.VehicleProgram", "attributes": {"name": "p", "assets": {"drives": asset}, "release": {"gates": [gate]}}}
    assert not Draft202012Validator(program_json_schema()).is_valid(program)


def test_the_predicate_of_the_format_page_and_of_a_real_seal_keep_the_build_schema(tmp_path: Path) -> None:
    validator = Draft202012Validator(build_predicate(), format_checker=Draft202012Validator.FORMAT_CHECKER)
    written = json.loads(examples("docs/formats/build.md")["statement"])
    waiver = Waiver("no_leak", "compares with published figures", date(2099, 12, 31), "Ada Lovelace")
    sealed = RecordWorld.at(tmp_path / "w").all().seal(gates=[GateOutcome("no_leak", False, True, 3, 0, "3 frames are shared")], waivers=[waiver])
    for statement in (written, sealed.statement):
        assert [error.message for error in validator.iter_errors(statement["predicate"])] == []


def test_a_real_trace_and_impact_keep_the_trace_schema(tmp_path: Path) -> None:
    validator = Draft202012Validator(SNAPSHOTS["trace"]())
    world = RecordWorld.at(tmp_path / "w").all()
    world.seal()
    for answer in (world.record.trace("build/demo"), world.record.trace("build/demo", depth=1), world.record.impact("drive_log/north")):
        assert [error.message for error in validator.iter_errors(answer)] == []
        assert answer["nodes"]


def test_the_data_request_of_the_format_page_keeps_its_schema_and_is_read_as_it_says() -> None:
    written = json.loads(examples("docs/formats/data_request.md")["request"])
    assert [error.message for error in Draft202012Validator(SNAPSHOTS["data_request"]()).iter_errors(written)] == []
    assert DataRequest.model_validate(written).model_dump(mode="json") == written
    assert not Draft202012Validator(SNAPSHOTS["data_request"]()).is_valid(written | {"more": 1})
