"""Test worlds for plugins: a workspace in which single stages run, a small recorded program to query, and the command line."""

from tracecore.running.task import Outcome, ResolvedInput
from tracecore.testing.worlds.record import RecordWorld, artifact, origin
from tracecore.testing.worlds.stages import StageWorld, check_of, given, load_host, run_command

__all__ = ["Outcome", "RecordWorld", "ResolvedInput", "StageWorld", "artifact", "check_of", "given", "load_host", "origin", "run_command"]
