"""What was withdrawn can't come back by a build: files are left out by name, rows and members too; what was pruned is made again."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from kernel_world import World, given

from tracecore.errors import UsageError
from tracecore.running.erasure_filter import ErasureFilter
from tracecore.stage import SourceFile
from tracecore.store.parquet import write_table
from tracecore_lineage.retention.consent import withdraw
from tracecore_lineage.retention.prune import prune
from tracecore_lineage.verify.doctor import examine

REASON = "request 2026-118"


def drives_of(world: World, outcome) -> set[str]:
    return set(world.store.open(outcome.outputs["numbers"]).to_table().column("drive").to_pylist())


def test_a_file_with_withdrawn_bytes_is_left_out_by_name_and_the_rest_is_made(world: World) -> None:
    world.logs()
    withdraw(world.record.recorder, "alpha", REASON)
    again = world.logs()
    assert not again.reused
    assert drives_of(world, again) == {"beta"}
    assert any("a.txt: consent was withdrawn on" in unknown.why and REASON in unknown.why for unknown in again.outputs["numbers"].unknowns)
    assert world.record.verify()["ok"]
    assert world.logs().reused


def test_the_same_drive_under_other_bytes_stays_out_too(world: World) -> None:
    world.logs()
    withdraw(world.record.recorder, "alpha", REASON)
    world.drive("c.txt", "alpha: 3 3 3")
    with pytest.raises(UsageError, match=rf"'c.txt' can't be taken in as drive_log/alpha: consent was withdrawn on .*: {REASON}\. Leave it out"):
        world.logs()


def test_where_every_file_was_withdrawn_it_says_so(world: World) -> None:
    world.logs()
    withdraw(world.record.recorder, "alpha", REASON)
    withdraw(world.record.recorder, "beta", REASON)
    with pytest.raises(UsageError, match=rf"names no drive file that may be read\. 'a.txt': consent was withdrawn on .*: {REASON}"):
        world.logs()


def test_an_erased_input_is_refused_in_a_sentence(world: World) -> None:
    made = world.logs()
    withdraw(world.record.recorder, "alpha", REASON)
    with pytest.raises(UsageError, match=rf"can't read its input 'numbers': dataset/test\.drives.* was erased on .*: consent withdrawn: {REASON}\."):
        world.split(made)


def test_what_was_pruned_is_made_again_and_never_given_as_there(world: World) -> None:
    made = world.logs()
    split = world.split(made)
    prune(world.record.recorder)
    again = world.logs()
    assert not again.reused
    assert again.outputs["numbers"].ref == made.outputs["numbers"].ref
    assert not world.split(again).reused
    assert world.split(again).outputs["low"].ref == split.outputs["low"].ref
    assert world.record.verify()["ok"]
    assert examine(world.record.recorder)["ok"]
    assert world.record.trace(world.model(world.split(again)).outputs["model"].ref)["complete"]


@pytest.mark.parametrize("type_", [pa.string(), pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_rows_of_the_withdrawn_are_dropped_in_every_type_that_the_store_keeps_as_drives(type_: pa.DataType, tmp_path: Path) -> None:
    gone = ErasureFilter({}, {"alpha": "gone."})
    rows = pa.table({"drive": pa.array(["alpha", "beta", "alpha"]).cast(type_), "value": [1, 2, 3]})
    for number, data in enumerate((rows, rows.to_batches()[0], rows.to_reader())):
        told: dict[str, str] = {}
        staged = write_table(gone.drop_rows(data, told), tmp_path / str(number))
        assert [file.partition for file in staged.files] == [(("drive", "beta"),)]
        assert [file.rows for file in staged.files] == [1]
        assert told == {"alpha": "gone."}


def test_rows_and_files_of_the_withdrawn_are_dropped_from_whatever_is_written(tmp_path) -> None:
    gone = ErasureFilter({"sha256:" + "0" * 64: "gone."}, {"alpha": "gone."})
    rows = pa.table({"drive": ["alpha", "beta", "alpha"], "value": [1, 2, 3]})
    told: dict[str, str] = {}
    assert gone.drop_rows(rows, told).to_pydict() == {"drive": ["beta"], "value": [2]}
    assert told == {"alpha": "gone."}
    assert gone.drop_rows(rows.to_reader(), {}).read_all().to_pydict() == {"drive": ["beta"], "value": [2]}
    assert gone.drop_rows(rows.rename_columns(["name", "value"]), {}).num_rows == 3
    (tmp_path / "kept").write_bytes(b"kept")
    assert gone.drop_files(tmp_path) == []
    files = [SourceFile(tmp_path / "kept", "kept", "sha256:" + digit * 64, 4) for digit in "01"]
    kept, left = gone.sift(files)
    assert ([file.digest[-1] for file in kept], [reason for _, reason in left]) == (["1"], ["gone."])


def test_a_supplied_version_stays_while_a_build_stands_on_it(world: World) -> None:
    from tracecore.errors import NegativeVerdict
    from tracecore.system.locks import share_store

    made = world.logs()
    with share_store(world.workspace.locks), pytest.raises(NegativeVerdict, match="Nothing is pruned while a build or export uses the stored bytes"):
        prune(world.record.recorder)
    assert not world.split(made).reused
    assert given(made, "numbers").artifact == made.outputs["numbers"]
