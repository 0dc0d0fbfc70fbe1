"""The errors a user can cause, each with the exit code that the CLI answers with."""

from __future__ import annotations

__all__ = ["AnswerIsNo", "RunFailed", "TracecoreError", "UsageProblem", "again", "class_name"]


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


_BY_NAME = {each.__name__: each for each in (TracecoreError, UsageProblem, AnswerIsNo, RunFailed)}


def class_name(error: BaseException) -> str:
    """Return the name of the class of this module that an error is of; empty where it is of none.

    A build and its workers tell each other errors by it: a subclass, which may need more than a message, is told as what it is a case of.
    """
    return next((each.__name__ for each in type(error).__mro__ if each in _BY_NAME.values()), "")


def again(name: str, message: str) -> TracecoreError:
    """Make the error that another process told by its `class_name` and message."""
    return _BY_NAME[name](message)
