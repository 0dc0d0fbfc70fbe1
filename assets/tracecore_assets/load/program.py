"""The model of a vehicle program, its JSON Schema, and the Dagster names of its parts.

`python -m tracecore_assets.load.program schemas/json` writes the JSON Schema snapshot.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from tracecore.errors import UsageError
from tracecore.plugins.release_gates import GATES
from tracecore_schemas.canonical import MAX_EXACT_INTEGER
from tracecore_schemas.kinds import StageKind

__all__ = [
    "RELEASE",
    "TYPE",
    "AssetSpec",
    "GateSpec",
    "Release",
    "VehicleProgram",
    "dagster_name",
    "job_name",
    "op_name",
    "program_json_schema",
]

TYPE = "tracecore_assets.VehicleProgram"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]*$", max_length=60)]
# No dots: they join an artifact's name, `<program>.<asset>.<port>`. No hyphens: Dagster's names can't have them.
AssetName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AssetSpec(_Frozen):
    """One asset of a program: which stage makes it, from what, and how.

    Attributes:
        stage: kind of the stage, a step of the perception loop.
        plugin: name of the stage (`mcap`), or `<entry point>/<stage>` if several plugins have one of that name.
        inputs: source of each input port: `<asset>`, or `<asset>.<port>` for an asset with several outputs.
        params: parameters of the stage; paths among them are relative to the program's file.
        checks: settings of its checks by name (`no_leak: {blocking: true}`).
        seed: of this stage; the program's by default.
        description: one sentence; the stage's own by default.
        group: in the Dagster UI; the program's name by default.
    """

    stage: StageKind
    plugin: str = Field(min_length=1)
    inputs: Mapping[str, str] = Field(default_factory=dict)
    params: Mapping[str, Any] = Field(default_factory=dict)
    checks: Mapping[str, Mapping[str, Any]] = Field(default_factory=dict)
    seed: int | None = Field(None, ge=0, le=MAX_EXACT_INTEGER)
    description: str = ""
    group: AssetName | None = None
    retries: int = Field(0, ge=0, le=10)


class GateSpec(_Frozen):
    """One gate: a check that must have succeeded, a KPI within bounds, above its baseline or not much worse than before, no unknowns, or a plugin's.

    Attributes:
        form: the entry's key: `gate`, or the name of a gate of the kernel (`check`, `kpi`, `unknowns`).
        subject: its value: the gate, check or KPI named; `none` for unknowns.
        requirement: the gate's other keys (`min`, `max`, `above_baseline` by a margin, `max_drop` from the build before, `unknown_training` of
            `no_leak`, or a plugin gate's own).
        name: in waivers, answers and the seal: its subject, `unknowns` for unknowns, or the entry's own `name`.
    """

    form: str
    subject: str = Field(min_length=1)
    requirement: Mapping[str, Any] = Field(default_factory=dict)
    name: str = Field(min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _parse_entry(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "form" in value:
            return value
        forms = [form for form in (*GATES, "gate") if form in value]
        if len(forms) != 1:
            found = ", ".join(value) or "nothing"
            raise ValueError(f"a gate has exactly one of the keys check, kpi, gate and unknowns; found: {found}")
        form, subject = forms[0], value[forms[0]]
        rest = {key: item for key, item in value.items() if key not in (form, "name")}
        if form in GATES:
            try:
                GATES[form].check_requirement({form: subject, **rest})
            except UsageError as error:
                raise ValueError(str(error)) from error  # pydantic converts only ValueErrors
        elif not isinstance(subject, str):
            raise ValueError(f"'{form}' takes a name; found {subject!r}")  # as above
        return {"form": form, "subject": subject, "requirement": rest, "name": value.get("name", form if form == "unknowns" else subject)}

    @property
    def gate(self) -> str:
        """Name of the registered gate that evaluates this gate entry of a program file."""
        return self.subject if self.form == "gate" else self.form

    @property
    def asked(self) -> Mapping[str, Any]:
        """The entry's requirement (bounds and options by key) as the registered gate expects it."""
        return self.requirement if self.form == "gate" else {self.form: self.subject, **self.requirement}

    def document(self) -> dict[str, Any]:
        """Return the gate's settings as an entry of the list `gates` in a program file."""
        return {self.form: self.subject, **self.requirement, "name": self.name}


