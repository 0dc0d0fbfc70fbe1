"""The stage `world`: simulated drives through generated towns, recorded as by a car, with their ground truth."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

import tracecore as tc
from tracecore_schemas.canonical import JSON
from tracecore_schemas.facets import LABELS_FACET

if TYPE_CHECKING:
    from tracecore_simulation.drive import Drive, Settings

__all__ = ["SCENARIO_FILE", "World"]

WORLD_FACET = tc.FacetSpec(
    "tracecore_world",
    lambda value: tc.summarize(tc.count(len(value["drives"]), "simulated drive"), f"scenarios {value['scenarios']}", f"seed {value['seed']}"),
    __package__,
)

SCENARIO_FILE = "scenarios.json"


class World(tc.Stage):
    """Drive through made-up towns by day, dusk and night, and record what a car would: the same bytes for the same seed."""

    kind = tc.StageKind.SIMULATE
    name = "world"
    drives = tc.Output("drive_log", description="a folder with one <drive>.mcap a drive, and scenarios.json, which lists what was simulated")
    truth = tc.Output(
        table=tc.LABELS,
        checks=["not_empty", "unique_label_ids", "labels_in_image"],
        description="what is true of each camera frame: boxes, cuboids, the way ahead, the state of the light",
    )

    class Params(tc.Params):
        """The drives to simulate."""

        drives: int = tc.Field(10, ge=1, le=500, description="how many drives")
        first: int = tc.Field(0, ge=0, le=100_000, description="number of the first drive: a fleet that goes on where another asset's drives ended")
        frames: int = tc.Field(36, ge=1, le=10_000, description="camera frames of each drive")
        frames_per_second: float = tc.Field(2.0, ge=0.5, le=20.0, description="camera frames a second; the LiDAR turns as often")
        width: int = tc.Field(480, ge=64, le=1920, description="of the pictures, px")
        height: int = tc.Field(270, ge=48, le=1080, description="of the pictures, px")
        lidar: bool = tc.Field(True, description="whether the car carries a LiDAR")
        scenarios: Literal["mixed", "day", "dusk", "night"] = tc.Field(
            "mixed", description="the scenario set: the times of day that drives go through"
        )

    def run(self, context: tc.Context, params: Params) -> None:
        """Simulate and record every drive as an MCAP file, then write the drives' true labels as a label table."""
        # Imported here, since this plugin's command is loaded by `tracecore --help`.
        from tracecore_schemas.arrow_tables import LABELS, table_of
        from tracecore_simulation.drive import Settings, plan_drives, record_drives
        from tracecore_simulation.labels import facet_of, label_rows

        size = (params.width, params.height)
        settings = Settings(context.seed, params.frames, size, params.frames_per_second, params.lidar)
        plans = plan_drives(params.drives, params.scenarios, params.first)
        folder = context.path(self.drives)
        drives = record_drives(folder, plans, settings, threads=context.threads, progress=context.progress)
        scenarios: dict[str, JSON] = {"scenarios": params.scenarios, "seed": context.seed, "drives": [_scenario(drive, params) for drive in drives]}
        (folder / SCENARIO_FILE).write_text(json.dumps(scenarios, indent=1, sort_keys=True) + "\n")
        tool = f"tracecore-simulation {version('tracecore-simulation')}"
        context.write(self.truth, table_of(LABELS, label_rows(drives, seed=context.seed, size=size, tool=tool)))
        context.describe(self.drives, WORLD_FACET, _facet(drives, settings, params))
        context.describe(self.truth, LABELS_FACET, facet_of(drives, tool))


def _scenario(drive: Drive, params: World.Params) -> dict[str, JSON]:
    plan = drive.plan
    return {
        "drive": plan.name,
        "file": drive.file,
        "region": plan.region,
        "time_of_day": plan.time_of_day,
        "weather": plan.weather,
        "traffic": "right" if plan.side > 0 else "left",
        "traffic_lights": plan.lights,
        "start": plan.start.isoformat().replace("+00:00", "Z"),
        "latitude": plan.latitude,
        "longitude": plan.longitude,
        "number": plan.number,
        "frames": len(drive.frames),
        "seconds": params.frames / params.frames_per_second,
        "meters": drive.meters,
        "actors": dict(drive.actors),
    }


def _facet(drives: Sequence[Drive], settings: Settings, params: World.Params) -> dict[str, JSON]:
    return {
        "scenarios": params.scenarios,
        "seed": settings.seed,
        "frames_per_second": settings.frames_per_second,
        "width": settings.size[0],
        "height": settings.size[1],
        "lidar": settings.lidar,
        "frames": sum(len(drive.frames) for drive in drives),
        "drives": [
            {
                "drive": drive.plan.name,
                "region": drive.plan.region,
                "time_of_day": drive.plan.time_of_day,
                "weather": drive.plan.weather,
                "traffic": "right" if drive.plan.side > 0 else "left",
                "meters": drive.meters,
                "actors": dict(drive.actors),
            }
            for drive in drives
        ],
    }
