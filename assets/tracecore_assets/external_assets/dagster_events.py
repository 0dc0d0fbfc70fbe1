"""Conversion of Dagster's events to plain values: the versions that a step read and made, and its checks."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from dagster import (
    AssetCheckKey,
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    BoolMetadataValue,
    DagsterEventType,
    EventRecordsFilter,
    FloatMetadataValue,
    IntMetadataValue,
    PathMetadataValue,
    TextMetadataValue,
    UrlMetadataValue,
)

from tracecore.system.failures import tellable
from tracecore_assets.external_assets.dagster_internals import AssetCheckExecutionRecordStatus
from tracecore_assets.external_assets.step_record import (
    CheckRecord,
    InputRecord,
    OutputRecord,
    StepRecord,
    check_id,
    external_namespace,
    partition_name,
)
from tracecore_schemas.canonical import JSON, MAX_EXACT_INTEGER
from tracecore_schemas.refs import RefError, external_ref, parse_ref

if TYPE_CHECKING:
    from dagster import EventLogEntry

    from tracecore_assets.external_assets.dagster_internals import AssetCheckEvaluation, AssetCheckEvaluationPlanned, EventLogStorage

__all__ = ["StepInputs", "check_of", "instant", "output_of", "raised_checks", "ref_of"]

_VERSION, _GIVEN, _CODE = "dagster/data_version", "dagster/data_version_is_user_provided", "dagster/code_version"
_READ, _POINTER, _NOWHERE = "dagster/input_data_version/", "dagster/input_event_pointer/", "NULL"
_PLAIN = (TextMetadataValue, IntMetadataValue, FloatMetadataValue, BoolMetadataValue, UrlMetadataValue, PathMetadataValue)
_WATCHED = 500


def instant(timestamp: float) -> str:
    """Return a Unix timestamp in seconds as ISO 8601 in UTC."""
    return datetime.fromtimestamp(timestamp, UTC).isoformat()


def ref_of(event: AssetMaterialization | AssetObservation) -> str | None:
    """Return the ref (`kind/name@digest`) of the program's artifact that an event is about; None for an asset made outside of tracecore."""
    found = event.metadata.get("ref")
    text = found.value if isinstance(found, TextMetadataValue) else None
    try:
        ref = parse_ref(text) if text else None
    except RefError:
        return None
    version = event.tags.get(_VERSION, "") if event.tags else ""
    return text if ref is not None and ref.is_artifact and ref.is_whole and version == f"sha256:{ref.version}" else None


def output_of(event: AssetMaterialization | AssetObservation, fallback: str) -> OutputRecord:
    """Return the asset version that an event reports as made or observed; `fallback` is the version if the event has none."""
    tags = event.tags or {}
    return OutputRecord(
        event.asset_key.to_user_string(),
        event.partition,
        tags.get(_VERSION) or fallback,
        # An observation always states the version itself.
        tags.get(_GIVEN) == "true" or (isinstance(event, AssetObservation) and _VERSION in tags),
        isinstance(event, AssetObservation),
        tags.get(_CODE),
        _plain_metadata(event.metadata),
    )


def _plain_metadata(metadata: Mapping[str, Any]) -> dict[str, JSON]:
    """Return Dagster metadata by name: only texts, numbers, booleans, URLs and paths. Numbers that JSON can't represent exactly become text."""
    found: dict[str, JSON] = {}
    for name, value in metadata.items():
        if isinstance(value, _PLAIN):
            plain = value.value
            inexact = (isinstance(plain, int) and abs(plain) > MAX_EXACT_INTEGER) or (isinstance(plain, float) and not math.isfinite(plain))
            found[name] = tellable(plain) if isinstance(plain, str) else str(plain) if inexact else plain
    return found


