"""The frame around every Dagster step: interrupts the kernel understands, and failures that are one sentence."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dagster as dg
from dagster import DagsterExecutionInterruptedError

from tracecore.errors import RunFailed, TracecoreError
from tracecore.system.failures import reason_of

if TYPE_CHECKING:
    from tracecore_assets.session import Session

__all__ = ["guarded"]


@contextmanager
def guarded(context: dg.AssetExecutionContext, sessions: Callable[[dg.AssetExecutionContext], Session], *, retries: int = 0) -> Iterator[Session]:
    """Run the body of a step; what stops it is kept in the session and told to Dagster in one sentence.

    Args:
        context: of the step.
        sessions: gives the run's session.
        retries: how often Dagster tries the step again.
    """
    try:
        with _plain_interrupts():
            session = sessions(context)
            _refuse_after_failure(session)
            yield session
    except KeyboardInterrupt:
        sessions(context).interrupted = True
        raise DagsterExecutionInterruptedError from None
    except TracecoreError as error:
        last = not isinstance(error, RunFailed) or context.retry_number >= retries
        _keep(context, sessions, error, last=last)
        raise dg.Failure(str(error), allow_retries=not last) from error
    except dg.Failure:
        raise
    except Exception as error:
        _keep(context, sessions, RunFailed(f"Something unexpected happened in {context.op_handle.name}: {reason_of(error)}."), last=True)
        raise


def _refuse_after_failure(session: Session) -> None:
    if session.failure is not None:
        raise dg.Failure("Not started: the build had failed before.", allow_retries=False)


def _keep(context: dg.AssetExecutionContext, sessions: Callable[[dg.AssetExecutionContext], Session], error: TracecoreError, *, last: bool) -> None:
    if not last:
        return
    try:
        sessions(context).failure = error
    except TracecoreError:
        return  # there is no session: opening it is what failed


@contextmanager
def _plain_interrupts() -> Iterator[None]:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt: Dagster's own handlers wait, and a step may be long."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
