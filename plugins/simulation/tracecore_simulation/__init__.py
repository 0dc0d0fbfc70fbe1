"""A synthetic world that drives and records itself, for demos and tests, as a tracecore plugin."""

from tracecore_simulation.demo_drives import DrawnDrives, draw_drives

__all__ = ["DrawnDrives", "draw_drives"]
