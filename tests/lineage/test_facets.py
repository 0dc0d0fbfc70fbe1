"""Each facet of ours has a schema and an example beside it, and they agree with each other and with the classes."""

from __future__ import annotations

import inspect
import json
import re

import pytest
from jsonschema import Draft202012Validator
from openlineage_data import FACETS, FORMATS

from tracecore_lineage.model import facets

NAMES = sorted(path.stem for path in FACETS.glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_the_example_is_valid_by_the_schema(name: str) -> None:
    schema = json.loads((FACETS / f"{name}.json").read_text(encoding="utf-8"))
    example = json.loads((FACETS / "examples" / f"{name}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == example["_schemaURL"] == facets.schema_url(name)
    validator = Draft202012Validator(schema, format_checker=FORMATS)
    assert [error.message for error in validator.iter_errors(example)] == []
    for member in schema["required"]:
        assert not validator.is_valid({key: value for key, value in example.items() if key != member})


@pytest.mark.parametrize("name", NAMES)
def test_every_member_says_what_it_means(name: str) -> None:
    schema = json.loads((FACETS / f"{name}.json").read_text(encoding="utf-8"))
    assert schema["description"]
    assert [member for member, part in schema["properties"].items() if not part.get("description") and "const" not in part] == []


def test_every_example_has_a_schema() -> None:
    assert sorted(path.stem for path in (FACETS / "examples").glob("*.json")) == NAMES


def test_every_class_has_a_schema_with_its_members() -> None:
    classes = [found for name, found in inspect.getmembers(facets, inspect.isclass) if name.startswith("Tracecore")]
    assert len(classes) >= 14
    for found in classes:
        url = found._get_schema()
        schema = json.loads((FACETS / f"{url.split(':')[2]}.json").read_text(encoding="utf-8"))
        assert schema["$id"] == url
        members = {field.name for field in found.__attrs_attrs__} - {"_deleted"}
        assert members == set(schema["properties"]) - {"_deleted"}, found.__name__


def test_every_facet_that_a_plugin_of_ours_describes_has_a_schema() -> None:
    house = FACETS.parents[1]
    described = re.compile(r'"(tracecore_[a-z]+)"')
    named = {name for path in house.glob("plugins/*/tracecore_*/**/*.py") for name in described.findall(path.read_text(encoding="utf-8"))}
    packages = {path.name for path in house.glob("plugins/*/tracecore_*")} | {path.name for path in house.glob("*/tracecore_*")}
    assert named - packages <= set(NAMES)
    assert "tracecore_frames" in named
