"""The reference pages are what their command writes, the pictures can be drawn, and no packages import each other in a circle."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ET

import pytest
from markdown_pages import ROOT

FOLDER = ROOT / "docs" / "reference"


def _run(code: str, folder: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT / folder, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    code = "import json, sys, references; json.dump({name: page() for name, page in references.PAGES.items()}, sys.stdout)"
    return dict(json.loads(_run(code, "docs/reference")))


def test_every_reference_page_is_what_its_command_writes(pages: dict[str, str]) -> None:
    stale = [name for name, text in pages.items() if (FOLDER / f"{name}.md").read_text(encoding="utf-8") != text]
    assert stale == [], "run: make docs"
    assert {path.stem for path in FOLDER.glob("*.md")} == set(pages)


def test_no_packages_import_each_other_in_a_circle() -> None:
    """Imports inside functions and those for type checkers count."""
    found = json.loads(_run("import json, pictures; print(json.dumps(pictures.circles(pictures.package_graph())))", "docs"))
    assert found == []


def test_every_picture_is_drawn_from_the_code_and_names_the_packages() -> None:
    packages, architecture = (ET.fromstring(_run(f"import pictures; print(pictures.{name}())", "docs")) for name in ("packages", "architecture"))
    drawn = {text.text for text in packages.iter("{http://www.w3.org/2000/svg}text")}
    folders = {f"lineage.{path.parent.name}" for path in ROOT.glob("lineage/tracecore_lineage/*/__init__.py")}
    assert folders <= drawn
    assert len(list(architecture)) > 20


def test_a_trace_is_drawn_with_its_runs() -> None:
    answer = {
        "root": "build/demo@" + "a" * 64,
        "complete": True,
        "gaps": [],
        "unknowns": [],
        "nodes": [{"ref": ref, "kind": ref.partition("/")[0]} for ref in ("build/demo@aaaaaa", "model/p.m@bbbbbb", "dataset/p.d@cccccc")],
        "runs": [{"id": name, "job": f"p.{name}", "stage": stage} for name, stage in (("d", "ingest"), ("m", "train"), ("release", None))],
        "edges": [
            {"run": run, "ref": ref, "direction": direction}
            for run, ref, direction in (
                ("d", "dataset/p.d@cccccc", "output"),
                ("m", "dataset/p.d@cccccc", "input"),
                ("m", "model/p.m@bbbbbb", "output"),
                ("release", "model/p.m@bbbbbb", "input"),
                ("release", "build/demo@aaaaaa", "output"),
            )
        ],
    }
    drawn = ET.fromstring(_run(f"import json, pictures; print(pictures.trace(json.loads({json.dumps(json.dumps(answer))})))", "docs"))
    texts = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert {"d", "m", "release", "model@bbbbbb"} <= set(texts)
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}path"))) == 3  # the arrow head and two arrows
