"""`python -m benchmarks.determinism`: is the same seed the same bytes? Each seed's program is built twice, in two workspaces at different paths.

Writes a picture, a row a seed and a column an artifact from drives to ONNX, and exits with 1 where a digest differs, or where two seeds share one
that chance should have made different.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

SMALL = {"next_world.drives": 2, "next_world.frames": 3, "world.drives": 5, "world.frames": 6, "model.steps": 6, "training_set.validation": 0.4}
"""A program small enough to be built many times: what is shown is sameness, not quality."""
NOT_PROMISED = ("engine", "build")
"""Kinds whose bytes are not the same each time: TensorRT times its choices, and a build's seal holds a position and a time."""
SEEDED = ("drive_log", "model")
"""Kinds that another seed must change."""


def digests(seed: int, folder: Path) -> dict[str, str]:
    """Build the reference program once and give the digest of every artifact of its trace, by `kind/name`."""
    settings = [f"--set={key}={value}" for key, value in {**SMALL, "seed": seed}.items()]
    # No gates of quality here: six steps of training give no detector.
    program = folder / "program.yaml"
    program.write_text(_without_gates(_reference()), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "tracecore",
        "build",
        "same",
        "--program",
        str(program),
        "--approver",
        "bench",
        "--workspace",
        str(folder / "ws"),
    ]
    subprocess.run([*command, *settings], check=True, stdout=subprocess.DEVNULL)
    shown = subprocess.run(
        [sys.executable, "-m", "tracecore", "trace", "build/same", "--json", "--workspace", str(folder / "ws")], check=True, stdout=subprocess.PIPE
    )
    nodes = json.loads(shown.stdout)["nodes"]
    return {f"{node['kind']}/{node['name']}": node["digest"] for node in nodes if node["digest"] and node["kind"] not in (*NOT_PROMISED, "program")}


def _reference() -> str:
    from importlib import resources

    return (resources.files("tracecore_assets") / "programs" / "reference.yaml").read_text(encoding="utf-8")


def _without_gates(program: str) -> str:
    return program.partition("    gates:")[0] + "    gates: []\n"


def differences(found: Mapping[int, Sequence[Mapping[str, str]]]) -> list[str]:
    """Return what is not as it must be: bytes that differ for one seed, or agree where the seed should change them."""
    wrong = []
    for seed, (one, other) in found.items():
        wrong += [f"seed {seed}: {name} differs" for name in sorted(one.keys() | other.keys()) if one.get(name) != other.get(name)]
    seeds = list(found)
    for one, other in itertools.pairwise(seeds):
        shared = {name for name, digest in found[one][0].items() if name.startswith(SEEDED) and found[other][0].get(name) == digest}
        wrong += [f"seeds {one} and {other}: {name} is the same" for name in sorted(shared)]
    return wrong


def plot(found: Mapping[int, Sequence[Mapping[str, str]]], path: Path) -> None:
    """Draw a row a seed and a column an artifact: the first digits of its digest, green where both builds agree, red where they don't."""
    from matplotlib.figure import Figure

    names = [name for name in next(iter(found.values()))[0] if not name.startswith("drive_log/") or "." in name]
    figure = Figure(figsize=(1.15 * len(names) + 1.5, 0.5 * len(found) + 2.2), layout="constrained")
    axes = figure.add_subplot()
    axes.set_xlim(0, len(names))
    axes.set_ylim(len(found), 0)
    for row, (seed, (one, other)) in enumerate(found.items()):
        for column, name in enumerate(names):
            same = one.get(name) == other.get(name)
            axes.fill_between([column, column + 1], row, row + 1, color="#bfe3c0" if same else "#e8a0a0", edgecolor="white")
            axes.text(
                column + 0.5, row + 0.5, one.get(name, "-").removeprefix("sha256:")[:6], ha="center", va="center", family="monospace", fontsize=8
            )
        axes.text(-0.1, row + 0.5, f"seed {seed}", ha="right", va="center", fontsize=9)
    axes.set_xticks([column + 0.5 for column in range(len(names))], [name.replace("/", "/\n") for name in names], fontsize=7, rotation=60, ha="right")
    axes.set_yticks([])
    axes.set_title("Two builds a seed, in workspaces at different paths: first digits of each digest, green where both agree", fontsize=9)
    for spine in axes.spines.values():
        spine.set_visible(False)
    figure.savefig(path, dpi=110)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.determinism", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[7, 8, 9, 10, 11], metavar="N")
    parser.add_argument("-o", "--output", type=Path, default=Path("determinism.png"), metavar="FILE.png")
    asked = parser.parse_args(arguments)
    found: dict[int, list[dict[str, str]]] = {}
    for seed in asked.seeds:
        found[seed] = []
        for _ in range(2):
            with tempfile.TemporaryDirectory(prefix=f"tracecore-seed-{seed}-") as folder:
                found[seed].append(digests(seed, Path(folder)))
        print(f"seed {seed}: {len(found[seed][0])} artifacts, {'the same twice' if found[seed][0] == found[seed][1] else 'NOT the same'}", flush=True)
    plot(found, asked.output)
    wrong = differences(found)
    print("\n".join(wrong) or f"{len(found)} seeds, each twice: every digest from drives to ONNX and KPI report agrees ({asked.output})")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
