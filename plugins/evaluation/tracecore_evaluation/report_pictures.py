"""Pictures of KPI reports: plots, and sample frames with predictions. Equal KPIs give equal PNG bytes (no version or date inside)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracecore.images import AnnotatedImage, Line, Mark, color_of, contact_sheet, draw_tile, save_png
from tracecore_evaluation.detections import Frame
from tracecore_evaluation.driving_time import seconds_between
from tracecore_evaluation.evaluate import FrameEvaluation
from tracecore_evaluation.ground_truth import Labels
from tracecore_evaluation.model_config import ModelConfig
from tracecore_evaluation.obstacle_kpis import Kpis
from tracecore_evaluation.online_metrics import KINDS, Driving
from tracecore_evaluation.predictions import Predictions

__all__ = ["Samples", "plot_level_1", "plot_timeline", "sample_frames"]

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito: distinct for color-blind readers too
_GRAY = "#b0b0b0"


def plot_level_1(folder: Path, judged: FrameEvaluation, baseline: FrameEvaluation, config: ModelConfig) -> dict[str, str]:
    """Write the plots of each head (boxes, path, light) of a frame-by-frame evaluation into `folder`; return their titles by file name."""
    made: dict[str, str] = {}
    if config.classes:
        _precision_recall(folder / "precision_recall.png", judged.obstacles)
        _ap50(folder / "ap50.png", judged.obstacles, baseline.obstacles)
        made |= {"precision_recall.png": "Precision over recall", "ap50.png": "AP50 beside the baseline"}
    if config.ahead:
        _path_error(folder / "path_error.png", judged.path.values, baseline.path.values, config.ahead)
        made["path_error.png"] = "Path error over distance"
    if config.states:
        _confusion(folder / "light.png", judged.light.confusion.tolist(), config.states)
        made["light.png"] = "States of the light"
    return made


def _precision_recall(path: Path, kpis: Kpis) -> None:
    with _plot(path, 5.5, 4.5) as axes:
        for number, (name, curve) in enumerate(kpis.curves.items()):
            if curve is not None:
                ap50 = kpis.values[f"ap50.{name}"]
                axes.plot(curve.recall, curve.precision, color=_COLORS[number % len(_COLORS)], label=f"{name} (AP50 {ap50:.3f})")
        axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02), title="Precision over recall, IoU 0.5")
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)


def _ap50(path: Path, kpis: Kpis, baseline: Kpis) -> None:
    names = [name for name in kpis.curves if kpis.values[f"ap50.{name}"] is not None]
    with _plot(path, max(4.0, 1.2 * len(names) + 1.5), 4.0) as axes:
        for offset, color, label, source in ((-0.2, _COLORS[0], "model", kpis), (0.2, _GRAY, "baseline: mean boxes", baseline)):
            heights = [source.values.get(f"ap50.{name}") or 0.0 for name in names]
            bars = axes.bar([place + offset for place in range(len(names))], heights, 0.4, color=color, label=label)
            axes.bar_label(bars, fmt="%.3f", fontsize=7)
        axes.set_xticks(range(len(names)), names)
        axes.set(ylabel="AP50", ylim=(0, 1.08), title="AP50 beside the baseline")
        axes.legend(fontsize=8)


def _path_error(path: Path, values: Mapping[str, float | None], baseline: Mapping[str, float | None], ahead: Sequence[float]) -> None:
    with _plot(path, 5.5, 4.0) as axes:
        for source, color, name in ((values, _COLORS[0], "model"), (baseline, _GRAY, "straight ahead")):
            for kpi, style, statistic in (("mean", "-", "mean"), ("p95", "--", "95th percentile")):
                known = {x: value for x in ahead if (value := source.get(f"path_error.{kpi}.at_{x:g}m")) is not None}
                label = f"{name}, {statistic}"
                axes.plot(list(known), list(known.values()), style, marker="o", markersize=3, color=color, label=label)
        axes.set(xlabel="ahead, m", ylabel="lateral error, m", title="Path error over distance")
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)


def _confusion(path: Path, counts: Sequence[Sequence[int]], states: Sequence[str]) -> None:
    shares = [[count / max(sum(row), 1) for count in row] for row in counts]
    with _plot(path, 4.5, 4.0) as axes:
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        for row, line in enumerate(counts):
            for column, count in enumerate(line):
                axes.text(column, row, str(count), ha="center", va="center", color="white" if shares[row][column] > 0.5 else "black")
        axes.set_xticks(range(len(states)), states)
        axes.set_yticks(range(len(states)), states)
        axes.set(xlabel="said", ylabel="true", title="States of the light, frames")


@contextmanager
def _plot(path: Path, width: float, height: float) -> Iterator[Any]:
    """Yield the matplotlib axes of a new plot, width and height in inches; on exit, write it to `path` as PNG without metadata."""
    # No pyplot: it keeps figures alive for the whole process and asks for a display.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=100, layout="tight")
    FigureCanvasAgg(figure)
    yield figure.add_subplot()
    figure.savefig(path, format="png", metadata={"Software": None, "Creation Time": None})


_TRUE, _SEEN, _WRONG = "#ffffff", "#ff3cc8", "#ff2d2d"
_COLUMNS = 3


def sample_frames(frames: Sequence[Frame], count: int) -> list[Frame]:
    """Return up to `count` frames, evenly spaced over `frames`, chosen independently of evaluation results."""
    rows = np.unique(np.linspace(0, len(frames) - 1, num=min(count, len(frames))).round().astype(int))
    return [frames[row] for row in rows.tolist()]


class Samples:
    """Collects the pictures of some frames while the model runs, and draws them as a contact sheet."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        self._frames = frames
        self._wanted = {frame.id for frame in frames}
        self._pictures: dict[str, bytes] = {}

    def look(self, frame: Frame, image: bytes) -> None:
        """Store a frame's encoded picture if the frame is one of those to draw."""
        if frame.id in self._wanted:
            self._pictures[frame.id] = image

    def draw(self, path: Path, labels: Labels, answers: Predictions, config: ModelConfig, score: float) -> None:
        """Write the contact sheet of the sampled frames as PNG.

        True boxes are dashed; detections of at least `score` show their class and score. A plan at the right edge shows the true path (white) and the
        predicted one (pink) from above; the light's state is in the corner.
        """
        tiles = []
        for frame in self._frames:
            caption = f"{frame.drive}  {frame.timestamp_ns}"
            lines, notes = _path(frame, labels, answers, config)
            notes = [*_light(frame, labels, answers, config), *notes]
            tile = draw_tile(AnnotatedImage(self._pictures[frame.id], caption, [*_marks(frame, labels, answers, config, score)], lines, notes))
            tiles += [] if tile is None else [tile]
        save_png(contact_sheet(tiles, _COLUMNS), path)


