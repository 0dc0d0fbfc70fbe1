"""Whatever others say and whatever bundles bring: of what a workspace made, the answers stay what they were, but for claims and further readers.

Modules: `trace/store_paths.py`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bundle_world import build_upon, retrained, sealed, world
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tracecore_lineage import Record
from tracecore_lineage.bundle.writer import export_bundle
from tracecore_lineage.catalog.projection import UNVERSIONED, dataset_ref
from tracecore_lineage.catalog.replay import catalog_differences, rebuild_catalog
from tracecore_lineage.exchange.importer import import_bundle
from tracecore_lineage.model.ledger_name import LedgerName
from tracecore_lineage.seal.seal import sealed_builds
from tracecore_lineage.trace.show import show
from tracecore_schemas.refs import parse_ref

NAMES = ("drive_log/north", "dataset/demo.drives", "label_batch/demo.labels", "model/demo.model", "engine/demo.engine", "build/own")
SLUG = "vendor"
NOBODY = f"sha256:{'f' * 64}"
RUNS = tuple(f"019ab2c4-1111-7000-8000-00000000000{digit}" for digit in "0123456")
TIMES = ("1970-01-01T00:00:00Z", "2026-06-01T12:00:00Z", "2026-12-01T00:00:00Z", "2099-01-01T00:00:00Z")


def facet(**members: Any) -> dict[str, Any]:
    return {"_producer": "urn:x", "_schemaURL": "urn:x", **members}


class Ours:
    """A workspace with a sealed build, the answers about it before anybody else spoke, and what others may say."""

    def __init__(self, folder: Path) -> None:
        self.world = world(folder / "ours", SLUG).all()
        self.world.seal("own")
        self.record: Record = self.world.record
        self.refs = [*NAMES, self.record.trace("model/demo.model")["root"]]
        self.before = self.answers()
        self.bundles = list(self._bundles(folder))
        named = [(SLUG, name) for name in (*NAMES, "model/other", "bug/b1", "model/demo%2Emodel")]
        stored = [(space, f"{place}{artifact.location}") for artifact in self.world.made.values() for space, place in self._places()]
        self.datasets = [*named, *stored[:6], ("lake", "t"), ("lake", "u"), ("file", "labels.json"), ("lake", UNVERSIONED), ("lake", "run:@ /%")]
        self.versions = [None, "", NOBODY, "1", UNVERSIONED, f"run:{RUNS[0]}", *(artifact.digest for artifact in self.world.made.values())]
        self.runs = [*RUNS, *self.world.runs.values()]

    def _places(self) -> list[tuple[str, str]]:
        return [("urn:tracecore:store", ""), ("file", f"{self.record.workspace.store}/")]

    @staticmethod
    def _bundles(folder: Path) -> Iterator[Path]:
        """Bundles of the same slug and of another: with what both made, with another model, and one that depends on an imported build."""
        for name, slug in (("twin", SLUG), ("other", "other")):
            made = sealed(folder / name, slug)
            if slug == SLUG:
                export_bundle(made.record.recorder, "demo", folder / "twin.bundle")
                yield folder / "twin.bundle"
            retrained(made)
            made.seal(f"{name}-second")
            export_bundle(made.record.recorder, f"{name}-second", folder / f"{name}-second.bundle")
            made.record.close()
            yield folder / f"{name}-second.bundle"
        third = world(folder / "third", "third")
        import_bundle(third.record.recorder, folder / "twin.bundle")
        build_upon(third, "third")
        export_bundle(third.record.recorder, "third", folder / "third.bundle")
        third.record.close()
        yield folder / "third.bundle"

    def answers(self) -> dict[str, Any]:
        """What is asked of ours, without what others may add: claims, static lineage, readers, and what is listed as later."""
        found: dict[str, Any] = {"builds": [build for build in self.record.query(sealed_builds) if build.name == "own"]}
        for ref in self.refs:
            trace = {name: value for name, value in self.record.trace(ref).items() if name not in {"claims", "static", "position", "later"}}
            found[f"trace {ref}"] = {**trace, "nodes": [{**node, "facets": self.ours(node["facets"])} for node in trace["nodes"]]}
            found[f"impact {ref}"] = {node["ref"] for node in self.record.impact(ref)["nodes"]}
            if not ref.startswith("build/"):
                shown = self.record.query(show, ref, workspace=self.record.workspace)
                found[f"show {ref}"] = {**shown, "claims": [], "static": [], "read_by": [], "facets": self.ours(shown["facets"])}
        for ref in NAMES[:-1]:
            found[f"artifacts {ref}"] = self.record.recorder.artifacts(*ref.split("/"))
            found[f"artifact {ref}"] = self.record.artifact(ref)
        return found

    @staticmethod
    def ours(facets: dict[str, Any]) -> dict[str, Any]:
        """Leave out what others added; where it took the place of what we recorded, that is missed."""
        return {name: value for name, value in facets.items() if '"evil"' not in json.dumps(value)}

    def check(self) -> None:
        """Whether each answer is what it was, or names more readers."""
        after = self.answers()
        for question, answer in self.before.items():
            if question.startswith("impact "):
                assert answer <= after[question], question
            else:
                assert after[question] == answer, question

    def dataset(self, draw: st.DrawFn) -> dict[str, Any]:
        namespace, name = draw(st.sampled_from(self.datasets))
        version, facets = draw(st.sampled_from(self.versions)), {}
        if version is not None:
            facets["version"] = facet(datasetVersion=version)
        change = draw(st.sampled_from([None, None, "DROP", "TRUNCATE", "RENAME", "ALTER", "OVERWRITE", "CREATE"]))
        if change is not None:
            previous = dict(zip(("namespace", "name"), draw(st.sampled_from(self.datasets)), strict=True))
            facets["lifecycleStateChange"] = facet(lifecycleStateChange=change, previousIdentifier=previous)
        if draw(st.booleans()):
            others = draw(st.lists(st.sampled_from(self.datasets), min_size=1, max_size=2))
            facets["symlinks"] = facet(identifiers=[{"namespace": space, "name": other, "type": "TABLE"} for space, other in others])
        if draw(st.booleans()):
            facets["tracecore_artifact"] = facet(kind="model", media="file", location="blobs/evil", size_bytes=1, summary="evil")
            facets["tracecore_unknowns"] = facet(unknowns=[], summary="none")
            facets["schema"] = facet(fields=[{"name": "evil", "type": "text"}])
            facets["theirs"] = facet(note="evil")
        port = {"tracecore_port": facet(role="evil", producer_run=draw(st.sampled_from(self.runs)))}
        return {"namespace": namespace, "name": name, "facets": facets, **draw(st.sampled_from([{}, {"inputFacets": port}, {"outputFacets": port}]))}

    def run_facets(self, draw: st.DrawFn) -> dict[str, Any]:
        model = self.world.made["model"].ref
        told = {
            "tracecore_check": facet(
                name="evil", of_run=self.world.runs["model"], target=model, severity="blocking", success=False, message="m", details={}, unknowns=[]
            ),
            "tracecore_build": facet(name="own", ref=f"build/own@{'e' * 64}", position=1, content_digest=NOBODY, envelope={}, program=model),
            "tracecore_execution": facet(key=NOBODY, stage="train", summary="evil"),
        }
        return {name: told[name] for name in draw(st.sets(st.sampled_from(sorted(told))))}

    def event(self, draw: st.DrawFn) -> bytes:
        producer = draw(st.sampled_from(["https://example.com", LedgerName(SLUG, "0" * 32).producer, self.record.ledger.producer]))
        said: dict[str, Any] = {"eventTime": draw(st.sampled_from(TIMES)), "producer": producer, "schemaURL": "urn:x"}
        job = {"namespace": draw(st.sampled_from([SLUG, "etl"])), "name": draw(st.sampled_from(["demo.model", "evil", "tracecore.import"]))}
        ports = {side: [self.dataset(draw) for _ in range(draw(st.integers(0, 2)))] for side in ("inputs", "outputs")}
        kind = draw(st.sampled_from(["run", "run", "run", "run", "job", "dataset"]))
        if kind == "dataset":
            return json.dumps(
                {**said, "dataset": {name: value for name, value in self.dataset(draw).items() if not name.endswith("putFacets")}}
            ).encode()
        if kind == "job":
            return json.dumps({**said, "job": job, **ports}).encode()
        run = {"runId": draw(st.sampled_from(self.runs)), "facets": self.run_facets(draw)}
        kinds = ["START", "RUNNING", "COMPLETE", "FAIL", "ABORT", "OTHER"]
        return json.dumps({**said, "eventType": draw(st.sampled_from(kinds)), "run": run, "job": job, **ports}).encode()


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ours]:
    found = Ours(tmp_path_factory.mktemp("words"))
    yield found
    found.record.close()


@settings(max_examples=20, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_nothing_that_others_say_changes_what_is_answered_about_ours(ours: Ours, data: st.DataObject) -> None:
    """What others recorded stays: each example comes on top of all before it."""
    events = data.draw(st.composite(lambda draw: [ours.event(draw) for _ in range(4)])())
    taken = ours.record.ingest(events)
    assert taken.recorded + taken.known + len(taken.refused) == len(events)
    bundle = data.draw(st.sampled_from([None, None, *ours.bundles]))
    if bundle is not None:
        import_bundle(ours.record.recorder, bundle)
    ours.check()


def test_afterwards_everything_verifies_and_nothing_was_missed(ours: Ours) -> None:
    """Comes last: all bundles are in, next to all that was recorded."""
    for bundle in ours.bundles:
        import_bundle(ours.record.recorder, bundle)
    ours.check()
    assert ours.record.verify()["failures"] == []
    assert ours.record.query(catalog_differences, ours.record.ledger) == []
    assert {claim["says"] for claim in ours.record.query(show, "model/demo.model", workspace=ours.record.workspace)["claims"]} >= {
        "made this version"
    }
    rebuild_catalog(ours.record.database, ours.record.ledger)
    ours.check()


@given(st.text(min_size=1), st.text(min_size=1), st.none() | st.text())
def test_no_name_or_version_of_others_is_one_of_our_words(namespace: str, name: str, version: str | None) -> None:
    facets = {} if version is None else {"version": facet(datasetVersion=version)}
    try:
        json.dumps([namespace, name, version], ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return  # no event holds a lone surrogate
    ref = dataset_ref({SLUG}, {"namespace": namespace, "name": name, "facets": facets}, UNVERSIONED)
    assert parse_ref(str(ref)) == ref
    assert str(parse_ref(str(ref))) == str(ref)
    if ref.kind == "external":
        assert ref.segments == (namespace, name)
        assert (ref.version == UNVERSIONED) is (not version)
        assert version is None or not version or ref.version in {version, f"label:{version}"}
        assert not str(ref.version).startswith("run:")
    assert [str(ref).count(sign) for sign in "@ "] == [1, 0]


@pytest.mark.parametrize("word", [UNVERSIONED, f"run:{RUNS[0]}", "label:1", "@", "a@b", "%40", "%2F", "a/b", " ", "sha256:1", "Ω"])
def test_a_version_that_is_one_of_our_words_is_read_and_traced_as_any_other(tmp_path: Path, word: str) -> None:
    found = world(tmp_path / "w", "words")

    def said(run: str, kind: str, **ports: Any) -> bytes:
        body = {"eventTime": TIMES[1], "eventType": kind, "producer": "urn:x", "schemaURL": "urn:x", "run": {"runId": run}, **ports}
        return json.dumps({**body, "job": {"namespace": "etl", "name": "job"}}).encode()

    one, other = ({"namespace": space, "name": word, "facets": {"version": facet(datasetVersion=word)}} for space in ("lake", "sea"))
    made = said(RUNS[0], "COMPLETE", outputs=[one]), said(RUNS[1], "COMPLETE", inputs=[one], outputs=[other])
    assert found.record.ingest(made).recorded == 2
    first, last = (str(dataset_ref((), dataset, "")) for dataset in (one, other))
    assert {run["id"] for run in found.record.trace(last)["runs"]} == set(RUNS[:2])
    assert last in {node["ref"] for node in found.record.impact(first)["nodes"]}
    assert found.record.trace(last.partition("@")[0])["root"] == last
    found.record.close()
