"""`python -m soaks [NAME] [--count N] [--share K/N] [--state DIR]`: attack the record again and again, going on where the last time stopped."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hypothesis.configuration import set_hypothesis_home_dir
from registry import SOAKS
from trials import Soak, Tally

__all__ = ["main"]

_STATE = Path(".soaks")
_SHOW_EVERY_S = 10.0


def main(arguments: Sequence[str] | None = None, soaks: Mapping[str, Soak] = SOAKS) -> int:
    """List the soaks, or run one; gives the exit code."""
    parser = argparse.ArgumentParser(prog="python -m soaks", description=__doc__)
    parser.add_argument("name", nargs="?", choices=sorted(soaks), help="which; without it all are listed with what was tried so far")
    parser.add_argument("--count", type=int, help="trials in all, those of earlier times among them (the full number by default)")
    parser.add_argument("--share", type=_share, default=(1, 1), metavar="K/N", help="only each Nth trial, from the Kth on: N processes, one a core")
    parser.add_argument("--state", type=Path, default=_STATE, help="where trials are remembered (%(default)s)")
    asked = parser.parse_args(arguments)
    if asked.name is None:
        for name, soak in sorted(soaks.items()):
            tally = Tally(asked.state / f"{name}.jsonl")
            print(f"{name:<12} {len(tally.trials):>6} of {soak.full} {soak.unit}, {len(tally.broken())} broken promises")
        return 0
    set_hypothesis_home_dir(asked.state / "hypothesis")  # else it makes a folder of its own where we are
    soak = soaks[asked.name]
    return run(soak, Tally(asked.state / f"{soak.name}.jsonl"), soak.full if asked.count is None else asked.count, asked.share)


def run(soak: Soak, tally: Tally, count: int, share: tuple[int, int] = (1, 1)) -> int:
    """Make the trials that are missing, or this process's share of them; 1 where any broke a promise, in this or an earlier time."""
    began = shown = time.monotonic()
    first, step = share
    missing = [number for number in tally.missing(count) if number % step == first - 1]
    commit = _commit()
    if missing:
        with tempfile.TemporaryDirectory(prefix=f"tracecore-{soak.name}-") as folder, soak.trials(Path(folder)) as attempt:
            for done, number in enumerate(missing, start=1):
                trial = attempt(number)
                tally.add(trial, commit)
                if trial.broken:
                    break
                if time.monotonic() - shown > _SHOW_EVERY_S:
                    shown = time.monotonic()
                    print(f"{soak.name}: {done} of {len(missing)} {soak.unit}, {shown - began:.0f} s", file=sys.stderr)
    broken = tally.broken()
    counts = "".join(f", {number:,} {what}" for what, number in tally.counts().items())
    last = f"{time.monotonic() - began:.0f} s for the last {len(missing):,}"
    verdict = "BROKEN" if broken else "ok"
    print(f"{soak.name} {verdict}: {len(tally.trials):,} {soak.unit}{counts}; {len(broken)} broken promises; {last}")
    for why in broken[:10]:
        print(f"  {why}", file=sys.stderr)
    return 1 if broken else 0


def _share(text: str) -> tuple[int, int]:
    first, _, step = text.partition("/")
    if not (first.isdecimal() and step.isdecimal() and 1 <= int(first) <= int(step)):
        raise argparse.ArgumentTypeError(f"expected K/N with K from 1 to N, as 1/2, found {text!r}")
    return int(first), int(step)


def _commit() -> str:
    found = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    return found.stdout.strip() or "unknown"