class Release(_Frozen):
    """The conditions under which a build is sealed."""

    approver: Literal["required", "optional"] = "required"
    gates: tuple[GateSpec, ...] = ()


class VehicleProgram(_Frozen):
    """How a vehicle build is made, from drive files to the release.

    Attributes:
        name: first part of the names of all its artifacts.
        seed: of stages without one of their own.
        threads: intra-op CPU threads of every stage; pinned, because training differs between thread counts.
        release: conditions for sealing a build; a program without it only makes assets.
    """

    name: Name
    seed: int = Field(0, ge=0, le=MAX_EXACT_INTEGER)
    threads: int = Field(2, ge=1, le=256)
    description: str = ""
    assets: Mapping[AssetName, AssetSpec] = Field(min_length=1)
    release: Release | None = None

    def document(self) -> dict[str, Any]:
        """Return the program as JSON in the format of a program file, with the defaults of seed, threads and release filled in."""
        attributes = self.model_dump(mode="json", exclude={"release"}, exclude_defaults=True)
        attributes |= {"name": self.name, "seed": self.seed, "threads": self.threads}
        if self.release is not None:
            attributes["release"] = {"approver": self.release.approver, "gates": [gate.document() for gate in self.release.gates]}
        return {"type": TYPE, "attributes": attributes}


RELEASE = "release"
"""Name of the sealed build's asset, and last part of the name of the release run's job."""


def dagster_name(text: str) -> str:
    """Return a name with `_` in place of each character that Dagster's names can't have."""
    return re.sub(r"[^A-Za-z0-9_]", "_", text)


def job_name(program: str) -> str:
    """Return the name of the Dagster job that makes a program's builds."""
    return f"build_{dagster_name(program)}"


def op_name(program: str, asset: str) -> str:
    """Return the name of the Dagster op that makes a program's asset."""
    return f"{dagster_name(program)}__{dagster_name(asset)}"


def program_json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a program file, with gates in their short forms (`{check: no_leak}`)."""
    from tracecore_schemas.json_schemas import first_paragraphs

    attributes = VehicleProgram.model_json_schema(mode="validation")
    definitions = attributes.pop("$defs", {})
    name = {"type": "string", "minLength": 1}
    definitions[GateSpec.__name__] = {
        "title": GateSpec.__name__,
        "description": (GateSpec.__doc__ or "").partition("\n")[0],
        "oneOf": [
            *(_entry_schema(gate.name, entry) for gate in GATES.values() for entry in gate.entries),
            {**_entry_schema("gate", {"properties": {"gate": name}}), "additionalProperties": True},
        ],
    }
    schema: dict[str, Any] = first_paragraphs(
        {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": "urn:tracecore:program:1",
            "title": "Vehicle program",
            "type": "object",
            "properties": {"type": {"const": TYPE}, "attributes": attributes},
            "required": ["attributes", "type"],
            "additionalProperties": False,
            "$defs": definitions,
        }
    )
    return schema


def _entry_schema(key: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return the JSON Schema of a gate in a program file that has the key `key` (`check`, `kpi`): the schema `entry` with the member `name` added."""
    members = {key: entry["properties"][key], "name": {"type": "string", "minLength": 1}, **entry["properties"]}
    further = {name: value for name, value in entry.items() if name != "properties"}
    return {"type": "object", "properties": members, "required": [key], "additionalProperties": False, **further}


if __name__ == "__main__":
    from tracecore_schemas.json_schemas import export

    export(Path(sys.argv[1]), {"program": program_json_schema()})
