"""Single bits flipped, one at a time, all over a workspace: each has to be named by `verify`, offline, and by its right name."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

from flip_targets import Flip, checkpoint_bits, targets
from small_record import SmallRecord, make_small_record
from trials import Trial, Try

from tracecore.errors import TracecoreError
from tracecore_lineage import Record

__all__ = ["Flips", "judge", "try_flip", "verdict_of"]

_CLEAN_EVERY = 500


class Flips:
    """Flip a bit, verify everything, flip it back.

    Trials go through the classes of targets in turn, so that a few hundred of them meet every one; a trial of the checkpoint's class takes the
    next few of its bits, so that the full count meets each.

    Args:
        make: makes the workspace in an empty folder.
    """

    name = "flips"
    unit = "flips"
    full = 10_000

    def __init__(self, make: Callable[[Path], SmallRecord] = make_small_record) -> None:
        self._make = make

    @contextmanager
    def trials(self, folder: Path) -> Iterator[Try]:
        made = self._make(folder)
        classes = targets(made.root)
        bits = checkpoint_bits(made.checkpoint)
        rounds = -(-self.full // (len(classes) + 1))
        at_once = -(-len(bits) // rounds)

        def attempt(number: int) -> Trial:
            turn, place = divmod(number, len(classes) + 1)
            if place == len(classes):
                chosen = [bits[(turn * at_once + step) % len(bits)] for step in range(at_once)]
                name = "checkpoint"
            else:
                chosen = [classes[place].choose(Random(number))]
                name = classes[place].name.partition(".")[0]
            broken = [why for flip in chosen if (why := try_flip(made, flip, pinned=bool(number % 2)))]
            if number % _CLEAN_EVERY == 0 and (left := verdict_of(made, pinned=True)):
                broken.append(f"the workspace is not clean after the flips were undone: {left}")
            return Trial(number, tuple(broken), {"bits": len(chosen), f"of {name}": len(chosen)})

        if left := verdict_of(made, pinned=True):
            raise RuntimeError(f"The workspace does not verify before any bit is flipped: {left}")
        yield attempt


def try_flip(made: SmallRecord, flip: Flip, *, pinned: bool) -> str | None:
    """Return what is wrong with the verdict on a record with one bit flipped; None if it names what was flipped."""
    with flip.flipped():
        try:
            found = verdict_of(made, pinned=pinned)
        except Exception as error:  # noqa: BLE001  # whatever `verify` raises is a broken promise to be reported
            return f"{flip.named}: verify crashed with {type(error).__name__}: {error}"
    return judge(flip, found)


def verdict_of(made: SmallRecord, *, pinned: bool) -> list[dict[str, Any]] | str:
    """Return the failures that `verify` lists, or the sentence it refuses with."""
    try:
        with Record.open(made.root) as record:
            verdict = record.verify(key=made.key if pinned else None, checkpoint=made.checkpoint)
    except TracecoreError as error:
        return str(error)
    return [dict(failure) for failure in verdict["failures"]]


def judge(flip: Flip, found: list[dict[str, Any]] | str) -> str | None:
    """Return what is wrong with the answer to a flip; None where it names what was flipped."""
    if isinstance(found, str):
        return None if flip.words in found else f"{flip.named}: the sentence does not name {flip.words}: {found}"
    if not found:
        return f"{flip.named}: verify says that all is well"
    if any(_names(flip, failure) for failure in found):
        return None
    said = "; ".join(f"{failure['ref']}: {failure['what']}" for failure in found[:3])
    return f"{flip.named}: verify names {said}, not {flip.words}"


def _names(flip: Flip, failure: dict[str, Any]) -> bool:
    """A stored file is named together with a version that depends on it; a row or a key by its own name; an event by its position."""
    text = f"{failure['ref']} {failure['what']}"
    if flip.words.partition(" ")[0] in {"ledger_event", "ledger_head"}:
        return failure["ref"] in flip.refs
    if flip.refs == {"checkpoint"}:
        return failure["ref"] == "checkpoint"
    return flip.words in text and (not flip.refs or failure["ref"] in flip.refs)
