"""Staleness keys: a recorded run with the same key and unchanged dependencies is reused."""

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
    """Return the staleness key of a stage's execution: a digest of its parameters and inputs. A run with the same key and code can be reused.

    Code is not part of the key, since runs record what they loaded; nor are the program file, file paths and the thread count.

    Args:
        job: `<program>.<asset>`, which names the outputs.
        params: effective parameters, without file paths.
        inputs: digest of each input artifact by port, in the order of declaration.
        not_taken: summaries of the files in the searched folders that no port accepts, which are recorded.
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
    """Return a digest of a file's name, bytes and metadata, to record the file only once; `made_from` is the ref of an input that contains it."""
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
