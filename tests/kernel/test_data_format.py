"""The bytes that the kernel writes have not changed without their version: where one of these fails, DATA_FORMAT is raised with the new digest.

A run names that version among what it depends on, in place of the distribution `tracecore`.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

from tracecore.store.local import LocalStore
from tracecore.workspace import Workspace
from tracecore_diagnosis.event_clusters import CLUSTERS
from tracecore_schemas.arrow_tables import BUILT_IN_TABLES, PARTITION
from tracecore_schemas.canonical import DATA_FORMAT, digest_file, digest_json

SCHEMAS = {name.upper(): table.schema for name, table in sorted({**BUILT_IN_TABLES, CLUSTERS.name: CLUSTERS}.items())}
EXPECTED = {
    "version": 2,
    "schemas": "sha256:7497fa92fc283edf3b893f85bbde82dcbcb6e67b1e42db50168f435683bfc5c2",
    "table": "sha256:0708d027f6b04f2aebbf640f3ade1712159db1c4827c2e86aa4c3febc6d1a3bc",
    "files": ["sha256:c435d0c5daab1fe827904291494d1b3a94de03d2edc4418247d06d27f9136b98"] * 2,
    "directory": "sha256:ea2d0862ad697422fcb5139e4175e8522aba70eb57b98ec835467a5b9696d906",
    "file": "sha256:277089d91c0bdf4f2e6862ba7e4a07605119431f5d13f726dd352b06f1b206a9",
}


def test_what_is_written_is_what_this_version_writes(workspace: Workspace, tmp_path: Path) -> None:
    store = LocalStore(workspace)
    rows = [{PARTITION: drive, "timestamp_ns": 10 - n, "value": n / 3, "name": f"é{n}"} for drive in ("b", "a") for n in range(5)]
    staged = store.stage_table(pa.Table.from_pylist(rows), run_id="r", port="t")
    files = [each.digest for each in staged.files]
    table = store.put_table(staged, kind="dataset", name="t", run_id="r")
    folder = store.staging("r") / "folder"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "file").write_bytes(b"bytes")
    directory = store.put_directory(folder, run_id="r")
    (tmp_path / "file").write_bytes(b"bytes")
    schemas = digest_json({name: [[field.name, str(field.type), field.nullable] for field in schema] for name, schema in SCHEMAS.items()})
    found = {
        "version": DATA_FORMAT,
        "schemas": schemas,
        "table": table.digest,
        "files": files,
        "directory": directory.digest,
        "file": digest_file(tmp_path / "file"),
    }
    assert found == EXPECTED
