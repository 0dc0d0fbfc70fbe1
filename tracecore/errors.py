"""The errors a user can cause, each with the exit code that the CLI answers with."""

from __future__ import annotations

__all__ = ["AnswerIsNo", "RunFailed", "TracecoreError", "UsageProblem"]


class TracecoreError(Exception):
    """Any error whose message is one clear sentence for the user; `exit_code` is the CLI's answer."""

    exit_code = 2


class UsageProblem(TracecoreError):
    """Bad input or usage: a missing file, an unknown name, a program that can't be (exit 2)."""


class AnswerIsNo(TracecoreError):
    """The answer to what was asked is no: a gate failed, a check failed, a verification failed (exit 1)."""

    exit_code = 1


class RunFailed(TracecoreError):
    """A stage ran and failed (exit 3)."""

    exit_code = 3
