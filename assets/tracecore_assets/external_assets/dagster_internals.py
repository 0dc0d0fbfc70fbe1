"""The private parts of Dagster that recording needs; no other module imports them.

They are tested against the pinned minor version of Dagster (`tests/assets/test_dagster_internals.py`). Check them before changing the pin.
"""

from dagster._core.definitions.asset_checks.asset_check_evaluation import AssetCheckEvaluation, AssetCheckEvaluationPlanned
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus
from dagster._core.storage.event_log import EventLogStorage, SqliteEventLogStorage
from dagster._serdes import ConfigurableClassData

__all__ = [
    "AssetCheckEvaluation",
    "AssetCheckEvaluationPlanned",
    "AssetCheckExecutionRecordStatus",
    "ConfigurableClassData",
    "EventLogStorage",
    "SqliteEventLogStorage",
]
