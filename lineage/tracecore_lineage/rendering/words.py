"""What to say of a node in a few words, from its facets: as a person who knows the program would."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tracecore_schemas.trace import Node, RunNode

__all__ = ["count", "drives_in_words", "node_in_words", "short_ref"]

_DIGITS = 6
_PEOPLE = 8
"""How many labelers are named in one line."""


def short_ref(ref: str) -> str:
    """Cut the digest of a ref to what people compare: six digits."""
    name, at, version = ref.partition("@")
    digits = version.removeprefix("sha256:")
    return f"{name}@{digits[:_DIGITS]}" if at and len(digits) == 64 else ref


def count(number: int, noun: str) -> str:
    """Write a number of things: `1 frame`, `1,204 frames`, `2 batches`."""
    plural = f"{noun}es" if noun.endswith(("ch", "sh", "x", "s")) and noun != "epoch" else f"{noun}s"
    return f"{number:,} {noun if number == 1 else plural}"


def node_in_words(node: Node, run: RunNode | None) -> list[str]:
    """Give what is worth knowing of a node at a glance, most important first."""
    words = [word for describe in _DESCRIBERS.get(node["kind"], (_size,)) for word in describe(node, run)]
    return [*words, *_checks(run, node)]


def drives_in_words(nodes: Sequence[Node]) -> list[str]:
    """Say of several drive logs together when and where they were recorded."""
    drives = [_facet(node, "tracecore_drive") for node in nodes]
    days = sorted({day for drive in drives for day in (_day(drive.get("start_ns")), _day(drive.get("end_ns"))) if day})
    clocks = {str(drive["clock"]) for drive in drives if drive.get("clock")}
    regions = sorted({str(value) for drive in drives for key, value in (drive.get("metadata") or {}).items() if key in {"region", "country"}})
    synthetic = clocks and clocks != {"measured"}
    when = [] if not days or synthetic else [days[0] if days[0] == days[-1] else f"{days[0]} … {days[-1]}"]
    return [*when, *([f"clock {', '.join(sorted(clocks))}"] if synthetic else []), *([", ".join(regions)] if regions else [])]


def _facet(node: Node, name: str) -> Mapping[str, Any]:
    found = node["facets"].get(name)
    return found if isinstance(found, Mapping) else {}


def _day(nanoseconds: Any) -> str | None:
    try:
        return datetime.fromtimestamp(int(nanoseconds) / 1e9, UTC).date().isoformat()
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _plugin(_: Node, run: RunNode | None) -> list[str]:
    return [f"{run['plugin']} {run['plugin_version']}"] if run is not None and run["plugin"] else []


def _size(node: Node, _: RunNode | None) -> list[str]:
    size = float(node["size_bytes"] or 0)
    if not size:
        return []
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return [f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"]
        size /= 1000
    return [f"{size:.1f} GB"]


def _frames(node: Node, _: RunNode | None) -> list[str]:
    frames = _facet(node, "tracecore_frames")
    if "frames" in frames:
        drives = frames.get("drives") or {}
        held = count(int(frames["frames"]), "frame")
        return [f"{held} of {count(len(drives), 'drive')}" if drives else held]
    return [count(node["rows"], "row")] if node["rows"] is not None else _size(node, None)


def _labels(node: Node, _: RunNode | None) -> list[str]:
    labels = _facet(node, "tracecore_labels")
    if "boxes" not in labels:
        return _frames(node, None)
    held = [count(int(labels[kind]), noun) for kind, noun in (("boxes", "box"), ("cuboids", "cuboid")) if labels.get(kind)]
    words = [", ".join(held) or "no boxes"]
    if labels.get("frames"):
        words[0] += f" on {count(int(labels['frames']), 'frame')}"
    words += [f"guideline {', '.join(map(str, labels['guidelines']))}"] if labels.get("guidelines") else []
    words += [_labelers(labels["labelers"])] if labels.get("labelers") else []
    shares = [f"{labels[share]:.0%} {done}" for share, done in _SHARES if isinstance(labels.get(share), (int, float))]
    return [*words, *([", ".join(shares)] if shares else [])]


_SHARES = (("reviewed_share", "reviewed"), ("agreed_share", "agreed"))


def _labelers(pseudonyms: Sequence[Any]) -> str:
    """Name who labeled; of many the first few, and how many there are."""
    named = ", ".join(map(str, pseudonyms[:_PEOPLE]))
    if len(pseudonyms) > _PEOPLE:
        return f"labelers {named}, … {len(pseudonyms):,} in all"
    return f"{'labeler' if len(pseudonyms) == 1 else 'labelers'} {named}"


def _world(node: Node, run: RunNode | None) -> list[str]:
    world = _facet(node, "tracecore_world")
    drives = world.get("drives")
    simulated = [f"{count(len(drives), 'simulated drive')} · {world.get('scenarios', '')} · seed {world.get('seed', '')}"] if drives else []
    return [*_plugin(node, run), *simulated] if simulated else _size(node, run)


def _bug(node: Node, _: RunNode | None) -> list[str]:
    bug = _facet(node, "tracecore_bug")
    shown = bug.get("frames") or ()
    words = [str(bug["text"])] if bug.get("text") else []
    words += [f"severity {bug['severity']}"] if bug.get("severity") else []
    return [*words, *([f"shown by {count(len(shown), 'frame')}"] if shown else [])]


def _training(node: Node, _: RunNode | None) -> list[str]:
    training = _facet(node, "tracecore_training")
    return [count(int(training[unit]), unit[:-1]) for unit in ("epochs", "steps") if isinstance(training.get(unit), (int, float))]


def _parity(node: Node, _: RunNode | None) -> list[str]:
    parity = _facet(node, "tracecore_parity")
    difference = parity.get("max_abs_difference")
    return [f"parity with {parity.get('against', 'its source')} {difference:.1e}"] if isinstance(difference, (int, float)) else []


def _engine(node: Node, _: RunNode | None) -> list[str]:
    engine = _facet(node, "tracecore_engine")
    builder = " ".join(str(engine[key]) for key in ("builder", "builder_version") if engine.get(key))
    return [word for word in (builder, _text(engine, "compute_capability"), _text(engine, "precision")) if word]


def _text(facet: Mapping[str, Any], key: str) -> str:
    value = facet.get(key)
    return ", ".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value) if value is not None else ""


_HEADLINE = ("map50", "path_error.mean", "light.accuracy", "mistakes_per_hour.total", "mota")
"""The KPIs of our own reports that stand for the rest, a head or level each."""


def _kpis(node: Node, _: RunNode | None) -> list[str]:
    kpis = _facet(node, "tracecore_kpis")
    values, baseline = kpis.get("values") or {}, kpis.get("baseline") or {}
    first = [name for name in _HEADLINE if name in values] or sorted(values)[:2]
    return [
        f"{name} {values[name]:.2f}{f' (baseline {baseline[name]:.2f})' if isinstance(baseline.get(name), (int, float)) else ''}"
        for name in first
        if isinstance(values[name], (int, float))
    ]


def _checks(run: RunNode | None, node: Node) -> list[str]:
    """Say how the checks of the run went; a run with several outputs is checked as a whole."""
    if run is None or not run["checks"] or node["kind"] == "drive_log":
        return []
    failed = [check["name"] for check in run["checks"] if not check["success"]]
    passed = len(run["checks"]) - len(failed)
    return [*([f"{count(passed, 'check')} passed"] if passed else []), *([f"failed: {', '.join(failed)}"] if failed else [])]


_Describer = Callable[[Node, "RunNode | None"], list[str]]
_DESCRIBERS: Mapping[str, tuple[_Describer, ...]] = {
    "dataset": (_frames,),
    "event_set": (_frames,),
    "label_batch": (_labels,),
    "model": (_plugin, _training, _parity),
    "engine": (_engine,),
    "kpi_report": (_kpis,),
    "drive_log": (_world,),
    "build": (),
    "bug": (_bug,),
    "labeler": (),
}
