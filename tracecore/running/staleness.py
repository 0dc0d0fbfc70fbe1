"""The staleness key: what decides whether an asset must be made again. The record decides it, not Dagster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tracecore.plugins.host import RegisteredStage
from tracecore.stage import SourceFile
from tracecore_schemas.canonical import DATA_FORMAT, JSON, digest_json

__all__ = ["adoption_key", "staleness_key"]


def staleness_key(
    job: str,
    stage: RegisteredStage,
    params: Mapping[str, JSON],
    seed: int,
    inputs: Mapping[str, str],
    files: Mapping[str, Sequence[SourceFile]],
    not_taken: Sequence[str] = (),
) -> str:
    """Return the key of one execution of a stage: two with the same key and the same dependencies make the same.

    Code is not part of it: a run records what it loaded, and one with this key is used again where all of that is as it was. The program's file, the
    paths of files and the thread count stay out too.

    Args:
        job: `<program>.<asset>`: what is made is named after it, and under another name it is another artifact.
        params: effective parameters, file paths left out.
        inputs: digest by port, in the order the stage declares its ports.
        not_taken: what the folders list besides, which the record names.
    """
    besides: dict[str, JSON] = {"not_taken": list(not_taken)} if not_taken else {}
    return digest_json(
        {
            "v": 1,
            "type": "tracecore.key",
            "job": job,
            "stage": stage.qualified_name,
            "class": f"{stage.stage_class.__module__}:{stage.stage_class.__qualname__}",
            "data_format": DATA_FORMAT,
            "params": params,
            "seed": str(seed),
            "inputs": [[port, digest] for port, digest in inputs.items()],
            "files": [[port, file.name, file.digest] for port, found in files.items() for file in found],
            **besides,
        }
    )


def adoption_key(
    kind: str, name: str, digest: str, facets: Mapping[str, JSON], unknowns: Sequence[tuple[str, str]], made_from: str | None = None
) -> str:
    """Return the key of the run that records a file as an artifact, so that the same file with the same description is recorded once.

    Args:
        made_from: whole ref of the artifact that it is a member of; None for a file from outside.
    """
    part: dict[str, JSON] = {} if made_from is None else {"made_from": made_from}
    return digest_json(
        {
            **part,
            "v": 1,
            "type": "tracecore.adoption",
            "kind": kind,
            "name": name,
            "digest": digest,
            "facets": facets,
            "unknowns": [list(each) for each in unknowns],
        }
    )
