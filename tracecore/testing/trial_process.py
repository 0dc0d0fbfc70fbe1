"""A process that tries one plugin, started by `tracecore.testing.trials`; it writes its results to a file as JSON lines.

It is a separate process because an audit hook can't be removed, a stage may crash it, and outputs are compared between processes.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from tracecore.running.worker.process import end_with_parent
from tracecore_schemas.kinds import StageKind

__all__ = ["main"]


def main(specification: Path) -> None:
    """Test each plugin stage and object listed in a JSON file; append a JSON line before and after each to the file that its key `answers` names."""
    spec: dict[str, Any] = json.loads(specification.read_text(encoding="utf-8"))
    answers = Path(spec["answers"])
    with answers.open("a", encoding="utf-8") as lines:

        def say(answer: Mapping[str, Any]) -> None:
            lines.write(json.dumps(answer) + "\n")
            lines.flush()

        say({"alone": _alone(spec["module"], spec["strangers"])})
        stages = set(StageKind)
        bench: Any = None
        for wanted in spec["stages"]:
            say({"begun": wanted["name"]})
            if wanted["kind"] in stages:
                if bench is None:
                    from tracecore.testing.bench import Bench

                    bench = Bench(_entry(spec), Path(spec["workspace"]))
                say({"stage": wanted["name"], **bench.attempt(wanted)})
            else:
                say({"stage": wanted["name"], **_attempt(spec, wanted)})


def _alone(module: str, strangers: list[str]) -> list[str]:
    """Import a plugin's module, and return a message for each forbidden package that this imports: of the record, or one of `strangers`."""
    from tracecore.testing.rules import RECORD

    before = set(sys.modules)
    importlib.import_module(module)
    brought = {name.partition(".")[0] for name in set(sys.modules) - before}
    return [f"importing {module} brings in {name}" for name in sorted(brought & {*RECORD, *strangers})]


def _entry(spec: Mapping[str, Any]) -> metadata.EntryPoint:
    return next(each for each in metadata.entry_points(group="tracecore") if each.name == spec["plugin"])


def _attempt(spec: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Call a plugin's object other than a stage; return {"error": text or None}, and `refused` (a reason) if the test needs an author's sample."""
    from tracecore.plugins.host import PluginHost
    from tracecore.system.failures import reason_of
    from tracecore.testing.object_trials import NotTriedError, try_object
    from tracecore.testing.stage_samples import Sample, read_input

    inputs = {port: read_input(Path(path)) for port, path in wanted["inputs"].items()}
    folder = Path(wanted["base"]) / "files"
    folder.mkdir()
    try:
        sample = Sample(wanted["params"], inputs, wanted["facets"])
        try_object(PluginHost([_entry(spec)]), spec["plugin"], wanted["kind"], wanted["name"].partition(" ")[2], sample, folder)
    except NotTriedError as error:
        return {"error": None, "refused": str(error)}
    except (Exception, SystemExit) as error:  # noqa: BLE001  # whatever an object raises belongs into the report
        return {"error": reason_of(error)}
    return {"error": None}


if __name__ == "__main__":
    end_with_parent(int(sys.argv[2]))
    main(Path(sys.argv[1]))
    # A stage may have left threads running that would keep the process alive; the findings are in the file.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
