"""Draws the pictures in docs/images: the packages and what they import, the architecture, and a build's trace.

python docs/pictures.py packages architecture
tracecore trace build/demo --json | python docs/pictures.py trace
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
Graph = dict[str, set[str]]
"""The nodes behind each node: what a package imports, what an artifact was made from."""


@dataclass(frozen=True, slots=True)
class Box:
    """Label and color of a node: title, then smaller lines below it."""

    title: str
    lines: tuple[str, ...] = ()
    color: str = "#eef2f7"


# --- Packages --------------------------------------------------------------------------------------------------------


def modules() -> dict[str, Path]:
    """Return every shipped module by its dotted name, without generated migrations and the plugin template."""
    packages = [ROOT / "tracecore", *(path.parent for path in ROOT.glob("*/tracecore_*/__init__.py"))]
    packages += [path.parent for path in ROOT.glob("plugins/[!_]*/tracecore_*/__init__.py")]
    files = [(package, file) for package in packages for file in package.rglob("*.py")]
    named = {".".join(file.relative_to(package.parent).with_suffix("").parts).removesuffix(".__init__"): file for package, file in files}
    return {name: file for name, file in sorted(named.items()) if "versions" not in name and "_template" not in name}


def imports(name: str, file: Path, known: Iterable[str]) -> set[str]:
    """Return the modules of ours that a module imports anywhere: at its top, inside functions and for type checkers."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {module if (module := f"{node.module}.{alias.name}") in known else node.module for alias in node.names}
    return (found & set(known)) - {name}


def package_graph() -> Graph:
    """Return which packages import which: a folder of a distribution is a node, and so is a module directly in the distribution.

    The imports of a distribution's own `__init__` are left out: it only publishes names.
    """
    known = modules()
    graph: Graph = {}
    for name, file in known.items():
        package = _package(name)
        found = imports(name, file, known) if "." in name else set()
        graph.setdefault(package, set()).update({_package(other) for other in found} - {package})
    return graph


def _package(module: str) -> str:
    return ".".join(module.split(".")[:2])


def circles(graph: Graph) -> list[list[str]]:
    """Return the groups of nodes that reach each other."""
    reached = {node: _reach(graph, node) for node in graph}
    groups = {tuple(sorted({other for other in reached[node] if node in reached.get(other, set())})) for node in graph}
    return sorted(list(group) for group in groups if len(group) > 1)


def _reach(graph: Graph, start: str) -> set[str]:
    found: set[str] = set()
    stack = [start]
    while stack:
        new = graph.get(stack.pop(), set()) - found
        found |= new
        stack += new
    return found


def packages() -> str:
    """Draw the packages with what they import; the plugins are one box, and so are the published modules of tracecore."""
    count: dict[str, int] = {}
    for name in modules():
        count[_drawn(name)] = count.get(_drawn(name), 0) + 1
    graph: Graph = {node: set() for node in count}
    for package, others in package_graph().items():
        if _drawn(package) != PUBLISHED:
            graph[_drawn(package)] |= {_drawn(other) for other in others} - {_drawn(package)}
    colors = {"lineage": "#e3f0e3", "assets": "#fbeede", "graphql": "#f6e3ef", "schemas": "#ececec"}
    boxes = {
        node: Box(node, (f"{number} modules" if number > 1 else "1 module",), colors.get(node.partition(".")[0], "#e5ecf8"))
        for node, number in count.items()
    }
    caption = "Packages: an arrow leads to what is imported. Left out: imports that follow from others, and those of the published modules"
    return svg(boxes, reduced(graph), caption)


PUBLISHED = "tracecore: published modules"


def _drawn(module: str) -> str:
    """Return the box that a module is drawn in."""
    root, _, rest = module.partition(".")
    first = rest.partition(".")[0]
    if root == "tracecore":
        return f"tracecore.{first}" if (ROOT / "tracecore" / first / "__init__.py").exists() and first else PUBLISHED
    if root in {"tracecore_lineage", "tracecore_assets"}:
        return f"{root.removeprefix('tracecore_')}.{first or 'api'}"
    if root == "tracecore_graphql":
        return "graphql.commands" if first == "commands" else "graphql"
    return "schemas" if root == "tracecore_schemas" else "plugins"


# --- Architecture ----------------------------------------------------------------------------------------------------


