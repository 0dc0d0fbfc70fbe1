"""The record against the plain model, over random histories: what trace and impact find, say and leave open; and that each of its rules is needed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
from compared_histories import differences, one_way

from tracecore_lineage.catalog import projection
from tracecore_lineage.trace import answer, external, facts, reader, relation

HISTORIES, A_BATCH, FEW = 10_000, 500, 100
_IN_A_TEST = 1_000


@pytest.mark.parametrize("first", range(0, HISTORIES, _IN_A_TEST))
def test_the_record_says_what_the_plain_model_says(first: int) -> None:
    for start in range(first, first + _IN_A_TEST, A_BATCH):
        assert list(islice(differences(range(start, start + A_BATCH)), 5)) == []


def test_trace_and_impact_are_each_others_inverse() -> None:
    assert list(islice(one_way(range(HISTORIES, HISTORIES + FEW)), 5)) == []


def _first_of(made: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *given: made(*given)[:1]


_links = reader.Reader.links_of
_run = facts.resolve_run
_lineage = external.Datasets.lineage
_labelled = external.Datasets.labelled
_makers = relation.our_makers

MUTANTS: dict[str, tuple[Any, str, Any]] = {
    "a version that nobody made stands for nothing written": (relation, "may_be", lambda label, dataset, write: False),
    "a run that drops, empties, renames or alters is a producer": (external, "makes_bytes", lambda change: True),
    "an overwrite appends": (external, "replaces", lambda change: change in {"DROP", "TRUNCATE"}),
    "an append replaces what was there": (external.Datasets, "added_to", lambda self, write: []),
    "what appends to a version is not sought": (external.Datasets, "adding_to", lambda self, write: []),
    "a drop leaves what was there": (external, "replaces", lambda change: change in {"OVERWRITE", "CREATE"}),
    "every output replaces": (external, "replaces", lambda change: change not in {"RENAME", "ALTER"}),
    "a change counts in the event alone that says it": (external, "stated_change", lambda told: told[-1].change),
    "an output stands from the first event that names it": (external, "made_at", lambda first, run: (first.event_time, first.event_id)),
    "an output without a version stands beside the one that names it": (
        external,
        "versions",
        lambda told: {link.ref.partition("@")[2]: [one for one in told if one.ref == link.ref] for link in told},
    ),
    "the newest change counts, whenever it was": (
        external,
        "last_change",
        lambda dataset, before: dataset.changes[-1] if dataset.changes else external.Change(("", ""), ""),
    ),
    "aliases are other datasets": (external, "aliases", lambda named: []),
    "an alias of ours says nothing": (external, "artifacts_by_name", lambda named: {}),
    "a rename is not followed": (external, "renames", lambda named: []),
    "names are not joined": (external, "joined", lambda pairs: {}),
    "a version is not sought under earlier names": (external.Datasets, "lineage", lambda self, dataset, before=external._EVER: {dataset: before}),
    "an earlier name counts after the rename too": (
        external.Datasets,
        "lineage",
        lambda self, dataset, before=external._EVER: dict.fromkeys(_lineage(self, dataset, before), before),
    ),
    "only the first run of ours made its bytes": (relation, "our_makers", _first_of(relation.our_makers)),
    "a reading of ours is of every run that made it": (
        relation,
        "our_makers",
        lambda reading, made: _makers(replace(reading, producer_run=None), made),
    ),
    "the last maker of a label counts": (relation, "nearest_before", lambda at, made: list(made[-1:])),
    "where every maker is later the first counts": (
        relation,
        "nearest_before",
        lambda at, made: [write for write in made if write.at < at][-1:] or list(made[:1]),
    ),
    "the only maker has to be before the reading": (relation, "nearest_before", lambda at, made: [write for write in made if write.at < at][-1:]),
    "inputs are read at the end": (relation, "read_at", lambda run: (run.times[-1][0], "~")),
    "a reading without a version stands beside the one that names it": (relation, "repeats_other_input", lambda *given: False),
    "what may have been read is no gap": (relation._Uncertain, "about", lambda self, resolved: None),
    "a maker later than its reader is taken in silence": (relation, "_made_too_late", lambda reading, others: ""),
    "the reader's own run is counted": (
        relation.Resolved,
        "times_made",
        property(lambda self: 1 if self.inferred else len(self.makers) + len(self.others) + self.rewritten),
    ),
    "no reading names its maker": (relation.Resolved, "made_by", property(lambda self: None)),
    "state changes are outputs": (relation.Relation, "written", lambda self, outputs: list(outputs)),
    "the last end of a run decides": (
        reader,
        "resolve_run",
        lambda rows, rank: _run([row for row in rows if row.event_type not in facts._TERMINAL] + _last_end(rows), rank),
    ),
    "the terminal event replaces what others said": (
        reader.Reader,
        "links_of",
        lambda self, runs: [link for link in _links(self, runs) if self.runs([link.run])[link.run].terminal in {None, link.event_id}],
    ),
    "a stranger makes versions of ours": (projection._Authority, "makes", lambda self, namespace: True),
    "columns are no inputs": (projection, "_columns", lambda *given: iter(())),
    "ends and clocks are not looked at": (answer, "_unknowns_of_ends", lambda *given: None),
}


def _last_end(rows: list[Any]) -> list[Any]:
    ends = [row for row in rows if row.event_type in facts._TERMINAL]
    return sorted(ends, key=lambda row: (row.event_time, row.event_id))[-1:]


@pytest.mark.parametrize("rule", MUTANTS)
def test_each_rule_is_needed(rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(*MUTANTS[rule])
    told = (next(differences(range(start, start + FEW)), None) for start in range(0, 5 * FEW, FEW))
    assert any(difference is not None for difference in told), f"{5 * FEW} histories don't tell that {rule}"
