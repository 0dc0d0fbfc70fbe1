"""A drive withdrawn: its bytes go everywhere, a signed tombstone stays, everything else verifies; a kill on the way is made good.

Modules: `retention/consent.py`, `retention/inventory.py`, `model/erasure.py`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from sqlalchemy import text
from stored_world import StoredWorld, frames, kept

from tracecore.errors import NegativeVerdict, UsageError
from tracecore.store import open_store
from tracecore.store.local import LocalStore
from tracecore.system.locks import hold_run, own_store, share_store
from tracecore.testing.worlds import artifact
from tracecore.workspace import Workspace
from tracecore_lineage import Record
from tracecore_lineage.bundle.writer import export_bundle
from tracecore_lineage.catalog.pseudonyms import person_of, pseudonym_of
from tracecore_lineage.catalog.replay import catalog_differences
from tracecore_lineage.commands.retention import consent_command
from tracecore_lineage.exchange.importer import import_bundle
from tracecore_lineage.retention import cleanup, erasures
from tracecore_lineage.retention.consent import withdraw
from tracecore_lineage.retention.recover import recover
from tracecore_lineage.trace.show import show
from tracecore_lineage.verify.bundle import verify_bundle
from tracecore_lineage.verify.doctor import examine
from tracecore_schemas.kinds import StageKind
from tracecore_schemas.run import RunInput

REASON = "request 2026-118"


class Killed(BaseException):
    """What represents a kill: nothing catches it."""


def failures(world: StoredWorld, ref: str | None = None) -> list[str]:
    return [f"{failure['ref'].partition('@')[0]}: {failure['what']}" for failure in world.record.verify(ref)["failures"]]


def files_of(world: StoredWorld) -> dict[str, bytes]:
    root = world.record.workspace.store
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_its_bytes_are_gone_and_the_rest_of_the_workspace_verifies(built: StoredWorld) -> None:
    before = built.record.trace("build/demo")
    done = withdraw(built.record.recorder, "drive_log/north", REASON)
    assert done.erasure is not None
    assert [ref.partition("@")[0] for ref in done.erasure.builds] == ["build/demo"]
    assert {version.ref.partition("@")[0] for version in done.erasure.versions} == {
        "drive_log/north",
        "dataset/demo.drives",
        "label_batch/demo.labels",
    }
    left = files_of(built)
    assert not any(b"an MCAP file" in data for data in left.values())
    logs = [data for path, data in left.items() if "_delta_log" in path]
    assert not any(b'"drive":"north"' in line and b"minValues" in line for data in logs for line in data.splitlines())
    assert any(b'"drive":"south"' in line and b"minValues" in line for data in logs for line in data.splitlines())
    verdict = built.record.verify()
    assert verdict["ok"], verdict["failures"]
    assert {part["why"] for part in verdict["erased"]} == {f"consent withdrawn: {REASON}"}
    assert {part["by"] for part in verdict["erased"]} == {f"run/{done.erasure.run}"}
    assert built.record.verify("build/demo")["ok"]
    assert examine(built.record.recorder)["ok"]
    assert built.record.query(catalog_differences, built.record.ledger) == []
    after = built.record.trace("build/demo")
    assert {**after, "later": []} == before
    assert {(entry["what"], entry["at"].partition("@")[0]) for entry in after["later"]} == {
        ("erased", version.ref.partition("@")[0]) for version in done.erasure.versions
    }


def test_whoever_asks_for_it_is_told_in_a_sentence(built: StoredWorld) -> None:
    withdraw(built.record.recorder, "north", REASON)
    said = rf"was erased on \d{{4}}-\d\d-\d\d: consent withdrawn: {REASON}\."
    for asset in ("drives", "labels"):
        with pytest.raises(UsageError, match=said):
            built.record.artifact(built.made[asset].ref)
    assert REASON in str(built.record.recorder.erased(built.made["drives"]))
    assert built.record.recorder.erased(built.made["engine"]) is None
    assert REASON in built.record.query(show, built.made["drives"].ref, workspace=built.record.workspace)["erased"]
    assert set(built.record.recorder.withdrawn().drives) == {"north"}


def test_a_reason_may_be_any_word_also_one_by_which_other_events_are_known(built: StoredWorld) -> None:
    withdraw(built.record.recorder, "north", "tracecore_key")
    assert failures(built) == []


def test_nothing_else_can_hide_behind_a_tombstone(built: StoredWorld) -> None:
    """Of a table that lost a drive every other file is still judged, and so is its log, as it was left."""
    withdraw(built.record.recorder, "north", REASON)
    table = built.path("drives")
    south = next(path for path in table.rglob("*.parquet"))
    whole = south.read_bytes()
    south.write_bytes(whole[:-40] + bytes([whole[-40] ^ 1]) + whole[-39:])
    assert any("dataset/demo.drives" in failure for failure in failures(built))
    south.write_bytes(whole)
    log = next(table.glob("_delta_log/*.json"))
    said = log.read_bytes()
    log.write_bytes(said.replace(b'"numRecords\\":100', b'"numRecords\\":101', 1))
    assert any("_delta_log" in failure for failure in failures(built))
    log.write_bytes(said)
    assert failures(built) == []
    back = built.record.workspace.store / next(each for each in built.store.parts(built.made["drives"]) if ("drive", "north") in each.partition).path
    back.write_bytes(b"something else")
    assert any("dataset/demo.drives" in failure for failure in failures(built))


def test_bytes_that_no_tombstone_excuses_are_missed(built: StoredWorld) -> None:
    built.path("engine").unlink()
    assert failures(built) == [f"engine/demo.engine: {built.made['engine'].location}"]


def test_a_tombstone_that_its_key_did_not_sign_excuses_nothing(built: StoredWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    real = erasures.seal_payload

    def forged(payload: bytes, key: Any) -> dict[str, Any]:
        envelope = real(payload, key)
        signature = envelope["signatures"][0]["sig"]
        envelope["signatures"][0]["sig"] = ("A" if signature[0] != "A" else "B") + signature[1:]
        return envelope

    monkeypatch.setattr(erasures, "seal_payload", forged)
    withdraw(built.record.recorder, "north", REASON)
    found = failures(built)
    assert any("tombstone's signature" in failure for failure in found)
    assert any(failure.startswith("drive_log/north: blobs/") for failure in found)


def test_an_event_of_another_producer_erases_nothing(built: StoredWorld) -> None:
    done = withdraw(built.record.recorder, "north", REASON, dry_run=True)
    assert done.erasure is not None
    body = json.loads(built.record.recorder.events.erasure(done.erasure, datetime.now(UTC)))
    body["job"]["namespace"], body["producer"] = "elsewhere", "urn:elsewhere"
    assert built.record.ingest([json.dumps(body)]).refused == ()
    assert built.record.recorder.erased(built.made["drives"]) is None
    assert not built.record.recorder.withdrawn()


@pytest.mark.parametrize("step", range(6))
def test_a_kill_at_any_step_is_finished_by_recover(built: StoredWorld, monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    """From the promise on no process gets the drive; `doctor` says that it is not done; `recover` does it."""
    steps = [0]

    def dying(real: Any) -> Any:
        def call(*arguments: Any, **named: Any) -> Any:
            if steps[0] == step:
                raise Killed
            steps[0] += 1
            return real(*arguments, **named)

        return call

    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "erase", dying(LocalStore.erase))
        patched.setattr(LocalStore, "rewrite", dying(LocalStore.rewrite))
        patched.setattr(erasures, "sweep", dying(erasures.sweep))
        patched.setattr(cleanup, "empty_wal", dying(cleanup.empty_wal))
        patched.setattr(erasures, "seal_payload", dying(erasures.seal_payload))
        with pytest.raises(Killed):
            withdraw(built.record.recorder, "north", REASON)
    assert REASON in str(built.record.recorder.erased(built.made["drives"]))
    assert any("not finished" in problem for problem in examine(built.record.recorder)["problems"])
    assert any("erasure" in failure for failure in failures(built))
    assert len(recover(built.record.recorder).finished) == 1
    assert built.record.verify()["ok"]
    assert examine(built.record.recorder)["ok"]
    assert not any(b"an MCAP file" in data for data in files_of(built).values())
    again = withdraw(built.record.recorder, "north", REASON)
    assert again.erasure is None


def test_the_same_command_finishes_it_too(built: StoredWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(LocalStore, "erase", killed)
        with pytest.raises(Killed):
            withdraw(built.record.recorder, "north", REASON)
    done = withdraw(built.record.recorder, "north", REASON)
    assert (len(done.finished), done.erasure) == (1, None)
    assert built.record.verify()["ok"]


def test_two_drives_of_one_table_go_one_after_the_other(built: StoredWorld) -> None:
    withdraw(built.record.recorder, "north", REASON)
    withdraw(built.record.recorder, "south", "another request")
    verdict = built.record.verify()
    assert verdict["ok"], verdict["failures"]
    assert {part["why"] for part in verdict["erased"]} == {f"consent withdrawn: {REASON}", "consent withdrawn: another request"}
    assert not list(built.path("drives").rglob("*.parquet"))


def test_a_later_version_of_the_table_without_the_drive_stays_readable(built: StoredWorld) -> None:
    """Its log was rewritten: the tombstone names the commit, no version of it, and every version is judged by what was left."""
    newer = kept("dataset", "demo.drives", built.table("demo.drives", frames("south")))
    built.run("drives", StageKind.INGEST, outputs={"frames": newer})
    done = withdraw(built.record.recorder, "north", REASON)
    assert done.erasure is not None
    assert newer.ref not in {version.ref for version in done.erasure.versions}
    assert [gone.path.rpartition("/")[2] for gone in done.erasure.commits if str(newer.location) in gone.path] == [f"{0:020d}.json"]
    assert built.record.verify()["ok"]
    assert built.store.open(built.record.artifact(newer.ref)).count_rows() == 100


def test_a_version_written_after_a_withdrawal_goes_on_from_the_recorded_link(built: StoredWorld) -> None:
    """The commits before it were rewritten: the chain keeps what the first tombstone says they were, twice erased or once."""
    for drive in ("north", "south"):
        withdraw(built.record.recorder, drive, REASON)
        newer = kept("dataset", "demo.drives", built.table("demo.drives", frames("west")))
        built.run("drives", StageKind.INGEST, outputs={"frames": newer})
        verdict = built.record.verify()
        assert verdict["ok"], verdict["failures"]
    assert newer.delta is not None
    log = built.record.workspace.store / str(newer.location) / "_delta_log" / f"{0:020d}.json"
    log.write_bytes(log.read_bytes() + b"\n")
    assert {failure for failure in failures(built) if "_delta_log" in failure} == {f"dataset/demo.drives: {newer.location}/_delta_log/{0:020d}.json"}


def test_a_build_on_a_table_whose_log_was_rewritten_can_be_exported_and_imported(built: StoredWorld, tmp_path: Path) -> None:
    withdraw(built.record.recorder, "north", REASON)
    newer = kept("dataset", "demo.drives", built.table("demo.drives", frames("south")))
    built.run("drives", StageKind.INGEST, outputs={"frames": newer})
    model = kept("model", "demo.model", built.folder(**{"model.safetensors": b"other" * 50}))
    built.run("model", StageKind.TRAIN, [("frames", "drives")], {"model": model})
    built.run("engine", StageKind.COMPILE, [("model", "model")], {"engine": kept("engine", "demo.engine", built.file(b"other code"))})
    built.seal("later")
    bundle = tmp_path / "later.bundle"
    export_bundle(built.record.recorder, "later", bundle)
    verdict = verify_bundle(bundle)
    assert verdict["ok"], verdict["failures"]
    with Record.open(Workspace.create(tmp_path / "other", slug="auditor")) as other:
        import_bundle(other.recorder, bundle)
        assert open_store(other.workspace).open(other.artifact(newer.ref)).count_rows() == 100
        verdict = other.verify()
        assert verdict["ok"], verdict["failures"]
        log = next(other.workspace.store.rglob(f"_delta_log/{0:020d}.json"))
        log.write_bytes(log.read_bytes() + b"\n")
        assert any("_delta_log" in failure["what"] for failure in other.verify()["failures"])


def test_pictures_and_pages_of_what_was_made_from_it_go_and_numbers_stay(built: StoredWorld) -> None:
    report = {"samples.png": b"\x89PNG\x00picture", "report.json": b'{"recall": 0.5}', "page.html": b"<html>data:image/png;base64,AAAA</html>"}
    made = kept("kpi_report", "demo.kpis", built.folder(**report, **{"frames.csv": b"frame,score\nnorth/3,0.2\n"}))
    built.run("kpis", StageKind.EVALUATE, [("frames", "drives")], {"report": made})
    done = withdraw(built.record.recorder, "north", REASON)
    assert done.erasure is not None
    assert {path.name for path in (built.record.workspace.store / str(made.location)).iterdir()} == {"report.json"}
    assert any(what.startswith("model/demo.model@") for what, _ in done.kept)
    assert built.record.verify()["ok"]
    assert (built.path("model") / "model.safetensors").is_file()


def test_hidden_copies_and_leftovers_go_too(built: StoredWorld) -> None:
    root = built.record.workspace.root
    for path in ("scratch/abc/campaign.db", "looks/north.png", "store/blobs/zz/orphan", "somewhere/copy.bin", "store/staging/dead/.adopted/0"):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"an MCAP file")
    withdraw(built.record.recorder, "north", REASON)
    assert [path for path in root.rglob("*") if path.is_file() and path.read_bytes() == b"an MCAP file"] == []


def test_a_subject_is_found_by_what_drives_say_of_it(tmp_path: Path) -> None:
    with StoredWorld.at(tmp_path / "ws").record as record:
        world = StoredWorld(record)
        for name, driver in (("north", "Grace Hopper"), ("south", "Ada"), ("west", "Grace Hopper")):
            facet = {"tracecore_drive": {"drive": name, "metadata": {"drive": {"driver": driver, "vin": f"VIN{name}"}}}}
            run = world.start("drives.drive_log", StageKind.INGEST)
            record.recorder.complete(run, [], {"drive_log": kept("drive_log", name, world.file(name.encode() * 9), facets=facet)})
        part = {"tracecore_drive": {"drive": "west.1", "part_of": "drive_log/west", "metadata": {}}}
        run = world.start("drives.drive_log", StageKind.INGEST)
        record.recorder.complete(run, [], {"drive_log": kept("drive_log", "west.1", world.file(b"second part"), facets=part)})
        with pytest.raises(UsageError, match=r"'Grace Hoper' is not a recorded drive, .* Did you mean 'grace hopper'"):
            withdraw(record.recorder, "Grace Hoper", REASON)
        assert withdraw(record.recorder, "VINsouth", REASON, dry_run=True).subject.drives == ("south",)
        done = withdraw(record.recorder, "grace hopper", REASON)
        assert done.subject.drives == ("north", "west")
        assert done.erasure is not None
        assert {version.ref.partition("@")[0] for version in done.erasure.versions} == {"drive_log/north", "drive_log/west", "drive_log/west.1"}
        assert record.verify()["ok"]


def test_a_person_is_forgotten_and_the_pseudonym_stays(built: StoredWorld) -> None:
    pseudonym = built.record.recorder.commit(pseudonym_of, "Grace Hopper")
    done = withdraw(built.record.recorder, "Grace Hopper", "left the project")
    assert done.subject.people == ((pseudonym, "Grace Hopper"),)
    assert built.record.query(person_of, pseudonym) is None
    root = built.record.workspace.root
    assert not any(b"Grace Hopper" in path.read_bytes() for path in root.rglob("*") if path.is_file())
    with built.record.database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM person WHERE name = 'Grace Hopper'")).scalar_one() == 0
    assert built.record.verify()["ok"]


def test_it_waits_for_nobody_and_leaves_live_runs_alone(built: StoredWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracecore_lineage.retention.recover.own_store", lambda locks: own_store(locks, 0.05))
    locks = built.record.workspace.locks
    run = built.start("model", StageKind.TRAIN)
    with hold_run(locks, run.id), pytest.raises(NegativeVerdict, match=f"run/{run.id} .* left alone"):
        withdraw(built.record.recorder, "north", REASON)
    with share_store(locks), pytest.raises(NegativeVerdict, match="a build or export uses"):
        withdraw(built.record.recorder, "north", REASON)
    assert not built.record.recorder.withdrawn()


def test_the_command_tells_what_went_what_it_reached_and_what_stays(built: StoredWorld) -> None:
    where = ["--workspace", str(built.record.workspace.root)]
    unknown = CliRunner().invoke(consent_command, ["withdraw", "noth", "--reason", "x", *where])
    assert isinstance(unknown.exception, UsageError)
    assert "Did you mean 'north'?" in str(unknown.exception)
    assert CliRunner().invoke(consent_command, ["withdraw", "north", *where]).exit_code == 2
    with pytest.raises(UsageError, match="needs its reason"):
        withdraw(built.record.recorder, "north", "  ")
    planned = json.loads(CliRunner().invoke(consent_command, ["withdraw", "north", "--reason", REASON, "--dry-run", "--json", *where]).output)
    assert planned["dry_run"]
    assert built.record.verify()["erased"] == []
    told = CliRunner().invoke(consent_command, ["withdraw", "north", "--reason", REASON, *where]).output
    assert "reached build/demo@" in told
    assert "the ledger: " in told
    assert "an MCAP file" not in told


def test_artifacts_without_bytes_here_are_no_obstacle(built: StoredWorld) -> None:
    built.run("extra", StageKind.CURATE, outputs={"out": artifact("dataset", "demo.extra", "elsewhere")})
    assert withdraw(built.record.recorder, "north", REASON).erasure is not None


def test_the_images_of_a_folder_go_with_the_rows_that_hold_them(built: StoredWorld) -> None:
    """A drive that is a folder of images has no log: its rows name it, and the files that were taken in hold the same bytes."""
    image = b"\xff\xd8\xff a picture of the road"
    table = pa.table({"drive": ["0006R0"], "timestamp_ns": [1], "image": pa.array([image], pa.binary())})
    stored = kept("dataset", "demo.stills", built.table("demo.stills", table))
    file = kept("external", "0001.jpg", built.file(image), namespace="file")
    built.run("stills", StageKind.INGEST, outputs={"frames": stored}, more_inputs=[RunInput("image", file)])
    done = withdraw(built.record.recorder, "0006R0", REASON)
    assert done.erasure is not None
    assert {version.ref for version in done.erasure.versions} == {stored.ref, file.ref}
    assert not any(image in data for data in files_of(built).values())
    assert file.digest in built.record.recorder.withdrawn().files
    assert built.record.verify()["ok"]


def test_a_file_with_rows_of_several_drives_is_rewritten_without_those_withdrawn(built: StoredWorld) -> None:
    rows = {"frame": ["north/3", "south/3", "frame/north/cam/4", "elsewhere"], "score": [0.125, 0.25, 0.5, 0.75]}
    mixed = kept("dataset", "demo.scores", built.table("demo.scores", pa.table(rows)))
    built.run("scores", StageKind.EVALUATE, [("frames", "drives")], {"scores": mixed})
    withdraw(built.record.recorder, "north", REASON)
    [path] = list(built.path("scores").rglob("*.parquet"))
    assert pq.read_table(path).column("frame").to_pylist() == ["south/3", "elsewhere"]
    verdict = built.record.verify()
    assert verdict["ok"], verdict["failures"]
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    assert any("demo.scores" in failure for failure in failures(built))
