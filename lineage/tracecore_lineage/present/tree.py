"""A trace as a tree for the terminal; its first line shows the state of a build's seal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.text import Text
from rich.tree import Tree

from tracecore.kpis import read_kpis
from tracecore_lineage.catalog.delegation import keys_of
from tracecore_lineage.catalog.pseudonyms import display_name
from tracecore_lineage.catalog.signatures import seal_signatures
from tracecore_lineage.crypto.envelope import EnvelopeError, open_envelope
from tracecore_lineage.present.graph import TraceGraph
from tracecore_lineage.present.words import (
    BAD,
    Words,
    checks_in_words,
    claim_in_words,
    count,
    kpis_in_words,
    node_in_words,
    origin_in_words,
    screen,
    short_ref,
    static_in_words,
    together_in_words,
    training_in_words,
)
from tracecore_lineage.seal.seal import sealed_build
from tracecore_schemas.refs import parse_ref
from tracecore_schemas.trace import Trace

if TYPE_CHECKING:
    from tracecore_lineage.catalog.recorder import RecordWriter

__all__ = ["Sealed", "draw", "sealed_of", "show"]

_NAMED = 3
_GROUPED = 4
"""Minimum number of drive logs of one run to draw as one line."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """A build's seal for the first line of its tree; `passed` and `waived` count gates.

    Attributes:
        signature: whether it has a valid signature by a key of its workspace.
        approver: the name, or the pseudonym with the reason why the name is missing.
        signatures: how many keys of a policy signed, of how many required; None without a policy.
        verdict: failed checks, and KPIs with their gates.
    """

    signature: bool
    passed: int
    waived: int
    approver: str | None
    signatures: str | None = None
    verdict: Sequence[Words] = ()

    @property
    def first(self) -> list[Words]:
        """Styled texts that begin the first line of a build's tree: whether the seal's signature is valid, failed checks, and KPIs with gates."""
        valid = "signature valid (bytes: tracecore verify)" if self.signature else "SIGNATURE NOT VALID (tracecore verify says more)"
        return [(f"sealed, {valid}", "" if self.signature else BAD), *self.verdict]

    @property
    def last(self) -> list[Words]:
        """Styled texts on the first line of a build's tree, after those about the trace: signatures required by policy, gates, approver."""
        parts = [self.signatures, f"{count(self.passed, 'gate')} passed, {self.waived} waived", self.approver and f"approver {self.approver}"]
        return [(words, "") for words in parts if words]


def draw(trace: Trace, sealed: Sealed | None = None) -> Tree:
    """Return a backward or forward trace as a tree to print; `sealed` summarizes a build's signed statement for the first line."""
    graph = TraceGraph.of(trace)
    tree = Tree(_head(trace, graph, sealed), guide_style="dim")
    drawing = _Drawing(graph)
    for root in graph.roots():
        if root == trace["root"]:
            drawing.children(tree, root, top=True)
        else:
            drawing.node(tree, root)
    for entry in trace["gaps"]:
        tree.add(Text.assemble(("gap  ", "bold red"), f"{short_ref(entry['at'])}: {entry['why']}"))
    unknowns: dict[tuple[str, str], list[str]] = {}
    for unknown in trace["unknowns"]:
        unknowns.setdefault((unknown["what"], unknown["why"]), []).append(unknown["at"])
    for (what, why), places in unknowns.items():
        tree.add(Text.assemble(("unknown  ", "yellow"), f"{', '.join(short_ref(place) for place in places)}: {what}: {why}"))
    for words in static_in_words(trace["static"]):
        tree.add(Text.assemble(("static  ", "cyan"), words))
    for claim in trace["claims"]:
        tree.add(Text.assemble(("claim  ", "yellow"), f"{short_ref(claim['at'])}: {claim_in_words(claim)}"))
    for later in trace["later"]:
        called = None if later["what"] == "erased" else later.get("name")
        details = " ".join(filter(None, (called or later.get("state") or later.get("run"), later.get("text"))))
        tree.add(Text.assemble(("later  ", "magenta"), f"{short_ref(later['at'])}: {later['what']} {details} (recorded {later['recorded_at']})"))
    if trace.get("note"):
        tree.add(Text(trace["note"], style="italic"))
    return tree


