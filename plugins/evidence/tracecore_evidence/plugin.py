"""Hook implementations of this plugin: two export formats, an import format, a journal and the gate `no-unknowns`."""

from __future__ import annotations

import tracecore as tc
from tracecore_evidence.dvc_lock import Dvc
from tracecore_evidence.exporters import CycloneDx, Prov
from tracecore_evidence.journal import tracecore_build_sealed, tracecore_run_finished, tracecore_run_started
from tracecore_evidence.no_unknowns_gate import NoUnknowns

__all__ = [
    "tracecore_build_sealed",
    "tracecore_register_exporters",
    "tracecore_register_gates",
    "tracecore_register_importers",
    "tracecore_run_finished",
    "tracecore_run_started",
]


@tc.hookimpl
def tracecore_register_exporters() -> list[tc.Exporter]:
    """Return the plugin's exporters of sealed builds: `cyclonedx` (bill of materials) and `prov` (W3C PROV)."""
    return [CycloneDx(), Prov()]


@tc.hookimpl
def tracecore_register_importers() -> list[tc.Importer]:
    """Return the plugin's importer `dvc`, which reads the lineage in a `dvc.lock`."""
    return [Dvc()]


@tc.hookimpl
def tracecore_register_gates() -> list[tc.Gate]:
    """Return the plugin's gate `no-unknowns`, which blocks a release while its trace records facts that are not known."""
    return [NoUnknowns()]
