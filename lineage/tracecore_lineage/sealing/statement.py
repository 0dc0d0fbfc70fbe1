"""What a build's seal says: the content that makes it this build, and the in-toto Statement around it.

Content is what decides whether two builds are the same: program, artifacts, gates, waivers and approver. Where and when it was sealed stands beside
it in the statement and is signed, but is no content. See docs/formats/build.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from tracecore_schemas.build import BUILD_PREDICATE, SealRequest
from tracecore_schemas.canonical import digest_json
from tracecore_schemas.refs import parse_ref

__all__ = ["STATEMENT", "Place", "content_digest", "content_of", "differences", "predicate_content", "statement"]

STATEMENT = "https://in-toto.io/Statement/v1"
_CONTENT = ("program", "artifacts", "gates", "waivers", "approver")
_GATE_CONTENT = ("name", "passed", "waived", "measured", "required")

Place = Mapping[str, Any]
"""Where and when a build was sealed: `ledger`, `checkpoint`, `sealed_at`, `key`, `run`."""


def content_of(request: SealRequest, pseudonym: Callable[[str], str]) -> dict[str, Any]:
    """Give what a build is to hold, as JSON, people as pseudonyms; artifacts sorted by role, gates and waivers as the program has them.

    Args:
        request: what is asked to be sealed.
        pseudonym: gives the pseudonym of a person.
    """
    return {
        "program": request.program.ref,
        "artifacts": sorted(
            ({"role": role, "ref": artifact.ref, "run": run} for role, artifact, run in request.artifacts), key=lambda entry: entry["role"]
        ),
        "gates": [
            {
                "name": gate.name,
                "passed": gate.passed,
                "waived": gate.waived,
                "measured": gate.measured,
                "required": gate.required,
                "message": gate.message,
            }
            for gate in request.gates
        ],
        "waivers": [
            {"gate": waiver.gate, "reason": waiver.reason, "until": waiver.until.isoformat(), "by": pseudonym(waiver.by)}
            for waiver in request.waivers
        ],
        "approver": None if request.approver is None else pseudonym(request.approver),
    }


def content_digest(content: Mapping[str, Any]) -> str:
    """Give the digest of a build's content: versions by role, whichever run made them, and gates without the sentence that explains their outcome."""
    return digest_json(_bare(content))


def predicate_content(predicate: Mapping[str, Any]) -> dict[str, Any]:
    """Give the content out of a statement's predicate."""
    return {key: predicate[key] for key in _CONTENT}


def statement(name: str, content: Mapping[str, Any], place: Place) -> dict[str, Any]:
    """Write the in-toto Statement of a build.

    Args:
        name: the build's.
        content: from `content_of`.
        place: where and when it is sealed.
    """
    subjects = {ref: parse_ref(ref) for ref in [content["program"], *(entry["ref"] for entry in content["artifacts"])]}
    return {
        "_type": STATEMENT,
        "subject": [{"name": ref.unversioned, "digest": {"sha256": (ref.version or "").removeprefix("sha256:")}} for ref in subjects.values()],
        "predicateType": BUILD_PREDICATE,
        "predicate": {"type": BUILD_PREDICATE, "name": name, **content, "content_digest": content_digest(content), **place},
    }


def differences(sealed: Mapping[str, Any], asked: Mapping[str, Any]) -> list[str]:
    """Name what differs between the content that is sealed under a name and what was asked to be, a few words each."""
    old, new = _bare(sealed), _bare(asked)
    found: list[str] = []
    if old["program"] != new["program"]:
        found.append("the program")
    before = {entry["role"]: entry for entry in old["artifacts"]}
    after = {entry["role"]: entry for entry in new["artifacts"]}
    changed = [role for role in sorted(before.keys() | after.keys()) if before.get(role) != after.get(role)]
    if changed:
        found.append(f"the artifact{'s' if len(changed) > 1 else ''} {', '.join(changed)}")
    found += [words for key, words in (("gates", "the gates"), ("waivers", "the waivers"), ("approver", "the approver")) if old[key] != new[key]]
    return found


def _bare(content: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **{key: content[key] for key in _CONTENT},
        "artifacts": [{"role": entry["role"], "ref": entry["ref"]} for entry in content["artifacts"]],
        "gates": [{key: gate[key] for key in _GATE_CONTENT} for gate in content["gates"]],
    }
