"""Locks between processes: a second one waits, a crash releases, `recover` only tries."""

import os
import threading
import time
from pathlib import Path

import pytest

from tracecore.system.locks import hold_key, hold_run, hold_table, own_store, share_store, try_run

KEY = "sha256:" + "a" * 64


def test_a_key_is_held_by_one_at_a_time_and_the_second_is_told_that_it_waits(tmp_path: Path) -> None:
    told: list[str] = []
    order: list[str] = []

    def second() -> None:
        with hold_key(tmp_path, KEY, lambda: told.append("waiting")):
            order.append("second")

    with hold_key(tmp_path, KEY):
        thread = threading.Thread(target=second)
        thread.start()
        while not told:
            time.sleep(0.01)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]
    assert told == ["waiting"]


def test_a_live_run_can_not_be_taken_and_a_finished_one_leaves_no_lock_file(tmp_path: Path) -> None:
    with hold_run(tmp_path, "r1"), try_run(tmp_path, "r1") as got:
        assert not got
    assert not list(tmp_path.iterdir())
    with try_run(tmp_path, "r1") as got:
        assert got
    assert not list(tmp_path.iterdir())


def test_a_killed_process_lets_go_of_its_run(tmp_path: Path) -> None:
    ready, done = os.pipe()
    child = os.fork()
    if child == 0:
        with hold_run(tmp_path, "r1"):
            os.write(done, b"x")
            time.sleep(60)
        os._exit(0)
    os.read(ready, 1)
    with try_run(tmp_path, "r1") as got:
        assert not got
    os.kill(child, 9)
    os.waitpid(child, 0)
    with try_run(tmp_path, "r1") as got:
        assert got


def test_tables_of_different_names_do_not_wait_for_each_other(tmp_path: Path) -> None:
    with hold_table(tmp_path, "dataset", "a/b ü"), hold_table(tmp_path, "dataset", "a"):
        assert len(list(tmp_path.glob("table-*.lock"))) == 2


def test_a_child_that_outlives_a_killed_process_holds_none_of_its_locks_and_one_that_ends_lets_go_of_none(tmp_path: Path) -> None:
    """As the workers of a pool do, which wait for work that never comes."""
    ready, done = os.pipe()
    killed = os.fork()
    if killed == 0:
        with hold_run(tmp_path, "r1"), hold_key(tmp_path, KEY), share_store(tmp_path):
            if os.fork() == 0:
                os._exit(0)
            os.wait()
            worker = os.fork()
            if worker == 0:
                time.sleep(60)
                os._exit(0)
            os.write(done, f"{worker}\n".encode())
            time.sleep(60)
        os._exit(0)
    worker = int(os.read(ready, 20))
    try:
        with try_run(tmp_path, "r1") as got, own_store(tmp_path, 0) as alone:
            assert (got, alone) == (False, False)
        os.kill(killed, 9)
        os.waitpid(killed, 0)
        with try_run(tmp_path, "r1") as got, own_store(tmp_path, 0) as alone:
            assert (got, alone) == (True, True)
        with hold_key(tmp_path, KEY, lambda: pytest.fail("it waits")):
            pass
    finally:
        os.kill(worker, 9)
