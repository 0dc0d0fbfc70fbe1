"""Verification of `workspace.json` and the key files, each of which has one valid byte form for its content.

Bytes are compared: a changed newline makes no difference to a parser, but is a change of the record.
"""

from __future__ import annotations

from pathlib import Path

from tracecore.errors import UsageError
from tracecore.workspace import Workspace, written
from tracecore_lineage.crypto.keys import PrivateKey, readable_keys
from tracecore_lineage.crypto.notes import Checkpoint
from tracecore_lineage.model.findings import Findings
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_schemas.strict_json import StrictJSONError, loads_strict

__all__ = ["check_own_files"]

_CONFIG = "workspace.json"


def check_own_files(workspace: Workspace, head: Checkpoint | None, findings: Findings) -> None:
    """Report changes of the workspace's own files; `head` is the ledger's checkpoint, None if it can't be read."""
    _check_config(workspace, head, findings)
    kept = list(readable_keys(workspace.keys))
    for path in sorted(workspace.keys.glob("*.pub")):
        key = next((key for key in kept if key.file_name == path.stem), None)
        _same_bytes(f"keys/{path.name}", "the public key whose id is its name", path, None if key is None else key.pem.encode(), findings)
    for path in sorted(workspace.keys.glob("*.pem")):
        _same_bytes(f"keys/{path.name}", "the private key whose id is its name", path, _private(path), findings)
    known = [f"{key.id}\n".encode() for key in kept]
    for name in ("active", "joining"):
        path = workspace.keys / name
        if path.is_file() and (found := path.read_bytes()) not in known:
            findings.fail(f"keys/{name}", "the key that signs", "the id of a key whose public part is kept here", _shown(found))


def _check_config(workspace: Workspace, head: Checkpoint | None, findings: Findings) -> None:
    data = (workspace.root / _CONFIG).read_bytes()
    try:
        expected = written(loads_strict(data))
    except (StrictJSONError, AttributeError) as error:
        findings.fail(_CONFIG, "what the workspace is", "JSON as 'tracecore init' writes it", error)
        return
    if data != expected:
        findings.fail(_CONFIG, "what the workspace is", _shown(expected), _shown(data))
    if head is not None:
        findings.equal(_CONFIG, "the workspace's name, which the ledger is signed under", head.origin, LedgerName.of(workspace).origin)


def _same_bytes(ref: str, what: str, path: Path, written: bytes | None, findings: Findings) -> None:
    """Report a file that differs from `written`, without showing its bytes; `written` is None if no valid key was found."""
    if written is None:
        findings.fail(ref, what, "an Ed25519 key in PEM form", "none that can be read, or another key")
    elif path.read_bytes() != written:
        findings.fail(ref, what, "the key in the one form in which it is written", "the same key in other bytes")


def _private(path: Path) -> bytes | None:
    try:
        key = PrivateKey.from_pem(path.read_bytes(), str(path))
    except (UsageError, OSError):
        return None
    return key.pem() if key.public.file_name == path.stem else None


def _shown(data: bytes) -> str:
    return repr(data[:200])[1:]
