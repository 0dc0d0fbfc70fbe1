"""Each facet of ours has a schema and an example next to it, and they agree with each other, with the classes and with what is registered."""

from __future__ import annotations

import inspect
import json
import re

import pytest
from jsonschema import Draft202012Validator
from openlineage_data import CONTRACTS, FACETS, FORMATS, ROOT

from tracecore.plugins.host import PluginHost
from tracecore_lineage.model import facets
from tracecore_schemas.facets import wrong_summary

NAMES = sorted(CONTRACTS)
REGISTERED = PluginHost.load().objects["facets"]


@pytest.mark.parametrize("name", NAMES)
def test_the_example_is_valid_by_the_schema(name: str) -> None:
    schema = json.loads(CONTRACTS[name].read_text(encoding="utf-8"))
    example = json.loads((CONTRACTS[name].parent / "examples" / f"{name}.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    assert schema["$id"] == example["_schemaURL"] == facets.schema_url(name)
    validator = Draft202012Validator(schema, format_checker=FORMATS)
    assert [error.message for error in validator.iter_errors(example)] == []
    for member in schema["required"]:
        assert not validator.is_valid({key: value for key, value in example.items() if key != member})


@pytest.mark.parametrize("name", NAMES)
def test_every_member_says_what_it_means(name: str) -> None:
    schema = json.loads(CONTRACTS[name].read_text(encoding="utf-8"))
    assert schema["description"]
    assert [member for member, part in schema["properties"].items() if not part.get("description") and "const" not in part] == []


def test_every_example_has_a_schema() -> None:
    assert sorted(path.stem for each in {path.parent for path in CONTRACTS.values()} for path in (each / "examples").glob("*.json")) == NAMES


def test_every_class_has_a_schema_with_its_members() -> None:
    classes = [found for name, found in inspect.getmembers(facets, inspect.isclass) if name.startswith("Tracecore")]
    assert len(classes) >= 14
    for found in classes:
        url = found._get_schema()
        schema = json.loads(CONTRACTS[url.split(":")[2]].read_text(encoding="utf-8"))
        assert schema["$id"] == url
        members = {field.name for field in found.__attrs_attrs__} - {"_deleted"}
        assert members == set(schema["properties"]) - {"_deleted"}, found.__name__


@pytest.mark.parametrize("name", sorted(set(NAMES) - {path.stem for path in FACETS.glob("*.json")}))
def test_a_facet_of_stages_is_registered_and_its_summary_follows_from_its_members(name: str) -> None:
    (registered,) = REGISTERED[name]
    members = {key: value for key, value in registered.item.example.items() if key != "summary" and not key.startswith("_")}
    summarized = registered.item.summarized(members)
    assert wrong_summary(summarized["summary"]) is None
    assert registered.item.problem(summarized) is None
    assert registered.item.description


def test_no_module_of_the_core_knows_a_facet_of_a_plugin() -> None:
    of_plugins = {name for name, path in CONTRACTS.items() if "plugins" in path.parts}
    assert len(of_plugins) >= 13
    sources = [path for part in ("tracecore", "schemas", "lineage", "assets", "graphql") for path in (ROOT / part).rglob("*.py")]
    assert [(path.name, name) for path in sources for name in of_plugins if re.search(rf"\b{name}\b", path.read_text(encoding="utf-8"))] == []