def architecture() -> str:
    """Draw the parts that a build passes through, from program to answers."""
    boxes = {
        "program": Box("vehicle program (YAML)", ("assets, checks, gates",), "#fbeede"),
        "assets": Box("assets: Dagster", ("load · resolve · define · run · release",), "#fbeede"),
        "stages": Box("plugins: stages, checks, gates", ("ingest · labels · training · TensorRT · KPIs",), "#e5ecf8"),
        "kernel": Box("tracecore: the kernel", ("runs a stage in a process of its own",), "#e5ecf8"),
        "store": Box("artifact store", ("files and Delta tables by digest; folder or bucket",), "#ececec"),
        "ledger": Box("ledger", ("OpenLineage events, Merkle tree, checkpoints",), "#e3f0e3"),
        "producers": Box("other producers", ("files of OpenLineage events",), "#fbeede"),
        "catalog": Box("catalog", ("SQLite or PostgreSQL; rebuilt from the ledger",), "#e3f0e3"),
        "seal": Box("sealed build", ("in-toto statement, DSSE signature",), "#e3f0e3"),
        "answers": Box("trace · impact · verify", ("no Dagster, plugin or GPU needed",), "#e3f0e3"),
        "cli": Box("command line, Python", ("tracecore trace build/demo",), "#f6e3ef"),
        "server": Box("audit server", ("GraphQL",), "#f6e3ef"),
        "bundle": Box("bundle, evidence", ("verifies offline; CycloneDX, PROV",), "#f6e3ef"),
    }
    flow = {
        "assets": {"program"}, "kernel": {"assets", "stages"}, "store": {"kernel"}, "ledger": {"kernel", "producers"}, "catalog": {"ledger"},
        "seal": {"ledger", "store"}, "answers": {"catalog", "seal"}, "cli": {"answers"}, "server": {"answers"}, "bundle": {"answers"},
    }  # fmt: skip
    return svg(boxes, flow, "Architecture: an arrow leads from what is read to what is made of it", backward=True)


# --- A trace ---------------------------------------------------------------------------------------------------------


def trace(answer: Mapping[str, Any]) -> str:
    """Draw a trace (the JSON of `tracecore trace`): its runs, from the drives to the sealed build; equal runs are one box."""
    nodes = {node["ref"]: node for node in answer["nodes"]}
    job = {run["id"]: run["job"] for run in answer["runs"]}
    stage = {run["job"]: run["stage"] or "release" for run in answer["runs"]}
    times = {name: sum(each == name for each in job.values()) for name in stage}
    made = {edge["ref"]: job[edge["run"]] for edge in answer["edges"] if edge["direction"] == "output"}
    graph: Graph = {name: set() for name in stage}
    for edge in answer["edges"]:
        if edge["direction"] == "input" and made.get(edge["ref"], job[edge["run"]]) != job[edge["run"]]:
            graph[job[edge["run"]]].add(made[edge["ref"]])
    boxes = {name: Box(_title(name, times[name]), _made(nodes, made, name), _COLORS.get(stage[name], "#eef2f7")) for name in stage}
    state = "complete" if answer["complete"] else "not complete"
    about = f"{answer['root'][:40]}: {state}, {len(answer['gaps'])} gaps, {len(answer['unknowns'])} unknowns"
    return svg(boxes, reduced(graph), f"{about}. An arrow leads from what a run read to what it made", backward=True)


_COLORS = {
    **dict.fromkeys(("simulate", "ingest"), "#ececec"),
    **dict.fromkeys(("train", "export", "compress", "compile"), "#e3f0e3"),
    **dict.fromkeys(("evaluate", "diagnose"), "#f6e3ef"),
    "label": "#fbeede",
    "curate": "#e5ecf8",
    "release": "#fff3b8",
}


def _title(job: str, times: int) -> str:
    name = job.partition(".")[2]
    return f"{times} × {name}" if times > 1 else name  # noqa: RUF001  # the sign that traces print


def _made(nodes: Mapping[str, Any], made: Mapping[str, str], job: str) -> tuple[str, ...]:
    """Return the versions that a job made, shortened to their digest; of more than two their number."""
    refs = [ref for ref, name in made.items() if name == job and ref in nodes]
    shown = [f"{nodes[ref]['kind']}@{ref.partition('@')[2][:6]}" for ref in refs]
    kinds = sorted({nodes[ref]["kind"] for ref in refs})
    return (" · ".join(shown),) if len(shown) <= 2 else (f"{len(shown)} versions: {', '.join(kinds)}",)


# --- Drawing ---------------------------------------------------------------------------------------------------------


def reduced(graph: Graph) -> Graph:
    """Return the graph without edges that follow from longer paths; edges of circles are kept."""
    reach = {node: _reach(graph, node) for node in graph}
    return {
        node: {
            other
            for other in others
            if not any(other in reach.get(third, set()) and third not in reach.get(other, set()) for third in others - {other})
        }
        for node, others in graph.items()
    }


