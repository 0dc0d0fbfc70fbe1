"""Directories of the store: members under the digest of a manifest, which lies beside them and says which of them differs."""

from __future__ import annotations

import json
from collections.abc import Mapping

from tracecore.errors import UsageProblem
from tracecore.gone import Gone
from tracecore.store.base import StoreFailure
from tracecore.store.manifest import directory_manifest
from tracecore.store.place import Place
from tracecore_schemas.canonical import digest_bytes, hex_of
from tracecore_schemas.run import Artifact

__all__ = ["directory_members", "manifest_beside", "verify_directory"]


def manifest_beside(location: str) -> str:
    """Give where the manifest of a directory lies."""
    return f"{location}.manifest.json"


def directory_members(artifact: Artifact, place: Place) -> list[tuple[str, int, str]]:
    """Give (path, size, SHA-256 hex) of a kept directory's members from the manifest beside it.

    Raises:
        UsageProblem: there is none, or it is another than the recorded one.
    """
    beside = manifest_beside(str(artifact.location))
    try:
        manifest = place.read(beside)
    except FileNotFoundError:
        manifest = b""
    if digest_bytes(manifest) != artifact.digest:
        raise UsageProblem(f"What {artifact.ref} holds can't be told: its manifest '{beside}' is missing or another: run 'tracecore verify'.")
    return [(each["path"], each["size"], each["sha256"]) for each in json.loads(manifest)["files"]]


def verify_directory(artifact: Artifact, place: Place, gone: Mapping[str, Gone]) -> list[StoreFailure]:
    """Compare a directory with its digest; the manifest beside it, if it is the recorded one, says which file differs.

    Of erased members the recorded size and digest are taken: the digest must still come out, so that no other member hides behind them.
    """
    where = str(artifact.location)
    erased = {path.removeprefix(f"{where}/"): each for path, each in gone.items() if path.startswith(f"{where}/")}
    if not place.is_folder(where) and not erased:
        return [StoreFailure(where, artifact.digest, "missing")]
    try:
        found = {path: (size, digest) for path, size, digest in place.scan(where)}
    except UsageProblem as error:
        return [StoreFailure(where, "ordinary files only", str(error))]
    back = [StoreFailure(f"{where}/{path}", "nothing: it was erased", "a file") for path in sorted(erased.keys() & found.keys())]
    found |= {path: (each.size_bytes, hex_of(each.digest)) for path, each in erased.items()}
    digest = digest_bytes(directory_manifest((path, *facts) for path, facts in found.items()))
    failures, excused = list(back), set(back)
    beside = manifest_beside(where)
    try:
        manifest: bytes | None = place.read(beside)
    except FileNotFoundError:
        manifest = None
    if manifest is None or digest_bytes(manifest) != artifact.digest:
        shown = "missing" if manifest is None else digest_bytes(manifest)
        failures.append(StoreFailure(beside, artifact.digest, shown))
    else:
        expected = {each["path"]: (each["size"], each["sha256"]) for each in json.loads(manifest)["files"]}
        failures += [
            StoreFailure(
                f"{where}/{path}",
                f"sha256:{expected[path][1]}" if path in expected else "no such file",
                f"sha256:{found[path][1]}" if path in found else "missing",
            )
            for path in sorted(expected.keys() | found.keys())
            if expected.get(path) != found.get(path)
        ]
    if digest != artifact.digest and all(failure.what == beside or failure in excused for failure in failures):
        failures.append(StoreFailure(where, artifact.digest, digest))
    return failures
