"""One process in which the stages of one plugin are tried: started by `tracecore.testing.trials`, answers in a file of JSON lines.

A process of its own because an audit hook can't be removed, because a stage may crash its process, and because the same seed must give the same bytes
in another one.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

from tracecore.running.worker.process import end_with_parent

__all__ = ["main"]


def main(specification: Path) -> None:
    """Try every stage that a specification names, and write a line about each."""
    spec: dict[str, Any] = json.loads(specification.read_text(encoding="utf-8"))
    answers = Path(spec["answers"])
    with answers.open("a", encoding="utf-8") as lines:

        def say(answer: Mapping[str, Any]) -> None:
            lines.write(json.dumps(answer) + "\n")
            lines.flush()

        say({"alone": _alone(spec["module"], spec["strangers"])})
        if not spec["stages"]:
            return
        bench = _bench(spec)
        for wanted in spec["stages"]:
            say({"begun": wanted["name"]})
            say({"stage": wanted["name"], **bench.attempt(wanted)})


def _alone(module: str, strangers: list[str]) -> list[str]:
    """Import the plugin before anything else is, and say what came with it that should not have."""
    from tracecore.testing.rules import RECORD

    before = set(sys.modules)
    importlib.import_module(module)
    brought = {name.partition(".")[0] for name in set(sys.modules) - before}
    return [f"importing {module} brings in {name}" for name in sorted(brought & {*RECORD, *strangers})]


def _bench(spec: Mapping[str, Any]) -> Any:
    from tracecore.testing.bench import Bench

    entry = next(each for each in metadata.entry_points(group="tracecore") if each.name == spec["plugin"])
    return Bench(entry, Path(spec["workspace"]))


def _leave(code: int) -> NoReturn:
    import os

    # A stage may have left threads running that would keep the process alive; what was found stands in the file.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


if __name__ == "__main__":
    end_with_parent(int(sys.argv[2]))
    main(Path(sys.argv[1]))
    _leave(0)
