"""What this plugin brings: the label stages, and `tracecore label`."""

from __future__ import annotations

import click

import tracecore as tc
from tracecore_labeling.campaign.stage import Campaign
from tracecore_labeling.coco import Coco
from tracecore_labeling.commands.group import label
from tracecore_labeling.cvat import Cvat
from tracecore_labeling.kitti import Kitti
from tracecore_labeling.openlabel import Openlabel
from tracecore_labeling.yolo import Yolo

__all__ = ["tracecore_register_commands", "tracecore_register_stages"]


@tc.hookimpl
def tracecore_register_stages() -> list[type[tc.Stage]]:
    """Bring the label stages."""
    return [Campaign, Coco, Cvat, Kitti, Openlabel, Yolo]


@tc.hookimpl
def tracecore_register_commands() -> list[click.Command]:
    """Bring the command `label`."""
    return [label]