def svg(boxes: Mapping[str, Box], graph: Graph, caption: str, *, backward: bool = False) -> str:
    """Lay a graph out in rows and write it as SVG; an arrow over several rows passes between the boxes of each.

    Args:
        boxes: the nodes.
        graph: what is behind each node.
        caption: is written above the picture.
        backward: draw what is behind a node above it, with an arrow that leads down from there.
    """
    rows, routes = _rows(boxes, graph, backward=backward)
    widths = [sum(_WIDTH if node in boxes else _LANE for node in row) + _GAP_X * (len(row) + 1) for row in rows]
    total = max(*widths, 6.6 * len(caption))
    place: dict[str, tuple[float, float]] = {}
    for number, row in enumerate(rows):
        x = (total - widths[number]) / 2 + _GAP_X
        for node in row:
            wide = _WIDTH if node in boxes else _LANE
            place[node] = (x + wide / 2, _TOP + number * (_HEIGHT + _GAP_Y))
            x += wide + _GAP_X
    head = '<marker id="a" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {total:.0f} {_TOP + len(rows) * (_HEIGHT + _GAP_Y)}" font-family="sans-serif">',
        f'<defs>{head}<path d="M0 0L8 4L0 8z" fill="#567"/></marker></defs>',
        f'<rect width="100%" height="100%" fill="#fff" rx="8"/><text x="{_GAP_X}" y="24" font-size="13" fill="#345">{escape(caption)}</text>',
    ]
    for route in routes:
        (x, y), *others = [place[node] for node in route]
        path = f"M{x:.0f} {y + _HEIGHT:.0f}"
        for node, (end_x, end_y) in zip(route[1:], others, strict=True):
            start_y, middle = y + _HEIGHT, (y + _HEIGHT + end_y) / 2
            path += f"C{x:.0f} {middle:.0f} {end_x:.0f} {middle:.0f} {end_x:.0f} {end_y - (node in boxes):.0f}" if start_y < end_y else ""
            path += f"V{end_y + _HEIGHT:.0f}" if node not in boxes else ""
            x, y = end_x, end_y
        parts.append(f'<path d="{path}" fill="none" stroke="#8a9bb0" stroke-width="1.2" marker-end="url(#a)"/>')
    for node, box in boxes.items():
        x, y = place[node]
        parts.append(f'<rect x="{x - _WIDTH / 2:.0f}" y="{y:.0f}" width="{_WIDTH}" height="{_HEIGHT}" rx="6" fill="{box.color}" stroke="#8a9bb0"/>')
        parts.append(_text(x, y + 17, 13, box.title))
        parts += [_text(x, y + 17 + 14 * (i + 1), 10.5, line) for i, line in enumerate(box.lines)]
    return "\n".join([*parts, "</svg>"]) + "\n"


_WIDTH, _HEIGHT, _LANE, _GAP_X, _GAP_Y, _TOP = 250, 40, 4, 14, 22, 40


def _text(x: float, y: float, size: float, text: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" font-size="{size}" text-anchor="middle" fill="#123">{escape(text)}</text>'


def _rows(boxes: Mapping[str, Box], graph: Graph, *, backward: bool) -> tuple[list[list[str]], list[list[str]]]:
    """Return the nodes by row and each arrow's way down through the rows, with a lane in every row that it only passes."""
    depth: dict[str, int] = {}

    def deepest(node: str, path: frozenset[str]) -> int:
        if node not in depth:
            depth[node] = max((1 + deepest(other, path | {node}) for other in sorted(graph.get(node, set()) - path)), default=0)
        return depth[node]

    for node in sorted(boxes):
        deepest(node, frozenset({node}))
    last = max(depth.values())
    row_of = {node: depth[node] if backward else last - depth[node] for node in boxes}
    routes = []
    for node, others in sorted(graph.items()):
        for other in sorted(others):
            upper, lower = sorted((node, other), key=lambda each: row_of[each])
            between = range(row_of[upper] + 1, row_of[lower])
            lanes = [f"{upper}|{lower}|{row}" for row in between]
            row_of.update(zip(lanes, between, strict=True))
            routes.append([upper, *lanes, lower])
    rows: list[list[str]] = [[node for node, row in row_of.items() if row == number] for number in range(last + 1)]
    _order(rows, routes)
    return rows, routes


def _order(rows: list[list[str]], routes: Iterable[Sequence[str]]) -> None:
    """Order each row by the places of the neighbors in the rows above and below it."""
    near: dict[str, list[str]] = {node: [] for row in rows for node in row}
    for route in routes:
        for upper, lower in pairwise(route):
            near[upper].append(lower)
            near[lower].append(upper)
    for _ in range(24):
        middle = {node: x - (len(row) - 1) / 2 for row in rows for x, node in enumerate(row)}
        for row in rows:
            row.sort(key=lambda node: (sum(middle[other] for other in near[node]) / max(1, len(near[node])), node))
            middle.update({node: x - (len(row) - 1) / 2 for x, node in enumerate(row)})


if __name__ == "__main__":
    for name in sys.argv[1:]:
        drawn = trace(json.load(sys.stdin)) if name == "trace" else {"packages": packages, "architecture": architecture}[name]()
        (IMAGES / f"{name}.svg").write_text(drawn, encoding="utf-8")
