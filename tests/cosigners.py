"""Three people whose keys seal builds together, a stranger, and what they do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tracecore_lineage import Record
from tracecore_lineage.crypto.keys import PrivateKey
from tracecore_lineage.seal.key_events import draft_policy, set_policy
from tracecore_lineage.trace.show import show

__all__ = ["ADA", "BO", "CY", "STRANGER", "files", "found", "pinned", "policy", "signatures"]

ADA, BO, CY = (PrivateKey.generate() for _ in range(3))
STRANGER = PrivateKey.generate()


def policy(record: Record, threshold: int, *signers: PrivateKey, sign: tuple[PrivateKey, ...] = ()) -> bool:
    return set_policy(record.recorder, draft_policy(record.recorder, threshold, [each.public for each in signers]), sign)


def found(record: Record, **more: Any) -> list[tuple[str, str, str]]:
    """What of a verification concerns keys and signatures; these artifacts have no bytes."""
    failures = record.verify("build/demo", **more)["failures"]
    return [(each["what"], each["expected"], each["found"]) for each in failures if each["ref"].startswith(("build/", "event/"))]


def signatures(record: Record) -> dict[str, Any]:
    answer: dict[str, Any] = record.query(show, "build/demo", workspace=record.workspace)["signatures"]
    return answer


def files(folder: Path, **keys: PrivateKey) -> None:
    for name, each in keys.items():
        (folder / f"{name}.pem").write_bytes(each.pem())
        (folder / f"{name}.pub").write_text(each.public.pem, encoding="ascii")


def pinned(folder: Path, *names: str) -> list[Path]:
    return [folder / f"{name}.pub" for name in names]
