"""What the training stages are tried on: two steps of a narrow network on small pictures, and a run that someone else's trainer left."""

from __future__ import annotations

from pathlib import Path

from tracecore.testing import Sample

__all__ = ["tracecore_samples"]

_TINY = {"steps": 2, "batch": 2, "size": [32, 48], "width": 0.25, "checkpoint_every": 0}


def tracecore_samples(stage: str, folder: Path) -> Sample | None:
    """Return what a stage is tried on."""
    if stage == "ultralytics-run":
        run = folder / "runs" / "detect" / "train"
        run.mkdir(parents=True)
        (run / "results.csv").write_text(_RESULTS, encoding="utf-8")
        (run / "args.yaml").write_text("task: detect\nmodel: yolov8s.pt\nepochs: 2\nseed: 0\nimgsz: 640\n", encoding="utf-8")
        return Sample(params={"paths": [str(run)]})
    return Sample(params=_TINY)


_RESULTS = """\
epoch,train/box_loss,train/cls_loss,train/dfl_loss,metrics/precision(B),metrics/recall(B),metrics/mAP50(B),metrics/mAP50-95(B),val/box_loss,val/cls_loss,val/dfl_loss
1,1.5,2.5,1.2,0.1,0.1,0.05,0.02,1.6,2.4,1.3
2,1.4,2.2,1.1,0.2,0.2,0.10,0.05,1.5,2.1,1.2
"""
