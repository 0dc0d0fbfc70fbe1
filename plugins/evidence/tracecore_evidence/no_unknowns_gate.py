"""The gate `no-unknowns`: no unknowns except those that the program allows."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any

import tracecore as tc

__all__ = ["NoUnknowns"]

_SHOWN = 3


class NoUnknowns(tc.Gate):
    """Block a release while the trace has unknowns, except those that the program allows by name.

    In a program: `{gate: no-unknowns, except: [labeler, "not *"]}`, with `*` and `?` as in file names. The built-in gate `{unknowns: none}` has no
    exceptions.
    """

    name = "no-unknowns"
    description = "No fact is unknown but those that the program excepts by name."

    def check_requirement(self, requirement: Mapping[str, Any]) -> None:
        """Raise UsageError if the gate's requirement has a key other than `except`, or the value of `except` is not a list of names."""
        _exceptions(requirement)

    def evaluate(self, evidence: tc.GateEvidence, requirement: Mapping[str, Any]) -> tc.GateResult:
        """Return a GateResult, passed if every fact recorded as not known matches an exception; `measured` counts the facts that match none."""
        excepted = _exceptions(requirement)
        counted = [(ref, unknown) for ref, unknown in evidence.unknowns if not any(fnmatchcase(unknown.what, name) for name in excepted)]
        left_out = len(evidence.unknowns) - len(counted)
        words = ", ".join(f"{unknown.what} ({ref})" for ref, unknown in counted[:_SHOWN])
        more = f" and {len(counted) - _SHOWN} more" if len(counted) > _SHOWN else ""
        besides = f"; {left_out} excepted" if left_out else ""
        message = f"unknown: {words}{more}{besides}" if counted else f"nothing is unknown{besides}"
        return tc.GateResult(passed=not counted, measured=len(counted), required={"most": 0, "except": list(excepted)}, message=message)


def _exceptions(requirement: Mapping[str, Any]) -> tuple[str, ...]:
    other = sorted(set(requirement) - {"except"})
    if other:
        raise tc.UsageError(f"The gate 'no-unknowns' has no key '{other[0]}': it has 'except', a list of names.")
    names = requirement.get("except", [])
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise tc.UsageError(f"The gate 'no-unknowns' expects a list of names as 'except', found {names!r}.")
    return tuple(names)
