"""Provenance of labels: labeler, time, tool and guideline; labelers are pseudonyms.

Personal names never enter the record. A file may give pseudonyms directly (`"labeler": "annotator-07"`), or map the names it uses to
pseudonyms in `info.labelers`. A value that looks like a name is left out and recorded as unknown, since it could not be removed from a ledger.
New pseudonyms are random for people, and derived from the seed for simulated labelers.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tracecore.errors import UsageError

__all__ = ["NOTHING_KNOWN", "Provenance", "checked_pseudonym", "is_pseudonym", "new_pseudonym", "provenance_of", "simulated_pseudonym", "zoned_time"]

# A pseudonym has a digit, or ends in random hex, and has nothing that names have: no capitals, spaces, dots or @.
_PSEUDONYM = re.compile(r"(?=[a-z0-9_-]*[0-9]|[a-z]+-[0-9a-f]{4,}$)[a-z0-9][a-z0-9_-]{2,63}")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Origin of a label, None where unknown; `name_left_out` means that the file has a name instead of a pseudonym."""

    labeler: str | None = None
    labeled_at: str | None = None
    tool: str | None = None
    guideline: str | None = None
    qa: str | None = None
    name_left_out: bool = False


NOTHING_KNOWN = Provenance()
"""Provenance of labels without any."""


def is_pseudonym(text: str) -> bool:
    """Whether a text has the form of a pseudonym (`labeler-3f9c`, `w17`), which a person's name lacks."""
    return _PSEUDONYM.fullmatch(text) is not None


def provenance_of(annotation: Mapping[str, Any], info: Mapping[str, Any]) -> Provenance:
    """Return an annotation's origin (labeler, time, tool, guideline, review). Time, tool and guideline come from the file's `info` if missing.

    `info.labelers` maps names in the file to pseudonyms. Raises ValueError for a wrong value; its message is a clause without a subject.
    """
    given = _text(annotation, "labeler")
    labelers = info.get("labelers")
    known = labelers if isinstance(labelers, dict) else {}
    labeler = str(known[given]) if given is not None and given in known else given
    if labeler is not None and not is_pseudonym(labeler):
        labeler = None
    labeled_at = _text(annotation, "labeled_at") or _text(info, "labeled_at")
    if labeled_at is not None and zoned_time(labeled_at) is None:
        raise ValueError(f"has a 'labeled_at' that is not an RFC 3339 time with a zone: {labeled_at!r}")
    return Provenance(
        labeler=labeler,
        labeled_at=labeled_at,
        tool=_text(annotation, "tool") or _text(info, "tool"),
        guideline=_text(annotation, "guideline") or _text(info, "guideline"),
        qa=_text(annotation, "qa"),
        name_left_out=given is not None and labeler is None,
    )


def _text(source: Mapping[str, Any], key: str) -> str | None:
    value = source.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError(f"has a '{key}' that is not text: {value!r}")  # noqa: TRY004  # caught with the others and named with its file
    return value


def zoned_time(text: str) -> datetime | None:
    """Return an RFC 3339 time with a zone; None if the text is not one."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo is not None else None


def new_pseudonym() -> str:
    """Return a new random pseudonym."""
    return f"labeler-{secrets.token_hex(4)}"


def simulated_pseudonym(seed: int, number: int) -> str:
    """Return the pseudonym of a simulated labeler, derived from seed and number."""
    return f"labeler-{hashlib.sha256(f'{seed} labeler {number}'.encode()).hexdigest()[:8]}"


def checked_pseudonym(text: str | None) -> str:
    """Return `text` if it is a pseudonym. Raises UsageError if it is None or could be a name; the message offers a new random pseudonym."""
    if text is None:
        raise UsageError(f"A pseudonym is missing: --as {new_pseudonym()} (this one is random and new; keep it).")
    if not is_pseudonym(text):
        raise UsageError(
            f"'{text}' could be a person's name, which must not enter the record: use a pseudonym like {new_pseudonym()} (random and new)."
        )
    return text
