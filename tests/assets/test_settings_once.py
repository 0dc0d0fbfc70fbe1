"""A command reads its settings once: afterwards the environment may say anything."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from tracecore.commands.shell import cli
from tracecore.system.settings import PREFIX, Settings

COMMANDS = (
    "init fleet --from toy.yaml",
    "build one --program toy.yaml --approver board",
    "build one --program toy.yaml --approver board --strict-io",
    "trace build/one",
    "show model/toy.model",
    "impact drive_log/a",
    "verify build/one",
    "doctor",
    "why-stale model",
    "export build/one --format bundle -o one.bundle",
    "import one.bundle",
    "prune --dry-run",
    "query --tables",
    "rebuild one",
    "key list",
    "plugins list",
    "token create auditor",
)


def test_after_its_entry_nothing_of_a_command_asks_the_environment(project, monkeypatch):
    """Neither the command, nor the Dagster instance that it opens, nor a worker."""
    real = Settings.read.__func__
    reads = []

    def read_and_spoil(cls):
        found = real(cls)
        reads.append(found)
        for name in Settings.model_fields:
            monkeypatch.setenv(PREFIX + name.upper(), "nonsense")
        return found

    monkeypatch.chdir(project.folder)
    monkeypatch.setattr(Settings, "read", classmethod(read_and_spoil))
    for line in COMMANDS:
        for name in Settings.model_fields:
            monkeypatch.delenv(PREFIX + name.upper(), raising=False)
        monkeypatch.setenv("TRACECORE_HOME", str(project.workspace))
        monkeypatch.setenv("TRACECORE_PLUGINS", "toy")
        reads.clear()
        answer = CliRunner().invoke(cli, line.split())
        assert answer.exit_code == 0, (line, answer.stderr)
        assert len(reads) == 1, line


@pytest.mark.parametrize("name", ["STRICT_IO", "CATALOG_URL", "STORE_URL", "NOTIFY"])
def test_a_code_location_refuses_a_wrong_value(project, monkeypatch, name):
    from tracecore.errors import UsageError
    from tracecore_assets import program_definitions

    monkeypatch.setenv(PREFIX + name, "nonsense")
    with pytest.raises(UsageError, match=f"^TRACECORE_{name} "):
        program_definitions(project.program)
