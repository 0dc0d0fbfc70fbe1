"""Hooks of the labeling plugin: the label stages and `tracecore label`."""

from __future__ import annotations

import click

import tracecore as tc
from tracecore_labeling.campaign.stage import Campaign
from tracecore_labeling.commands.label import label
from tracecore_labeling.imports.coco import Coco
from tracecore_labeling.imports.cvat import Cvat
from tracecore_labeling.imports.kitti import Kitti
from tracecore_labeling.imports.openlabel import Openlabel
from tracecore_labeling.imports.yolo import Yolo

__all__ = ["tracecore_register_commands", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Return the stages `campaign`, `coco`, `cvat`, `kitti`, `openlabel` and `yolo`."""
    return [Campaign, Coco, Cvat, Kitti, Openlabel, Yolo]


@tc.hookimpl
def tracecore_register_commands() -> list[click.Command]:
    """Return the command `label`."""
    return [label]
