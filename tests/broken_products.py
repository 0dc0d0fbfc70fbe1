"""Products that break a promise on purpose, as files of Python that a victim runs first: what the judges must see."""

from __future__ import annotations

IN_PLACE = '''
"""A store that writes a file where it will be read, without a rename; killed half way."""
import os, signal
from tracecore.store.local import LocalStore

def put_file(self, source, *, run_id, move=False):
    from tracecore_schemas.canonical import digest_file, hex_of
    digits = hex_of(digest_file(source))
    target = self.root / "blobs" / digits[:2] / digits
    target.parent.mkdir(exist_ok=True)
    with target.open("wb") as file:
        file.write(source.read_bytes()[:10])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

LocalStore.put_file = put_file
'''

IN_TWO_WRITES = '''
"""A store that writes a file where it will be read, in two writes."""
import os
from tracecore.store.protocol import Stored
from tracecore.store.local import LocalStore
from tracecore_schemas.canonical import digest_file, hex_of
from tracecore_schemas.kinds import Media

def put_file(self, source, *, run_id, move=False):
    digest = digest_file(source)
    digits = hex_of(digest)
    target = self.root / "blobs" / digits[:2] / digits
    if not target.exists():
        target.parent.mkdir(exist_ok=True)
        data = source.read_bytes()
        file = os.open(target, os.O_CREAT | os.O_WRONLY)
        os.write(file, data[:10])
        os.write(file, data[10:])
        os.fsync(file)
        os.close(file)
    return Stored(digest, Media.FILE, f"blobs/{digits[:2]}/{digits}", source.stat().st_size)

LocalStore.put_file = put_file
'''

WITHOUT_MANIFEST = '''
"""A store that shows a directory before it says what is in it; killed in between."""
import os, signal
from tracecore.store import local

def manifest_last(self, source, *, run_id):
    _, manifest = local.described_directory(source)
    local.rename_durably(source, self.root / local.tree_location(local.digest_bytes(manifest)))
    os.kill(os.getpid(), signal.SIGKILL)

local.LocalStore.put_directory = manifest_last
'''

PROMISED_BEFORE_STORED = '''
"""A store that answers at once and means to write later: COMPLETE names what is not there. Killed before the end."""
import os, signal
from tracecore.store.protocol import Stored
from tracecore.store.local import LocalStore
from tracecore_lineage.catalog.recorder import RecordWriter

def put_file(self, source, *, run_id, move=False):
    from tracecore_schemas.canonical import digest_file, hex_of
    from tracecore_schemas.kinds import Media
    digest = digest_file(source)
    digits = hex_of(digest)
    return Stored(digest, Media.FILE, f"blobs/{digits[:2]}/{digits}", source.stat().st_size)

complete = RecordWriter.complete

def completed(self, *arguments, **named):
    complete(self, *arguments, **named)
    os.kill(os.getpid(), signal.SIGKILL)

LocalStore.put_file = put_file
LocalStore.open = lambda self, artifact: self.root / artifact.location
RecordWriter.complete = completed
'''

WITHOUT_TRANSACTION = '''
"""A ledger that commits event by event; killed after the first of a batch."""
import os, signal
from tracecore_lineage.ledger import ledger

append = ledger.append

def appended(connection, bodies, sign):
    if len(bodies) < 4:
        return append(connection, bodies, sign)
    append(connection, bodies[:1], sign)
    connection.exec_driver_sql("COMMIT")
    os.kill(os.getpid(), signal.SIGKILL)

ledger.append = appended
'''

ACKNOWLEDGED_AND_LOST = '''
"""A record that says yes and keeps nothing."""
from tracecore_lineage import Record
from tracecore_lineage.exchange.ingest import Ingested

Record.ingest = lambda self, events, *, own=False: Ingested(len(events), 0, ())
'''

REWRITTEN = '''
"""A ledger that changes what is in it: an event is replaced, and everything is hashed anew."""
import hashlib, sqlite3
from tracecore_lineage.retention import recover

original = recover.recover

def recovered(recorder):
    answer = original(recorder)
    with sqlite3.connect(recorder.workspace.root / "record.db") as database:
        body = database.execute("SELECT body FROM ledger_event WHERE seq = 3").fetchone()[0] + b" "
        database.execute("UPDATE ledger_event SET body = ?, event_id = ? WHERE seq = 3", (body, hashlib.sha256(body).hexdigest()))
    return answer

recover.recover = recovered
'''

NO_FSYNC_OF_FILES = '''
"""Folders are forced to disk, files are not."""
import os, stat

fsync = os.fsync
os.fsync = lambda file: fsync(file) if stat.S_ISDIR(os.fstat(file).st_mode) else None
'''

NO_FSYNC_OF_FOLDERS = '''
"""Files are forced to disk, folders are not."""
import os, stat

fsync = os.fsync
os.fsync = lambda file: None if stat.S_ISDIR(os.fstat(file).st_mode) else fsync(file)
'''

FSYNC_BEFORE_THE_LAST_WRITE = '''
"""A copy is forced to disk before its last byte is written."""
from tracecore.store import base_store

clone_or_copy = base_store.clone_or_copy

def copied(source, target):
    answer = clone_or_copy(source, target)
    with target.open("r+b") as file:
        file.write(source.read_bytes()[:1])
    return answer

base_store.clone_or_copy = copied
'''

SYNCHRONOUS_OFF = '''
"""SQLite does not wait for the disk."""
from tracecore_lineage.ledger import dialects

connect = dialects._sqlite_connection

def connected(path):
    connection = connect(path)
    connection.execute("PRAGMA synchronous=OFF")
    return connection

dialects._sqlite_connection = connected
'''

TRUSTS_WHAT_IT_FINDS = '''
"""What a killed process left in a folder is taken for safe."""
from tracecore.store import local

fsync_upward = local.fsync_upward
local.fsync_upward = lambda folder, top: fsync_upward(folder, top) if folder.name == "_delta_log" else None
'''

FSYNC_ERRORS_IGNORED = '''
"""A disk that says no is not listened to."""
import contextlib, os

fsync = os.fsync

def forced(file):
    with contextlib.suppress(OSError):
        fsync(file)

os.fsync = forced
'''
