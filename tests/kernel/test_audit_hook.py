"""What a stage opens that nothing handed to it is seen, reported with its line, and accesses of other code are not."""

from __future__ import annotations

import _thread
import importlib
import os
import socket
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest

from tracecore.running.allowed_paths import AllowedPaths
from tracecore.running.audit_hook import Access, Watch

SOURCE = '''
"""Stands for a plugin: what it does is told by its own lines."""

import os, shutil, socket, sqlite3, tempfile
from pathlib import Path

def read(path): return Path(path).read_bytes()
def write(path): Path(path).write_text("x")
def listed(path): return list(os.scandir(path))
def removed(path): os.remove(path)
def connected(port):
    with socket.socket() as one: one.connect(("127.0.0.1", port))
def database(path): sqlite3.connect(path).close()
def descriptor(path): os.close(os.open(path, os.O_RDONLY))
def temporary():
    with tempfile.TemporaryDirectory() as folder:
        deep = Path(folder) / "deep"
        deep.mkdir()
        (deep / "file").write_text("x")
        return (deep / "file").read_text()
'''


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "watched_plugin.py").write_text(SOURCE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    yield importlib.import_module("watched_plugin")
    sys.modules.pop("watched_plugin")


@pytest.fixture
def watch() -> Watch:
    return Watch("watched_plugin", AllowedPaths())


def line(name: str) -> str:
    return f"watched_plugin.py:{next(number for number, text in enumerate(SOURCE.splitlines(), 1) if text.startswith(f'def {name}('))}"


@pytest.mark.parametrize("name", ["read", "write", "listed", "removed", "database", "descriptor"])
def test_an_access_is_told_with_the_line_of_the_plugin_that_asked(name: str, plugin: ModuleType, watch: Watch, tmp_path: Path) -> None:
    target = tmp_path / "given"
    if name == "listed":
        target.mkdir()
    elif name != "write":
        target.write_bytes(b"")
    with watch.on():
        getattr(plugin, name)(str(target))
    verb = "write" if name in {"write", "removed"} else "read"
    if verb == "write":
        assert watch.strays() == []  # it lies among temporary files, where a stage may make what it likes
        return
    assert watch.strays() == [Access("read", str(target), line(name))]


def test_what_is_written_outside_temporary_files_is_seen(plugin: ModuleType, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "t"))
    watch = Watch("watched_plugin", AllowedPaths())
    with watch.on():
        plugin.write(str(tmp_path / "made"))
        plugin.removed(str(tmp_path / "made"))
    assert watch.strays() == [Access("write", str(tmp_path / "made"), line("write"))]