class StepInputs:
    """Finder of the exact versions that a step read, from the tags of its outputs and the observations that it logged."""

    def __init__(self, storage: EventLogStorage) -> None:
        self._storage = storage
        self._unknowns: dict[tuple[str, str], None] = {}

    def of(
        self, made: Iterable[AssetMaterialization], observed: Iterable[AssetObservation], started: float, ended: float
    ) -> tuple[list[InputRecord], list[tuple[str, str]]]:
        """Return (versions that a step read, (what, why) of each unknown fact about them). `started`, `ended`: the step's times, Unix seconds."""
        made = list(made)
        own = {each.asset_key.to_user_string() for each in made}
        exact: dict[tuple[str, str | None], InputRecord] = {}
        for observation in observed:
            if observation.asset_key.to_user_string() not in own:
                one = self._input_record(observation)
                exact[one.key, one.partition] = one
        logged = {key for key, _ in exact}
        found: dict[tuple[str, str | None, str | None, str], InputRecord] = {}
        for event in made:
            for key, version, pointer in _frozen_inputs(event.tags or {}):
                itself = key == event.asset_key.to_user_string()  # a partition may read an earlier one of its asset
                if key in logged or (key in own and not itself) or (itself and pointer is None):
                    continue
                frozen = self._event_at(key, pointer)
                for one in self._frozen_input(key, version, frozen, event.partition):
                    found[one.key, one.partition, one.ref, one.version] = one
                if not itself:
                    self._note_newer_versions(key, version, pointer, frozen, (started, ended))
        return [*exact.values(), *found.values()], list(self._unknowns)

    def _input_record(self, event: AssetMaterialization | AssetObservation) -> InputRecord:
        """Return the asset version that an event reports, as an input: an artifact of this workspace, or a version of an external asset."""
        ref, key = ref_of(event), event.asset_key.to_user_string()
        run = event.metadata.get("run")
        producer = str(run.value).removeprefix("run/") if ref is not None and run is not None else None
        version = (event.tags or {}).get(_VERSION)
        return InputRecord(key, ref, producer, event.partition, version) if version else InputRecord(key, ref, producer, event.partition)

    def _frozen_input(
        self, key: str, version: str, event: AssetMaterialization | AssetObservation | None, partition: str | None
    ) -> Iterator[InputRecord]:
        """Yield the input versions that Dagster fixed at a step's start. `event`: newest event of asset `key` at that time; None if it had none."""
        if event is None:
            yield InputRecord(key)  # never materialized nor observed: a gap
        elif event.partition is None:
            yield self._input_record(event)
        else:
            yield from self._partitions(key, version, partition)

    def _partitions(self, key: str, version: str, partition: str | None) -> Iterator[InputRecord]:
        """Yield the partitions whose versions together have the hash `version`; if not certain, the asset. `partition`: that of the step's output."""
        versions = {
            name: tags[_VERSION]
            for name, tags in self._storage.get_latest_tags_by_partition(
                AssetKey.from_user_string(key), DagsterEventType.ASSET_MATERIALIZATION, [_VERSION]
            ).items()
        }
        own = {name: versions[name] for name in (partition,) if name in versions}
        others = {name: each for name, each in versions.items() if name != partition}
        single = [{name: each} for name, each in others.items() if _hash_versions({name: each}) == version]
        # Partitions of the same version are indistinguishable: a single one is named only if no other matches.
        for chosen in (own, versions, *(single if len(single) == 1 else ())):
            if chosen and _hash_versions(chosen) == version:
                yield from (InputRecord(key, partition=name, version=each) for name, each in sorted(chosen.items()))
                return
        why = f"Dagster froze one version over several partitions of {key}; which they were is not known"
        self._unknowns["partitions read", why] = None
        yield InputRecord(key, version=version)

    def _event_at(self, key: str, pointer: int | None) -> AssetMaterialization | AssetObservation | None:
        """Return an asset's materialization or observation with the storage id `pointer`; None without an id or such an event."""
        if pointer is None:
            return None
        for kind in (DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_OBSERVATION):
            records = self._storage.get_event_records(
                EventRecordsFilter(kind, asset_key=AssetKey.from_user_string(key), storage_ids=[pointer]), limit=1
            )
            if records:
                return _asset_event(records[0].event_log_entry)
        return None

    def _note_newer_versions(
        self, key: str, version: str, pointer: int | None, event: AssetMaterialization | AssetObservation | None, span: tuple[float, float]
    ) -> None:
        """Note that the version read is not known, if asset `key` got a version other than `version` during the step (`span`: Unix seconds)."""
        seen = isinstance(event, AssetObservation)
        records = self._storage.get_event_records(
            EventRecordsFilter(
                DagsterEventType.ASSET_OBSERVATION if seen else DagsterEventType.ASSET_MATERIALIZATION,
                asset_key=AssetKey.from_user_string(key),
                after_timestamp=span[0],
                before_timestamp=span[1],
            ),
            limit=_WATCHED,
        )
        newer = [each for each in records if pointer is None or each.storage_id > pointer]
        if any((_asset_event(each.event_log_entry).tags or {}).get(_VERSION) != version for each in newer):
            changed = "seen in another version" if seen else "made again"
            why = (
                f"{key} was {changed} while the step ran: the version that Dagster froze when it started is recorded "
                "(what reads by tracecore_assets.read names the one it read)"
            )
            self._unknowns["version read", why] = None


def _frozen_inputs(tags: Mapping[str, str]) -> Iterator[tuple[str, str, int | None]]:
    """Yield (asset key, version, storage id of the event that reported the version, or None) for each input version in an output's tags."""
    for name, version in tags.items():
        if name.startswith(_READ):
            key = name.removeprefix(_READ)
            pointer = tags.get(f"{_POINTER}{key}", _NOWHERE)
            yield key, version, None if pointer == _NOWHERE else int(pointer)


