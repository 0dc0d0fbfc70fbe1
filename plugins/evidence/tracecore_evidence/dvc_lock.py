"""The import format `dvc`: a project's `dvc.lock` as OpenLineage events, one run per stage.

https://dvc.org/doc/user-guide/project-structure/dvcyaml-files#dvclock-file. Each stage becomes a COMPLETE event with its dependencies as inputs and
its outs as outputs: datasets of the namespace `dvc` with DVC's hash as version, `external/dvc/<path>@md5:<hex>`. A lock file has no times and no
users: each event has the time of the Unix epoch, so that the same file always gives the same events.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

import tracecore as tc
from tracecore_schemas.canonical import jcs

__all__ = ["Dvc", "events_of"]

_NAMESPACE = "dvc"
_RUNS = uuid.UUID("5d3c0f36-7c1e-5b0b-9d0a-2a6a1f0c9b77")
_EPOCH = "1970-01-01T00:00:00Z"
_PRODUCER = "urn:tracecore:evidence:dvc"
_SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_VERSION = "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet"
_DOCUMENTATION = "https://openlineage.io/spec/facets/1-0-1/DocumentationJobFacet.json#/$defs/DocumentationJobFacet"
_HASHES = ("md5", "etag", "checksum")


class Dvc(tc.Importer):
    """Importer of a project's `dvc.lock`."""

    name = "dvc"
    description = "A dvc.lock: each stage a run, its dependencies and outs datasets external/dvc/<path>@md5:<hex>."

    def events(self, source: Path) -> list[Mapping[str, Any]]:
        """Return an OpenLineage event for each stage in a `dvc.lock`. Raises UsageError if it is not of schema 2.0, or a stage is malformed."""
        try:
            lock = YAML(typ="safe", pure=True).load(source.read_text(encoding="utf-8-sig"))
        except (YAMLError, ValueError, RecursionError) as error:  # an invalid date and bytes that are not UTF-8 raise ValueError
            raise tc.UsageError(f"{source.name} is not YAML: {' '.join(str(error).split())[:200]}.") from error
        except OSError as error:
            raise tc.UsageError(f"{source} can't be read: {(error.strerror or str(error)).lower()}.") from error
        schema = lock.get("schema") if isinstance(lock, Mapping) else None
        if str(schema) != "2.0" or not isinstance(lock.get("stages"), Mapping):
            raise tc.UsageError(f"{source.name} is not a dvc.lock: expected 'schema: \"2.0\"' and 'stages', found schema {schema!r}.")
        return list(events_of(lock["stages"], source.name))


def events_of(stages: Mapping[str, Any], file: str) -> Iterator[Mapping[str, Any]]:
    """Yield an OpenLineage event for each stage in `dvc.lock`, in file order. Raises UsageError, which names `file`, if a stage is malformed."""
    for name, stage in stages.items():
        if not isinstance(stage, Mapping):
            raise tc.UsageError(f"{file}: stage '{name}': expected a mapping with cmd, deps and outs, found {type(stage).__name__}.")
        inputs, outputs = (_datasets(stage, key, f"{file}: stage '{name}'") for key in ("deps", "outs"))
        facets = {
            "dvc_stage": {
                "_producer": _PRODUCER,
                "_schemaURL": "urn:tracecore:evidence:dvc_stage:1",
                "command": stage.get("cmd"),
                "params": _plain(stage.get("params") or {}),
            }
        }
        content = {"stage": str(name), "command": _plain(stage.get("cmd")), "params": facets["dvc_stage"]["params"], "in": inputs, "out": outputs}
        yield {
            "eventType": "COMPLETE",
            "eventTime": _EPOCH,
            "producer": _PRODUCER,
            "schemaURL": _SCHEMA,
            # Derived from the content: the same stage in another lock file is the same run.
            "run": {"runId": str(uuid.uuid5(_RUNS, jcs(content).decode())), "facets": facets},
            "job": {
                "namespace": _NAMESPACE,
                "name": str(name),
                "facets": {"documentation": {"_producer": _PRODUCER, "_schemaURL": _DOCUMENTATION, "description": f"DVC stage {name}"}},
            },
            "inputs": inputs,
            "outputs": outputs,
        }


def _datasets(stage: Mapping[str, Any], key: str, where: str) -> list[dict[str, Any]]:
    listed = stage.get(key) or []
    if not isinstance(listed, list):
        raise tc.UsageError(f"{where}: expected a list as '{key}', found {listed!r:.80}.")
    return [_dataset(entry, where) for entry in listed]


def _dataset(entry: Any, where: str) -> dict[str, Any]:
    """Return the OpenLineage dataset of an entry in `deps` or `outs` of a DVC stage; it has a version only if the entry has a hash."""
    if not isinstance(entry, Mapping) or not isinstance(entry.get("path"), str):
        raise tc.UsageError(f"{where}: expected a path in each of deps and outs, found {entry!r}.")
    found = next(((name, entry[name]) for name in _HASHES if entry.get(name)), None)
    version = {} if found is None else {"version": {"_producer": _PRODUCER, "_schemaURL": _VERSION, "datasetVersion": f"{found[0]}:{found[1]}"}}
    return {"namespace": _NAMESPACE, "name": entry["path"], "facets": version}


def _plain(value: Any) -> Any:
    """Return a value of a YAML file as JSON; keys, dates and integers of at least 2^53 become strings."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return str(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)
