"""Notifications of failed checks: a Dagster sensor over ended runs that sends messages with Apprise (chat, mail, webhooks)."""

# No `from __future__ import annotations` here: Dagster reads the annotations of sensors at run time.

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg

from tracecore.errors import UsageError

__all__ = ["FailedCheck", "failed_checks", "failed_checks_sensor", "notify"]

_SECONDS = 30
_RUNS_PER_TICK = 25
_SHOWN = 20
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


@dataclass(frozen=True, slots=True)
class FailedCheck:
    """A failed asset check; `asset` is the key of the checked asset, its parts joined by `/`."""

    asset: str
    check: str
    blocking: bool
    message: str


def failed_checks(instance: dg.DagsterInstance, run_id: str) -> list[FailedCheck]:
    """Return the asset checks that failed in a Dagster run: blocking checks first, then sorted by asset and check name."""
    records = instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION).records
    found = []
    for record in records:
        event = record.event_log_entry.dagster_event
        assert event is not None, "the records are Dagster events of one type"
        judged = event.asset_check_evaluation_data
        if not judged.passed:
            blocking = judged.severity is dg.AssetCheckSeverity.ERROR
            found.append(FailedCheck(judged.asset_key.to_user_string(), judged.check_name, blocking, judged.description or "it gave no reason"))
    return sorted(found, key=lambda each: (not each.blocking, each.asset, each.check))


def notify(urls: Sequence[str], build: str, failed: Sequence[FailedCheck]) -> None:
    """Send a message about the failed checks of a run, titled with `build`, to Apprise URLs (`slack://…`, `json://host/path`).

    Raises UsageError if Apprise is not installed, a URL is not valid, or a target could not be reached.
    """
    try:
        import apprise
    except ImportError:
        raise UsageError('TRACECORE_NOTIFY is set, but notifications need Apprise: pip install "tracecore[notify]".') from None
    messenger = apprise.Apprise()
    # The message does not quote the URL, which usually contains a password.
    if wrong := [place for place, url in enumerate(urls, start=1) if not messenger.add(url)]:
        raise UsageError(f"Entry {wrong[0]} of TRACECORE_NOTIFY is not a valid Apprise URL: expected one such as json://host/path or mailto://….")
    title = f"tracecore: {len(failed)} check{'s' if len(failed) > 1 else ''} failed in {build}"
    lines = [f"{'blocking' if each.blocking else 'warning'}: {each.check} of {each.asset}: {each.message}" for each in failed[:_SHOWN]]
    if len(failed) > _SHOWN:
        lines.append(f"… and {len(failed) - _SHOWN} more; the Dagster page lists them all")
    if not messenger.notify(title=title, body="\n".join(lines), notify_type=apprise.NotifyType.WARNING):
        raise UsageError(f"A target of TRACECORE_NOTIFY could not be notified of {build}: see the log above; it is tried again.")


def failed_checks_sensor(urls: Sequence[str]) -> dg.SensorDefinition:
    """Return the Dagster sensor that notifies Apprise URLs of failed checks in ended runs; without URLs its default status is stopped."""

    @dg.sensor(
        name="failed_checks",
        minimum_interval_seconds=_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING if urls else dg.DefaultSensorStatus.STOPPED,
        description="Notifies the targets of TRACECORE_NOTIFY of failed checks in ended runs.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        if not urls:
            return dg.SkipReason("TRACECORE_NOTIFY names no target.")
        if context.cursor is None:
            # Runs that ended before the sensor started are not reported.
            context.update_cursor(_cursor(datetime.now(UTC).timestamp(), []))
            return dg.SkipReason("Listening from now on.")
        after, done = json.loads(context.cursor)
        notified = 0
        # Inclusive, so that no run is lost if several end at the same moment; `done` prevents a second message.
        wanted = dg.RunsFilter(statuses=_ENDED, updated_after=datetime.fromtimestamp(after - 1e-3, UTC))
        for record in context.instance.get_run_records(wanted, limit=_RUNS_PER_TICK, order_by="update_timestamp", ascending=True):
            run, ended = record.dagster_run, record.update_timestamp.timestamp()
            if run.run_id in done:
                continue
            if failed := failed_checks(context.instance, run.run_id):
                notify(urls, f"run {run.run_id[:8]} of {run.job_name}", failed)
                notified += 1
            # After each run, so that an unreachable target delays its own run only, and no run is reported twice.
            done = [*(done if ended - after < 1 else []), run.run_id]
            after = max(after, ended)
            context.update_cursor(_cursor(after, done))
        return dg.SkipReason(f"Runs with failed checks that were reported: {notified}." if notified else "No run with a failed check ended.")

    return sensor


def _cursor(after: float, done: Sequence[str]) -> str:
    return json.dumps([after, list(done)])
