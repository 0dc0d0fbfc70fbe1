"""Built-in checks: Great Expectations suites over one table, run in memory on only the columns they name, and `parity`."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from threading import Lock
from typing import TYPE_CHECKING, Any, cast

from tracecore.check import Check, CheckContext, CheckResult
from tracecore.errors import UsageError
from tracecore_schemas.facets import PARITY_FACET
from tracecore_schemas.kinds import Severity
from tracecore_schemas.run import ExpectationOutcome

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.dataset as ds

__all__ = ["ParityCheck", "SuiteCheck", "validate"]

_COLUMN_KEYS = ("column", "column_A", "column_B")
_SHOWN = 5
_ONE_AT_A_TIME = Lock()  # Great Expectations' objects are shared by all checks of a process, as are its loggers


class SuiteCheck(Check):
    """A Great Expectations suite over one table; `expectations` are `{"type": "expect_…", "kwargs": {"column": "frame_id"}}`."""

    def __init__(
        self, name: str, expectations: Sequence[Mapping[str, Any]], *, description: str = "", severity: Severity = Severity.BLOCKING
    ) -> None:
        self.name = name
        self.expectations = tuple(expectations)
        self.description = description
        self.severity = severity

    def run(self, context: CheckContext) -> CheckResult:
        """Return the result of the suite's expectations on the table that the check judges; imports Great Expectations (3 s, 250 MB)."""
        return validate(self.name, self.expectations, context.read())


class ParityCheck(Check):
    """Compare a model's recorded differences with their tolerances; a model without the parity facet fails."""

    name = "parity"
    description = "The model answers as the one it was made from, on recorded frames."

    def run(self, context: CheckContext) -> CheckResult:
        """Return the result: passed if the model's recorded differences from its original are in tolerance; raises UsageError if given parameters."""
        if context.params:
            raise UsageError("The check 'parity' takes no settings but 'blocking': tolerances are parameters of the stage, such as tolerance_px.")
        facet = cast("Mapping[str, Any] | None", context.target.facets.get(PARITY_FACET.name))
        if facet is None:
            return CheckResult(success=False, message=f"The model says nothing of its parity: no facet {PARITY_FACET.name}.")
        from tracecore.parity import judge

        return judge(facet)


def validate(name: str, expectations: Sequence[Mapping[str, Any]], table: Any) -> CheckResult:
    """Return the result of the Great Expectations suite `name` on a `pyarrow.Table` or `pyarrow.dataset.Dataset`.

    The result is a success if every expectation holds; one about a missing column fails. Raises UsageError if `table` is of neither type.
    """
    import pyarrow as pa
    import pyarrow.dataset as ds

    if not isinstance(table, ds.Dataset | pa.Table):
        raise UsageError(f"The check '{name}' is a suite over a table, but the output is a file or directory.")
    columns = {column for expectation in expectations for column in _columns(expectation)}
    present = [column for column in table.schema.names if column in columns]
    frame = _frame(table, present)
    runnable = [expectation for expectation in expectations if set(_columns(expectation)) <= set(present)]
    results = iter(_run(name, runnable, frame))
    outcomes = tuple(
        next(results) if set(_columns(expectation)) <= set(present) else _missing(expectation, set(present)) for expectation in expectations
    )
    failed = [outcome for outcome in outcomes if not outcome.success]
    rows = f"{len(frame):,} row{'' if len(frame) == 1 else 's'}"
    message = _message(failed) if failed else f"All {len(outcomes)} expectations hold over {rows}." if len(outcomes) > 1 else f"It holds over {rows}."
    return CheckResult(success=not failed, message=message, outcomes=outcomes, details={"rows": len(frame), "failed": len(failed)})


def _columns(expectation: Mapping[str, Any]) -> list[str]:
    """Return the names of the columns that a Great Expectations expectation refers to."""
    kwargs = expectation["kwargs"]
    return [kwargs[key] for key in _COLUMN_KEYS if key in kwargs] + list(kwargs.get("column_list", ()))


def _missing(expectation: Mapping[str, Any], present: set[str]) -> ExpectationOutcome:
    absent = next(column for column in _columns(expectation) if column not in present)
    return ExpectationOutcome(expectation["type"], success=False, column=absent, expected=_expected(expectation), actual="no such column")


def _expected(expectation: Mapping[str, Any]) -> str:
    """Return the arguments (`kwargs`) of a Great Expectations expectation, except `column`, as JSON text."""
    return json.dumps({key: value for key, value in expectation["kwargs"].items() if key != "column"}, sort_keys=True)