def test_a_connection_is_told_by_host_and_port(plugin: ModuleType, watch: Watch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with watch.on():
            plugin.connected(port)
    assert watch.strays() == [Access("connect", f"127.0.0.1:{port}", f"watched_plugin.py:{SOURCE[: SOURCE.index('one.connect')].count(chr(10)) + 1}")]


def test_what_was_handed_out_code_and_what_is_not_there_are_nobodys_news(plugin: ModuleType, watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "given").write_bytes(b"")
    (tmp_path / "link").symlink_to(tmp_path / "given")
    watch.places.read(tmp_path / "given")
    with watch.on():
        plugin.read(str(tmp_path / "given"))
        plugin.read(str(tmp_path / "link"))
        plugin.read(os.__file__)
        with pytest.raises(FileNotFoundError):
            plugin.read(str(tmp_path / "absent"))
        sqlite3.connect(":memory:").close()
    assert watch.strays() == []


def test_a_link_out_of_what_was_handed_out_leads_to_what_was_not(plugin: ModuleType, watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"")
    (tmp_path / "given").mkdir()
    (tmp_path / "given" / "fine").write_bytes(b"")
    (tmp_path / "given" / "link").symlink_to(tmp_path / "secret")
    watch.places.read(tmp_path / "given")
    with watch.on():
        plugin.read(str(tmp_path / "given" / "fine"))
        plugin.read(str(tmp_path / "given" / "link"))
    assert [access.target for access in watch.strays()] == [str(tmp_path / "given" / "link")]


def test_temporary_files_are_the_stages_own_only_where_it_made_them(plugin: ModuleType, watch: Watch, tmp_path: Path) -> None:
    left = tmp_path / "left.csv"  # pytest's folders lie among temporary files
    left.write_bytes(b"")
    with watch.on():
        assert plugin.temporary() == "x"
        plugin.write(str(tmp_path / "own"))
        plugin.read(str(tmp_path / "own"))
        plugin.write(str(left))
        plugin.read(str(left))
    assert watch.strays() == [Access("read", str(left), line("read"))]


def test_a_font_cache_is_nobodys_input_and_every_other_cache_is(plugin: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for library in ("matplotlib", "torch"):
        (tmp_path / "cache" / library).mkdir(parents=True)
        (tmp_path / "cache" / library / "kept").write_bytes(b"")
    watch = Watch("watched_plugin", AllowedPaths())
    with watch.on():
        plugin.read(str(tmp_path / "cache" / "matplotlib" / "kept"))
        plugin.read(str(tmp_path / "cache" / "torch" / "kept"))
    assert watch.strays() == [Access("read", str(tmp_path / "cache" / "torch" / "kept"), line("read"))]


def test_threads_that_the_stage_starts_are_watched_and_no_others_are(plugin: ModuleType, watch: Watch, tmp_path: Path) -> None:
    for name in ("direct", "pooled", "nested", "foreign", "older"):
        (tmp_path / name).write_bytes(b"")
    go, done = threading.Event(), threading.Event()

    def foreign() -> None:
        go.wait()
        plugin.read(str(tmp_path / "foreign"))
        done.set()

    def nested() -> None:
        run(lambda: plugin.read(str(tmp_path / "nested")))

    other = threading.Thread(target=foreign)
    other.start()
    with ThreadPoolExecutor(1) as older:
        older.submit(int).result()
        with watch.on():
            go.set()
            done.wait()
            older.submit(plugin.read, str(tmp_path / "older")).result()  # a thread that was there before: not seen, as the page says
            run(lambda: plugin.read(str(tmp_path / "direct")))
            run(nested)
            with ThreadPoolExecutor(2) as pool:
                pool.submit(plugin.read, str(tmp_path / "pooled")).result()
    other.join()
    assert {Path(access.target).name for access in watch.strays()} == {"direct", "pooled", "nested"}


def test_a_thread_that_python_knows_nothing_of_and_one_that_can_not_be_told_from_others_go_on_undisturbed(
    plugin: ModuleType, watch: Watch, tmp_path: Path
) -> None:
    (tmp_path / "raw").write_bytes(b"")
    done = threading.Event()

    def raw() -> None:
        plugin.read(str(tmp_path / "raw"))
        done.set()

    class Same(threading.Thread):
        __hash__ = None  # type: ignore[assignment]

    with watch.on():
        run(int)  # from here on started threads are looked up
        _thread.start_new_thread(raw, ())
        assert done.wait(5)
        with pytest.raises(TypeError):  # threading's own: it keeps threads in sets
            Same(target=int).start()
    assert watch.strays() == []


def run(work: Callable[[], object]) -> None:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()


def test_a_thread_that_outlives_the_stage_is_no_longer_watched(plugin: ModuleType, watch: Watch, tmp_path: Path) -> None:
    (tmp_path / "late").write_bytes(b"")
    go = threading.Event()

    def late() -> None:
        go.wait()
        plugin.read(str(tmp_path / "late"))

    with watch.on():
        thread = threading.Thread(target=late)
        thread.start()
    go.set()
    thread.join()
    assert watch.strays() == []


def test_what_the_kernel_does_where_it_works_is_not_the_stages(plugin: ModuleType, watch: Watch, tmp_path: Path) -> None:
    for name in ("workspace", "elsewhere"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"")
    watch.places.kernel(tmp_path / "workspace")
    with watch.on():
        with watch.kernel():
            plugin.read(str(tmp_path / "workspace" / "file"))
            plugin.read(str(tmp_path / "elsewhere" / "file"))
            run(lambda: plugin.read(str(tmp_path / "workspace" / "file")))
        plugin.read(str(tmp_path / "workspace" / "file"))
    assert [Path(access.target).parent.name for access in watch.strays()] == ["elsewhere", "workspace"]


def test_two_stages_side_by_side_are_told_apart(plugin: ModuleType, tmp_path: Path) -> None:
    watches = [Watch("watched_plugin", AllowedPaths()) for _ in range(2)]
    barrier = threading.Barrier(2)

    def stage(number: int) -> None:
        with watches[number].on():
            barrier.wait()
            for each in range(20):
                (path := tmp_path / f"{number}-{each}").touch()
                plugin.read(str(path))
            barrier.wait()

    for path in (tmp_path / f"{number}-{each}" for number in range(2) for each in range(20)):
        path.touch()
    threads = [threading.Thread(target=stage, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, watch in enumerate(watches):
        assert {Path(access.target).name.partition("-")[0] for access in watch.strays()} <= {str(number)}


def test_more_than_can_be_remembered_is_counted(plugin: ModuleType, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tracecore.running.audit_hook._MOST", 3)
    for number in range(5):
        (tmp_path / str(number)).write_bytes(b"")
    with watch.on():
        for number in range(5):
            plugin.read(str(tmp_path / str(number)))
            plugin.read(str(tmp_path / str(number)))
    assert (len(watch.strays()), watch.uncounted) == (3, 4)


def test_a_hook_that_can_not_make_sense_of_an_access_disturbs_nothing(
    plugin: ModuleType, watch: Watch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    (gone / "x").write_bytes(b"seen")
    descriptor = os.open("x", os.O_RDONLY)
    try:
        (gone / "x").unlink()
        gone.rmdir()
        with watch.on(), pytest.raises(FileNotFoundError):
            plugin.read("x")
        assert watch.uncounted == 1
    finally:
        os.close(descriptor)
