"""`python -m benchmarks [--quick] [--json]`: each figure with its ratio to a baseline of the same run. Exit 1 where a ratio passes its bound."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

# The folder is not a package (no root folder is); its modules are found next to this file.
sys.path.insert(0, str(Path(__file__).parent))

import ledger
import record
import store
import watching
from measure import Comparison

BENCHMARKS: tuple[Callable[[Path, int], Comparison], ...] = (
    record.append,
    ledger.commit_together,
    ledger.append_batch,
    record.trace,
    store.put_table,
    store.verify,
    watching.watched_run,
)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each once, to see that it runs")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout")
    asked = parser.parse_args(arguments)
    found: list[Comparison] = []
    for benchmark in BENCHMARKS:
        with tempfile.TemporaryDirectory(prefix="tracecore-bench-") as folder:
            result = benchmark(Path(folder), 1 if asked.quick else 5)
        found.append(result)
        if not asked.json:
            mark = "" if result.within else f"   over its bound of {result.bound:g}"
            ours, theirs = result.seconds * 1000, result.baseline_seconds * 1000
            print(f"{result.name:<24} {result.amount:<14} {ours:9.1f} ms   {result.ratio:6.1f} x {result.baseline} ({theirs:.1f} ms){mark}")
    if asked.json:
        keys = ("name", "amount", "baseline", "seconds", "baseline_seconds", "ratio", "bound", "within")
        print(json.dumps({"benchmarks": [{key: getattr(result, key) for key in keys} for result in found]}, indent=2))
    return 0 if all(result.within for result in found) else 1


if __name__ == "__main__":
    sys.exit(main())
