"""Producer processes that work on one record, and the judge of the answers they got: nothing lost, nothing twice, one history."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from tracecore_lineage.catalog.replay import catalog_differences

if TYPE_CHECKING:
    from tracecore_lineage import Record

__all__ = ["Judge", "Producers", "judged", "opened"]

_WRITER = Path(__file__).with_name("ledger_writer.py")


class Producers:
    """Processes of several writer threads each, given the same orders.

    Args:
        workspace: whose record they write.
        processes: how many.
        threads: writers in each.
        catalog_url: where the record lies; the workspace's own SQLite where None.
    """

    def __init__(self, workspace: Path, *, processes: int, threads: int, catalog_url: str | None) -> None:
        environment = {**os.environ, **({} if catalog_url is None else {"TRACECORE_CATALOG_URL": catalog_url})}
        command = [sys.executable, str(_WRITER), str(workspace)]
        self._writers = [list(range(number * threads, (number + 1) * threads)) for number in range(processes)]
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(processes)
        ]
        for process in self._processes:
            self._line(process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.close()
        for process in self._processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            assert process.stdout is not None
            process.stdout.close()

    def order(self, **order: int) -> None:
        """Let every writer begin; `answers` waits for them."""
        for process, writers in zip(self._processes, self._writers, strict=True):
            assert process.stdin is not None
            process.stdin.write(json.dumps({**order, "writers": writers}) + "\n")
            process.stdin.flush()

    def answers(self) -> list[dict[str, Any]]:
        """Return the answers that each writer got, once all are done."""
        return [answer for process in self._processes for answer in self._line(process)]

    def _line(self, process: subprocess.Popen[str]) -> Any:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"A producer ended with {process.wait()} before it answered.")
        return json.loads(line)


@dataclass
class Judge:
    """What was ever acknowledged of one record, and every checkpoint ever given; the record is held to both."""

    acknowledged: set[str] = field(default_factory=set)
    roots: dict[int, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)

    def told(self, answers: Iterable[Mapping[str, Any]]) -> None:
        """Take the answers that writers got."""
        for answer in answers:
            self.acknowledged.update(answer["acknowledged"])
            if answer["error"] is not None:
                self.broken.append(f"a writer could not go on: {answer['error']}")
            for note in answer["checkpoints"]:
                self.keep(note)

    def keep(self, note: str) -> None:
        """Take a checkpoint; two that differ at one size are a fork."""
        _, size, root = note.split("\n")[:3]
        said = base64.b64decode(root).hex()
        if self.roots.setdefault(int(size), said) != said:
            self.broken.append(f"two histories of {size} events were signed: {self.roots[int(size)][:12]} and {said[:12]}")

    def holds(self, leaves: Sequence[tuple[str, bytes]], head: str) -> list[str]:
        """Hold a ledger to what was promised; gives every broken promise.

        Args:
            leaves: recorded time and exact bytes of each event, in order.
            head: the ledger's own checkpoint.
        """
        self.keep(head)
        seen = Counter(hashlib.sha256(body).hexdigest() for _, body in leaves)
        twice = [identity for identity, count in seen.items() if count > 1]
        lost = self.acknowledged - seen.keys()
        found = [*self.broken]
        found += [f"{len(lost)} acknowledged events are lost, {min(lost)[:12]} among them"] if lost else []
        found += [f"{len(twice)} events are there twice, {twice[0][:12]} among them"] if twice else []
        found += [f"a checkpoint over {size} events was given, and the ledger holds {len(leaves)}" for size in self.roots if size > len(leaves)]
        for size, root in _roots(leaves, self.roots):
            if root != self.roots[size]:
                found.append(f"the first {size} events have the root {root[:12]}, and {self.roots[size][:12]} was signed: the history forked")
        return found


def _roots(leaves: Sequence[tuple[str, bytes]], sizes: Iterable[int]) -> list[tuple[int, str]]:
    """Return the Merkle roots at some sizes by RFC 6962 and docs/formats/ledger.md only."""
    wanted = set(sizes)
    complete: list[tuple[int, bytes]] = []  # (leaves, hash) of the complete subtrees, largest first
    found = [(0, hashlib.sha256().hexdigest())] if 0 in wanted else []
    for size, (recorded_at, body) in enumerate(leaves, start=1):
        data = json.dumps({"event_sha256": hashlib.sha256(body).hexdigest(), "recorded_at": recorded_at, "v": 1}, separators=(",", ":"))
        complete.append((1, hashlib.sha256(b"\x00" + data.encode()).digest()))
        while len(complete) > 1 and complete[-1][0] == complete[-2][0]:
            (count, left), (_, right) = complete[-2:]
            complete[-2:] = [(2 * count, hashlib.sha256(b"\x01" + left + right).digest())]
        if size in wanted:
            root = complete[-1][1]
            for _, left in reversed(complete[:-1]):
                root = hashlib.sha256(b"\x01" + left + root).digest()
            found.append((size, root.hex()))
    return found


def judged(judge: Judge, workspace: Path, url: str | None) -> list[str]:
    """Compare a record with the answers its writers got, and let it verify itself."""
    from tracecore_lineage.ledger import ledger

    with opened(workspace, url) as record:
        with record.database.read() as connection:
            leaves = [(leaf.recorded_at, leaf.body) for leaf in ledger.read(connection)]
        broken = judge.holds(leaves, record.recorder.checkpoint())
        broken += [f"verify: {failure['ref']}: {failure['what']}" for failure in record.verify()["failures"][:3]]
        broken += [f"replay: {difference}" for difference in record.query(catalog_differences, record.ledger)[:3]]
    return broken


@contextmanager
def opened(workspace: Path, url: str | None) -> Iterator[Record]:
    """Open the record of a workspace that lies where a URL says, or in the workspace itself."""
    from tracecore_lineage import Record

    before = os.environ.get("TRACECORE_CATALOG_URL")
    try:
        if url is not None:
            os.environ["TRACECORE_CATALOG_URL"] = url
        with Record.open(workspace) as record:
            yield record
    finally:
        os.environ.pop("TRACECORE_CATALOG_URL", None)
        if before is not None:
            os.environ["TRACECORE_CATALOG_URL"] = before