def show(tree: Tree) -> None:
    """Print a tree on stdout: wrapped to the width of a terminal, unwrapped into a file or pipe."""
    screen().print(tree)


def _head(trace: Trace, graph: TraceGraph, sealed: Sealed | None) -> Text:
    verdict = "complete, no gaps" if trace["complete"] else count(len(trace["gaps"]), "gap") if trace["gaps"] else "cut"
    if trace["direction"] == "forward":
        builds = sum(node["kind"] == "build" for node in trace["nodes"])
        verdict = f"reached {count(builds, 'build')}, {count(max(len(trace['nodes']) - builds - 1, 0), 'other version')}"
    words: list[Words] = [(f"{verdict}, {count(len(trace['unknowns']), 'unknown')}", "")]
    if sealed is not None:
        words = [*sealed.first, *words, *sealed.last, *((each, "") for each in _apart_in_words(trace))]
    elif trace["root"] in graph.nodes:
        words = [*((each, "") for each in node_in_words(graph.nodes[trace["root"]], graph.run_of.get(trace["root"]))), *words]
    name = trace["root"].partition("@")[0] if trace["root"].startswith("build/") else short_ref(trace["root"])
    text = Text.assemble((name, "bold"), "   ")
    for place, (part, style) in enumerate(words):
        text.append(" · " if place else "").append(part, style)
    return text


def _apart_in_words(trace: Trace) -> list[str]:
    """Return texts for the first line of a build's tree: unknowns of its training data, and KPI reports on frames by which its model was chosen."""
    unknown = training_in_words((entry["what"], entry["why"]) for entry in trace["unknowns"] if entry["at"] == trace["root"])
    build = next((node for node in trace["nodes"] if node["ref"] == trace["root"]), None)
    reports = ((build["facets"] if build else {}).get("tracecore_selection") or {}).get("reports", ())
    return [*unknown, *(f"{report['role']}: selection, no headline" for report in reports)]


class _Drawing:
    """Drawing of a graph's nodes, each in full once and then as a reference "(above)"."""

    def __init__(self, graph: TraceGraph) -> None:
        self.graph = graph
        self.behind = graph.reduced()
        self.drawn: set[str] = set()
        self.unknown: dict[str, list[str]] = {}
        for unknown in graph.trace["unknowns"]:
            self.unknown.setdefault(unknown["at"], []).append(unknown["what"])
        self.gaps = {gap["at"] for gap in graph.trace["gaps"]}

    def node(self, tree: Tree, root: str) -> None:
        """Add a branch to `tree` for the node with key `root` and, unless drawn before, for all nodes it leads to in the trace's direction."""
        stack: list[tuple[Tree, str]] = [(tree, root)]
        while stack:
            parent, ref = stack.pop()
            again = ref in self.drawn and bool(self.behind.get(ref))
            self.drawn.add(ref)
            branch = parent.add(self._line(ref, again=again))
            if not again:
                stack.extend(reversed(self._open(branch, ref)))

    def children(self, tree: Tree, ref: str, *, top: bool = False) -> None:
        """Add branches to `tree` for the nodes that node `ref` leads to in the trace's direction. With `top`, vehicle programs (`program/…`) too."""
        self.drawn.add(ref)
        for branch, child in self._open(tree, ref, programs=top):
            self.node(branch, child)

    def _open(self, branch: Tree, ref: str, *, programs: bool = False) -> list[tuple[Tree, str]]:
        shown = [child for child in self.behind.get(ref, ()) if not child.startswith("program/")]
        drives = [child for child in shown if child.startswith("drive_log/")]
        behind: list[tuple[Tree, str]] = []
        above = len(drives) > 1 and self.drawn.issuperset(drives)
        if above or len(drives) >= _GROUPED:
            words = ["(above)"] if above else together_in_words([self.graph.nodes[drive] for drive in drives])
            group = branch.add(_line(f"{len(drives)} × drive_log", words))  # noqa: RUF001  # a multiplication sign is what is meant
            self.drawn.update(drives)
            shown = [child for child in shown if not child.startswith("drive_log/")]
            # The common sources of the drives, such as a simulated world or a bag.
            sources = [] if above else dict.fromkeys(source for drive in drives for source in self.behind.get(drive, ()))
            behind = [(group, source) for source in sources if not source.startswith("program/")]
        if programs:
            shown += sorted({other for other in self.graph.behind.get(ref, ()) if other.startswith("program/")})
        return [*behind, *((branch, child) for child in shown)]

    def _line(self, ref: str, *, again: bool) -> Text:
        if again or ref not in self.graph.nodes:
            return Text.assemble(short_ref(ref), ("   (above)" if again else "", "dim"))
        node = self.graph.nodes[ref]
        words = node_in_words(node, self.graph.run_of.get(ref))
        marks: Sequence[tuple[str, str]] = (
            *([(origin_in_words(node["origin"]), "cyan")] if "origin" in node else []),
            *([("rejected", "bold red")] if node["rejected"] else []),
            *([("gap", "bold red")] if node["ref"] in self.gaps else []),
            *([(f"unknown: {_some(self.unknown[node['ref']])}", "yellow")] if node["ref"] in self.unknown else []),
        )
        return _line(short_ref(ref), words, marks)


