"""One worker process of a campaign: acts for its labelers in turn until every task is done; may be killed at any moment."""

from __future__ import annotations

import importlib
import json
import os
import secrets
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from label_plan import Fate, Plan, correction, labels_by

from tracecore.errors import UsageError
from tracecore_labeling.campaign.clock import WallClock
from tracecore_labeling.campaign.label import Label, label_from_json, label_json
from tracecore_labeling.campaign.queue import Claim, Queue

__all__ = ["Journal", "Worker"]


class Journal:
    """What one worker submitted and what was acknowledged to it, kept outside the queue; a SIGKILL leaves at most half a line, which is cut off.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        whole = path.read_bytes().rfind(b"\n") + 1
        os.ftruncate(self._file, whole)
        os.lseek(self._file, whole, os.SEEK_SET)

    def intend(self, id_: str, what: Mapping[str, Any]) -> None:
        """Note that something is about to be submitted."""
        self._write({"intend": id_, **what})

    def acknowledged(self, id_: str, what: Mapping[str, Any]) -> None:
        """Note that it was accepted, or refused."""
        self._write({"acknowledged": id_, **what})

    def _write(self, line: Mapping[str, Any]) -> None:
        # One write: a line is there or it is not; the kernel keeps it though this process dies.
        os.write(self._file, json.dumps(line).encode() + b"\n")

    @staticmethod
    def lines(path: Path) -> list[dict[str, Any]]:
        """Read every whole line of a journal."""
        return [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]] if path.exists() else []

    @classmethod
    def unanswered(cls, path: Path) -> list[dict[str, Any]]:
        """Return the submissions without an acknowledgement: the worker was killed between the two."""
        waiting: dict[str, dict[str, Any]] = {}
        for line in cls.lines(path):
            if "intend" in line:
                waiting[line["intend"]] = line
            else:
                waiting.pop(line["acknowledged"], None)
        return list(waiting.values())


class Worker:
    """Acts for every labeler whose number has this remainder.

    Args:
        folder: of the campaign.
        plan: what labelers do.
        number: of this worker, from 0.
        queue: class of the queue.
    """

    def __init__(self, folder: Path, plan: Plan, number: int, queue: type[Queue]) -> None:
        self.plan = plan
        self.queue = queue(folder / "campaign.db", WallClock())
        journal = folder / f"worker-{number}.ndjson"
        self.unanswered = Journal.unanswered(journal)
        self.journal = Journal(journal)
        self.names = [plan.name(each) for each in range(number, plan.labelers, plan.processes)]
        self.life = secrets.token_hex(4)
        self.away: dict[str, tuple[int, Claim]] = {}

    def run(self) -> None:
        """Work until every task is done, or the process that started this one has ended."""
        parent = os.getppid()
        for line in self.unanswered:
            self._hand_in(line["intend"], line)
        while not self._finished():
            busy = False
            for who in self.names:
                if os.getppid() != parent:
                    return
                busy |= self._turn(who)
            if not busy:
                time.sleep(0.05)
        self.queue.close_file()

    def _finished(self) -> bool:
        counts = self.queue.counts()
        return sum(counts.values()) - counts["done"] == 0

    def _turn(self, who: str) -> bool:
        """Let one labeler do one thing; return whether there was anything to do."""
        if who in self.away:
            until, claim = self.away[who]
            if self.queue.clock.now() <= until:
                return False
            del self.away[who]
            # They come back, too late, and hand in all the same.
            self._label(claim, who)
            return True
        claim_ = self.queue.claim(who, role="review") or self.queue.claim(who)
        if claim_ is None:
            return False
        fate = Fate.of(self.plan, claim_.task, who)
        if claim_.role == "review":
            self._review(claim_, who, fate)
        elif fate.refuses:
            # On a loaded machine the time may run out before the refusal arrives; then there is nothing left to refuse.
            with suppress(UsageError):
                self.queue.refuse(claim_.task, who, "too many objects")
        elif fate.walks_away:
            self.away[who] = (claim_.until, claim_)
        else:
            self._label(claim_, who)
            if fate.sends_twice:
                self._label(claim_, who)
        return True

    def _label(self, claim: Claim, who: str) -> None:
        labels = [label_json(label) for label in labels_by(self.plan, claim.task, who)]
        self._hand_in(self._id(claim, who), {"what": "submit", "task": claim.task, "who": who, "labels": labels})

    def _review(self, claim: Claim, who: str, fate: Fate) -> None:
        after: list[tuple[str | None, Label]] = correction(claim.labels) if fate.verdict == "corrected" else []
        written = [[id_, label_json(label)] for id_, label in after]
        given = {"what": "review", "task": claim.task, "who": who, "verdict": fate.verdict, "after": written}
        self._hand_in(self._id(claim, who), given)

    def _id(self, claim: Claim, who: str) -> str:
        """Return the id of a claim's submission: the same while this process lives, another after a kill.

        So a submission that was acknowledged and then lost can't pass for the one that replaced it.
        """
        return f"{claim.role}-{claim.task}-{who}-{claim.until}-{self.life}"

    def _hand_in(self, id_: str, what: dict[str, Any]) -> None:
        """Submit, journaled before and after; a worker killed between the two submits again with the same id."""
        self.journal.intend(id_, what)
        try:
            if what["what"] == "submit":
                receipt = self.queue.submit(what["task"], what["who"], id_, [label_from_json(label) for label in what["labels"]])
            else:
                after = [(named, label_from_json(label)) for named, label in what["after"]]
                receipt = self.queue.review(what["task"], what["who"], id_, what["verdict"], after)
            self.journal.acknowledged(id_, {"seq": receipt.seq, "repeated": receipt.repeated})
        except UsageError as problem:
            self.journal.acknowledged(id_, {"refused": str(problem)})


def main(order: dict[str, Any]) -> None:
    """Be the worker that an order describes: `plan`, `folder`, `number`, `queue` (`module:Class`), `path` (for imports)."""
    sys.path += order["path"]
    module, _, name = order["queue"].partition(":")
    Worker(Path(order["folder"]), Plan(**order["plan"]), order["number"], getattr(importlib.import_module(module), name)).run()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