def _marks(frame: Frame, labels: Labels, answers: Predictions, config: ModelConfig, score: float) -> Iterator[Mark]:
    """Yield a frame's true boxes (dashed) and its detections of at least `score` (with class and score) as marks to draw."""
    if frame.id in labels.truth:
        truth = labels.truth[frame.id]
        for (x, y, width, height), class_ in zip(truth.boxes.tolist(), truth.classes.tolist(), strict=True):
            yield Mark(x, y, width, height, "", color_of(config.classes[class_]), dashed=True)
    if frame.id in answers.seen:
        seen = answers.seen[frame.id].above(score)
        for (x, y, width, height), value, class_ in zip(seen.boxes.tolist(), seen.scores.tolist(), seen.classes.tolist(), strict=True):
            yield Mark(x, y, width, height, f"{config.classes[class_]} {value:.2f}", color_of(config.classes[class_]))


def _light(frame: Frame, labels: Labels, answers: Predictions, config: ModelConfig) -> list[tuple[str, str]]:
    if frame.id not in answers.lights:
        return []
    state = int(np.argmax(answers.lights[frame.id]))
    true = labels.lights.get(frame.id)
    if true is None or true == state:
        return [(f"light: {config.states[state]}" + (" (no label)" if true is None else ""), _TRUE)]
    return [(f"light: {config.states[state]}, true: {config.states[true]}", _WRONG)]


def _path(frame: Frame, labels: Labels, answers: Predictions, config: ModelConfig) -> tuple[list[Line], list[tuple[str, str]]]:
    """Return the lines that show the true and predicted path from above, at the picture's right edge, and notes (text, color) with the mean error.

    The farthest distance takes 45 % of the picture's height. Without a predicted path both lists are empty; without a true path there is no note.
    """
    if frame.id not in answers.paths:
        return [], []
    scale = 0.45 * frame.height / config.ahead[-1]
    origin = (frame.width * 0.87, frame.height * 0.97)

    def above(left: NDArray[np.float64]) -> tuple[tuple[float, float], ...]:
        places = [(0.0, 0.0), *((x, y) for x, y in zip(config.ahead, left.tolist(), strict=True) if not np.isnan(y))]
        return tuple((origin[0] - y * scale, origin[1] - x * scale) for x, y in places)

    predicted_path = answers.paths[frame.id]
    lines = [Line(above(predicted_path), _SEEN)]
    if frame.id not in labels.paths:
        return lines, []
    true = labels.paths[frame.id]
    lines.insert(0, Line(above(true), _TRUE))
    known = ~np.isnan(true)
    error = float(np.abs(predicted_path - true)[known].mean()) if known.any() else float("nan")
    return lines, [(f"path: {error:.2f} m off", _TRUE)]


def plot_timeline(path: Path, frames: Sequence[Frame], driving: Driving) -> None:
    """Write a PNG of each drive as a line over seconds (over frame numbers without a clock), with its mistakes as bars colored by type."""
    ordered = sorted(frames, key=lambda frame: (frame.drive, frame.timestamp_ns))
    by_drive = {name: list(of_drive) for name, of_drive in groupby(ordered, key=lambda frame: frame.drive)}
    with _plot(path, 9.0, 0.8 + 0.9 * len(by_drive)) as axes:
        shown: set[str] = set()
        for row, of_drive in enumerate(by_drive.values()):
            axes.plot([0, _place(of_drive[0], of_drive[-1])], [row, row], color=_GRAY, linewidth=1)
        rows = {name: row for row, name in enumerate(by_drive)}
        for each in driving.episodes:
            begins = _place(by_drive[each.first.drive][0], each.first)
            lasts = max(_place(each.first, each.last), 0.05)
            type_ = each.row["type"]
            kind = KINDS.index(type_)
            label = None if type_ in shown else type_.replace("_", " ")
            shown.add(type_)
            axes.barh(rows[each.first.drive] + 0.27 - 0.18 * kind, lasts, 0.14, left=begins, color=_COLORS[kind], label=label, alpha=0.4)
        axes.set_yticks(range(len(by_drive)), by_drive)
        axes.set_ylim(len(by_drive) - 0.4, -0.6)
        axes.set(xlabel="since the drive's first frame, s (frames where there is no clock)", title="Mistakes while driving")
        if shown:
            axes.legend(fontsize=8, ncols=len(KINDS), loc="upper center", bbox_to_anchor=(0.5, -0.3 if len(by_drive) < 4 else -0.12))


def _place(first: Frame, frame: Frame) -> float:
    return float(frame.timestamp_ns - first.timestamp_ns) if frame.clock == "index" else seconds_between(first, frame)