def _some(words: Sequence[str]) -> str:
    """Return some texts as one: all joined by commas, or, if more than four, the first three and the number of further ones."""
    more = len(words) - _NAMED
    return ", ".join(words) if more <= 1 else f"{', '.join(words[:_NAMED])} and {more} more"


def _line(name: str, words: Sequence[str], marks: Sequence[tuple[str, str]] = ()) -> Text:
    text = Text(name)
    parts: list[tuple[str, str]] = [*((word, "dim") for word in words), *marks]
    for place, (word, style) in enumerate(parts):
        text.append("   " if place == 0 else " · ", "dim")
        text.append(word, style)
    return text


def sealed_of(recorder: RecordWriter, trace: Trace) -> Sealed | None:
    """Return a summary of a build's seal (signed statement), its signature verified; None if the trace is not of a build or the build is unknown."""
    ref = trace["root"]
    if not ref.startswith("build/"):
        return None
    build = recorder.database.query(sealed_build, parse_ref(ref).segments[0])
    if build is None:
        return None
    signatures = None
    try:
        with recorder.database.read() as connection:
            keys = keys_of(connection, build.ref, recorder.public_keys(connection))
            valid = open_envelope(build.envelope).signed_by(keys) is not None
            found = seal_signatures(connection, build.ref, keys)
        signatures = None if found.words() is None else f"{found.words()}{'' if found.enough else ' (NOT ENOUGH)'}"
    except EnvelopeError:
        valid = False
    predicate = build.statement["predicate"]
    waived = sum(gate["waived"] for gate in predicate["gates"])
    approver = predicate["approver"]
    named = None if approver is None else recorder.database.query(display_name, approver)
    facets = {node["ref"]: node["facets"] for node in trace["nodes"]}
    apart = (facets.get(ref, {}).get("tracecore_selection") or {}).get("reports", ())
    kpis = read_kpis({entry["role"]: facets.get(entry["ref"], {}) for entry in predicate["artifacts"]}, [report["role"] for report in apart])
    failed = [check["name"] for run in trace["runs"] for check in run["checks"] if not check["success"]]
    verdict = [*checks_in_words(failed), *kpis_in_words(predicate["gates"], kpis)]
    return Sealed(valid, sum(gate["passed"] for gate in predicate["gates"]), waived, named, signatures, verdict)
