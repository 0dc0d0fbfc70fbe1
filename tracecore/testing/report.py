"""What the conformance suite found: one finding a rule and subject, and whether the plugin conforms."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

__all__ = ["RULES", "Finding", "Report", "Result", "findings"]

RULES = {
    "loads": "it is installed and brings what its hooks promise",
    "alone": "it can be imported in a fresh interpreter, without any other plugin",
    "imports": "none of its sources imports another plugin or the record",
    "names": "stages, exporters and importers are named in kebab-case, checks and gates in kebab-case or snake_case, ports in snake_case",
    "kind": "a stage makes what its kind makes",
    "docs": "every stage, parameter, port, check and gate has a description, the distribution a README",
    "params": "Params are frozen, refuse unknown keys, have valid defaults, and survive pickle and JSON",
    "runs": "it runs on sample inputs in the real executor",
    "inputs": "it reads nothing but its declared inputs",
    "outputs": "it writes nothing but its declared outputs",
    "written": "it writes every output it declares",
    "seed": "the same seed gives the same outputs in another process and workspace",
    "state": "it leaves no global state changed",
}
"""Every rule and what it asks, in the order they are looked at."""


class Result(StrEnum):
    """What came of one rule: `not run` says that nothing was found out, and why."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_RUN = "not run"


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule looked at on one subject.

    Attributes:
        rule: a name of `RULES`.
        subject: a stage by `kind name`, or `plugin` for what concerns all of it.
        result: passed, failed or not run.
        message: one sentence that says what is wrong, or why it was not run; empty where it passed.
    """

    rule: str
    subject: str
    result: Result
    message: str = ""


def findings(rule: str, subject: str, problems: Iterable[str]) -> list[Finding]:
    """Give one finding a problem, or the one that says there is none."""
    listed = list(dict.fromkeys(problems))
    return [Finding(rule, subject, Result.FAILED, problem) for problem in listed] or [Finding(rule, subject, Result.PASSED)]


@dataclass(frozen=True, slots=True)
class Report:
    """All that was found about one plugin.

    Attributes:
        plugin: its entry point.
        distribution: what brings it; empty where it is not installed.
        version: of the distribution.
        findings: in the order of the rules.
    """

    plugin: str
    distribution: str
    version: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Whether no rule failed; what was not run counts as neither."""
        return not self.failures

    @property
    def failures(self) -> tuple[Finding, ...]:
        """What is wrong."""
        return tuple(each for each in self.findings if each.result is Result.FAILED)

    @property
    def not_run(self) -> tuple[Finding, ...]:
        """What could not be found out."""
        return tuple(each for each in self.findings if each.result is Result.NOT_RUN)

    @property
    def subjects(self) -> tuple[str, ...]:
        """The plugin itself and its stages."""
        return tuple(dict.fromkeys(each.subject for each in self.findings))

    def of(self, subject: str) -> Report:
        """Give the part of the report about one subject."""
        return Report(self.plugin, self.distribution, self.version, tuple(each for each in self.findings if each.subject == subject))

    def document(self) -> dict[str, Any]:
        """Give the report as JSON: what `tracecore plugins check --json` prints."""
        return {
            "plugin": self.plugin,
            "distribution": self.distribution,
            "version": self.version,
            "ok": self.ok,
            "findings": [
                {"rule": each.rule, "subject": each.subject, "result": each.result.value, "message": each.message} for each in self.findings
            ],
        }

    def __str__(self) -> str:
        """Say in lines what is wrong: what a failed test shows."""
        if self.ok:
            return f"The plugin '{self.plugin}' conforms."
        lines = [f"  {each.subject}: {each.rule}: {each.message}" for each in self.failures]
        return "\n".join([f"The plugin '{self.plugin}' does not conform:", *lines])