def _hash_versions(versions: Mapping[str, str]) -> str:
    """Return the hash of partitions' versions as Dagster makes it: SHA-256 over the versions, ordered by partition name."""
    return hashlib.sha256("".join(versions[name] for name in sorted(versions)).encode()).hexdigest()


def _asset_event(entry: EventLogEntry) -> AssetMaterialization | AssetObservation:
    found = entry.asset_materialization or entry.asset_observation
    assert found is not None, "called for asset events only"
    return found


def check_of(
    entry: EventLogEntry, evaluation: AssetCheckEvaluation, storage: EventLogStorage, slug: str, made: Mapping[str, str], run: str
) -> CheckRecord | None:
    """Return the record of a check's evaluation; None if the checked asset was never materialized.

    `slug` is the workspace's name, `made` the versions that the step made, by asset and partition name, `run` the id of the step's run.
    """
    name = partition_name(evaluation.asset_key.to_user_string(), evaluation.partition)
    of_run: str | None = run
    if name in made:
        target: str | None = external_ref(external_namespace(slug), name, made[name])
    elif (data := evaluation.target_materialization_data) is not None:
        judged = EventRecordsFilter(DagsterEventType.ASSET_MATERIALIZATION, asset_key=evaluation.asset_key, storage_ids=[data.storage_id])
        target, of_run = _newest_materialization(storage, judged, slug), None
    else:
        target = None
    if target is None:
        return None
    at = instant(entry.timestamp)
    return CheckRecord(
        check_id(entry.run_id, evaluation.asset_key.to_user_string(), evaluation.check_name, evaluation.partition, at),
        evaluation.check_name,
        target,
        of_run,
        evaluation.passed,
        bool(evaluation.blocking),
        tellable(evaluation.description or ("passed" if evaluation.passed else "failed")),
        _plain_metadata(evaluation.metadata),
        at,
        entry.step_key or evaluation.check_name,
    )


def raised_checks(
    entry: EventLogEntry,
    planned: AssetCheckEvaluationPlanned,
    storage: EventLogStorage,
    slug: str,
    made: Mapping[str, str],
    own: Collection[AssetKey],
    step: StepRecord,
) -> Iterator[CheckRecord]:
    """Yield a record of a failed check for a check that raised an error, one for each asset version that it should have evaluated.

    Dagster doesn't store whether this check blocks: its last evaluation decides, and a check without an evaluation counts as blocking.

    Args:
        entry: the step's failure event.
        made: versions that the step made, by asset and partition name.
        own: assets that the step was to make; one that it did not make has no version to check.
    """
    subset = planned.partitions_subset
    for partition in [None] if subset is None else sorted(subset.get_partition_keys()):
        name = partition_name(planned.asset_key.to_user_string(), partition)
        target = external_ref(external_namespace(slug), name, made[name]) if name in made else None
        if target is None and planned.asset_key not in own:
            newest = EventRecordsFilter(
                DagsterEventType.ASSET_MATERIALIZATION, asset_key=planned.asset_key, asset_partitions=None if partition is None else [partition]
            )
            target = _newest_materialization(storage, newest, slug)
        if target is not None:
            at = instant(entry.timestamp)
            yield CheckRecord(
                check_id(entry.run_id, planned.asset_key.to_user_string(), planned.check_name, partition, at),
                planned.check_name,
                target,
                step.run if name in made else None,
                passed=False,
                blocking=_blocked(storage, planned.asset_check_key),
                message=f"The check '{planned.check_name}' itself failed: {step.error}",
                metadata={},
                at=at,
                step=step.step,
            )


def _blocked(storage: EventLogStorage, check: AssetCheckKey) -> bool:
    """Whether an asset check was blocking at its last evaluation; True if it was never evaluated."""
    ended = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}
    for record in storage.get_asset_check_execution_history(check, limit=1, status=ended):
        event = record.event.dagster_event if record.event is not None else None
        if event is not None and event.event_type is DagsterEventType.ASSET_CHECK_EVALUATION:
            return bool(event.asset_check_evaluation_data.blocking)
    return True


def _newest_materialization(storage: EventLogStorage, wanted: EventRecordsFilter, slug: str) -> str | None:
    """Return the ref of the newest materialization that matches a filter; None if none matches, or if it has no version."""
    records = storage.get_event_records(wanted, limit=1)
    if not records:
        return None
    event = _asset_event(records[0].event_log_entry)
    ours = ref_of(event)
    version = (event.tags or {}).get(_VERSION)
    if ours is not None or version is None:
        return ours
    return external_ref(external_namespace(slug), partition_name(event.asset_key.to_user_string(), event.partition), version)