def _frame(table: ds.Dataset | pa.Table, columns: Sequence[str]) -> pd.DataFrame:
    """Return the named columns as a DataFrame: integers and booleans with nulls get nullable types, texts the type `object`."""
    import pandas as pd
    import pyarrow as pa
    import pyarrow.dataset as ds

    whole = {
        pa.int8(): pd.Int8Dtype(),
        pa.int16(): pd.Int16Dtype(),
        pa.int32(): pd.Int32Dtype(),
        pa.int64(): pd.Int64Dtype(),
        pa.bool_(): pd.BooleanDtype(),
    }
    if not columns:
        return pd.DataFrame(index=pd.RangeIndex(table.count_rows() if isinstance(table, ds.Dataset) else table.num_rows))
    read = table.to_table(columns=list(columns)) if isinstance(table, ds.Dataset) else table.select(list(columns))
    frame: pd.DataFrame = read.to_pandas(split_blocks=True, integer_object_nulls=True)
    for field in read.schema:
        if field.type in whole and read.column(field.name).null_count:
            frame[field.name] = frame[field.name].astype(whole[field.type])
        elif pa.types.is_string(field.type):
            frame[field.name] = frame[field.name].astype(object).where(frame[field.name].notna(), None)
    return frame


@contextmanager
def _quiet() -> Iterator[None]:
    """Context manager that suppresses Great Expectations' warnings, log messages and telemetry."""
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    loggers = [logging.getLogger(each) for each in ("great_expectations", "great_expectations.data_context.types.base")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for each, level in zip(loggers, levels, strict=True):
                each.setLevel(level)


def _run(name: str, expectations: Sequence[Mapping[str, Any]], frame: pd.DataFrame) -> list[ExpectationOutcome]:
    """Return the outcome of each expectation of the suite `name`, in order, on a DataFrame that has all columns that they need."""
    if not expectations:
        return []
    import pandas as pd

    with _ONE_AT_A_TIME, _quiet():
        try:
            import great_expectations as gx
        except ImportError as error:
            raise UsageError('Check suites need Great Expectations: pip install "tracecore[dagster]".') from error
        batch = _whole_table().get_batch({"dataframe": frame})
        suite = gx.ExpectationSuite(name=name)
        for number, each in enumerate(expectations):
            suite.add_expectation(_expectation(gx, name, each, number))
        answer = batch.validate(suite, result_format={"result_format": "BASIC", "partial_unexpected_count": _SHOWN})
        _whole_table().get_batch({"dataframe": pd.DataFrame()})  # lets go of the table
    by_place = {result.expectation_config.meta["place"]: result for result in answer.results}
    return [
        ExpectationOutcome(each["type"], bool(result.success), each["kwargs"].get("column"), _expected(each), _actual(result))
        for each, result in ((each, by_place[number]) for number, each in enumerate(expectations))
    ]


@cache
def _whole_table() -> Any:
    """Return the Great Expectations batch definition for whole DataFrames; cached for the process, since creating it is slow."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import ProgressBarsConfig

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context.data_sources.add_pandas("memory").add_dataframe_asset("table").add_batch_definition_whole_dataframe("whole")


def _expectation(gx: Any, name: str, each: Mapping[str, Any], number: int) -> Any:
    """Return an expectation as a Great Expectations object; its `meta` has `number` as `place`, to order the results of the suite `name`."""
    try:
        class_name = "".join(part.capitalize() for part in each["type"].split("_"))
        return gx.expectations.core.__dict__[class_name](**each["kwargs"], meta={"place": number})
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(f"Check '{name}' is not a suite that Great Expectations understands: {each['type']} {each['kwargs']}.") from error


def _actual(result: Any) -> str | None:
    """Return a text of what an expectation found: an exception, the observed value, or its unexpected values; None if it has none of these."""
    raised = _raised(result.exception_info)
    if raised is not None:
        return f"could not be judged: {raised}"
    found = result.result or {}
    if "observed_value" in found:
        return str(found["observed_value"])
    if not found.get("unexpected_count"):
        return None
    first = ", ".join(_shown(value) for value in dict.fromkeys(found.get("partial_unexpected_list", [])))
    return f"{found['unexpected_count']:,} of {found['element_count']:,} values are not as expected" + (f": {first}" if first else "")


def _raised(info: Any) -> str | None:
    """Return the message of the first exception in a Great Expectations `exception_info`, or None if evaluating the expectation raised none."""
    if not isinstance(info, Mapping):
        return None
    each: Mapping[str, Any] | None = next(
        (part for part in (info, *info.values()) if isinstance(part, Mapping) and part.get("raised_exception")), None
    )
    return None if each is None else " ".join(str(each.get("exception_message")).split())


def _shown(value: Any) -> str:
    """Return a value or tuple of values as text; numpy scalars are shown without their type name."""
    if isinstance(value, tuple):
        return f"({', '.join(_shown(each) for each in value)})"
    return str(value.item() if hasattr(value, "item") else value)


def _message(failed: Sequence[ExpectationOutcome]) -> str:
    """Return a check's message: the first failed expectation in words, and the number of further failed ones."""
    first = failed[0]
    of = f" of {first.column}" if first.column else ""
    asked = "" if first.expected in {None, "{}"} else f" (expected {first.expected})"
    more = f" {len(failed) - 1} more failed." if len(failed) > 1 else ""
    return f"{first.assertion}{of}: {first.actual or 'it does not hold'}{asked}.{more}"
