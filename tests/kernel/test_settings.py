"""The settings of a process: validated, read once at its entry, and by nothing else."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from tracecore.cli import plugin_setting, workspace_option
from tracecore.commands.shell import TracecoreGroup, cli
from tracecore.running.worker.process import server_environment, worker_environment
from tracecore.system.settings import PREFIX, Settings
from tracecore.workspace import NamedWorkspace, Workspace

ROOT = Path(__file__).parents[2]

NOTHING_OF_OURS = {
    "tracecore/system/settings.py": "the settings themselves",
    "tracecore/environment.py": "CUDA_VISIBLE_DEVICES",
    "tracecore/plugins/built_in_checks.py": "GX_ANALYTICS_ENABLED",
    "tracecore/running/allowed_paths.py": "TMPDIR, XDG_*, MPLCONFIGDIR",
    "tracecore/store/blob_backend.py": "AWS_*",
    "tracecore/commands/streams.py": "PYTHONUTF8, PYTHONIOENCODING",
    "tracecore/testing/attempt.py": "what a stage left in it",
    "tracecore/testing/trials.py": "the environment of a trial's process, without ours",
    "tracecore/running/worker/child.py": "put in place of the server's",
    "tracecore/running/worker/handover.py": "handed on, without ours",
    "tracecore/running/worker/workers.py": "handed on, without ours",
    "lineage/tracecore_lineage/ledger/outbox.py": "OPENLINEAGE_*",
    "assets/tracecore_assets/commands/ui.py": "handed on to Dagster's page",
}
"""What modules that look at the environment look for."""


def sources() -> Iterator[Path]:
    for folder in ("tracecore", "schemas", "lineage", "assets", "graphql", "plugins"):
        yield from (path for path in (ROOT / folder).rglob("*.py") if "tests" not in path.relative_to(ROOT).parts)


def looks(tree: ast.AST) -> bool:
    """Whether a module looks at environment variables, by whatever way."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv", "getenvb"}:
            return True
        if isinstance(node, ast.ImportFrom) and node.module == "os" and {each.name for each in node.names} & {"environ", "getenv"}:
            return True
        if isinstance(node, ast.keyword) and node.arg in {"envvar", "auto_envvar_prefix"}:
            return True
    return False


def test_nothing_but_the_settings_reads_a_variable_of_ours() -> None:
    found = {str(path.relative_to(ROOT)) for path in sources() if looks(ast.parse(path.read_text(encoding="utf-8")))}
    assert found == set(NOTHING_OF_OURS)
    for name in found - {"tracecore/system/settings.py", "assets/tracecore_assets/commands/ui.py"}:
        texts = (node.value for node in ast.walk(ast.parse((ROOT / name).read_text(encoding="utf-8"))) if isinstance(node, ast.Constant))
        named = {each for each in texts if isinstance(each, str) and each.startswith(PREFIX)}
        assert named <= ({PREFIX, "TRACECORE_PLUGINS"} if name == "tracecore/testing/trials.py" else set()), name


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("STRICT_IO", "true", "TRACECORE_STRICT_IO is 'true': expected 1 or 0."),
        ("STRICT_IO", "a\nb\udcff", r"TRACECORE_STRICT_IO is 'a\nb\udcff': expected 1 or 0."),
        ("DEBUG", "yes", "TRACECORE_DEBUG is 'yes': expected 1 or 0."),
        ("TRACE_PLUGINS", "2", "TRACECORE_TRACE_PLUGINS is '2': expected 1 or 0."),
        ("STORE_URL", "gs://b", "TRACECORE_STORE_URL is 'gs://b', which names no bucket: expected s3://bucket/prefix, or unset it to keep bytes in"),
        ("STORE_URL", "s3://b/a/../c", "has an empty part, '.' or '..' in its prefix"),
        ("STORE_URL", "s3://who:hush@b/x", "TRACECORE_STORE_URL names no bucket"),
        ("CATALOG_URL", "what", "TRACECORE_CATALOG_URL is not a database URL: expected sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME."),
        ("CATALOG_URL", "mysql://who:hush@host/db", "TRACECORE_CATALOG_URL names the driver 'mysql': expected sqlite:///PATH or"),
        ("CATALOG_URL", "postgresql://who:hush@host/db", "names the driver 'postgresql'"),
        ("CATALOG_URL", "sqlite://", "TRACECORE_CATALOG_URL names no SQLite file"),
        ("CATALOG_URL", "sqlite:///:memory:", "TRACECORE_CATALOG_URL names no SQLite file"),
        ("NOTIFY", "json://host hush", "TRACECORE_NOTIFY has the entry 2, which is not a URL"),
    ],
)
def test_a_wrong_value_is_refused_by_every_command_in_one_sentence(monkeypatch: pytest.MonkeyPatch, name: str, value: str, sentence: str) -> None:
    monkeypatch.setenv(PREFIX + name, value)
    for arguments in (["plugins", "list"], ["trace", "model/x"], ["build", "b"], ["--help"]):
        answer = CliRunner().invoke(cli, arguments)
        assert (answer.exit_code, answer.stdout) == (2, "")
        assert sentence in answer.stderr
        assert answer.stderr.count("\n") == 1
        assert "hush" not in answer.stderr


def test_a_variable_that_is_set_and_empty_is_unset_but_for_the_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PREFIX + "SHARED_DATA", raising=False)  # of the tests
    for name in Settings.model_fields:
        monkeypatch.setenv(PREFIX + name.upper(), "")
    assert Settings.read() == Settings.model_construct(plugins=())


def test_what_looks_like_a_mistyped_variable_is_told_and_a_plugin_s_own_is_not(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("CATALOG", "STORE_UR", "PLUGIN", "STRICT", "JOURNAL", "LABELER", "SHARED_DATA"):
        monkeypatch.setenv(PREFIX + name, "x")
    found = Settings.read()
    near = {"CATALOG": "CATALOG_URL", "PLUGIN": "PLUGINS", "STORE_UR": "STORE_URL", "STRICT": "STRICT_IO"}
    assert caplog.messages == [f"{PREFIX}{each} is not a setting of tracecore: did you mean {PREFIX}{meant}?" for each, meant in near.items()]
    assert found.others["JOURNAL"] == "x"


def test_credentials_stand_in_no_text_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TRACECORE_CATALOG_URL", "postgresql+psycopg://who:hush@127.0.0.1/none")
    monkeypatch.setenv("TRACECORE_NOTIFY", "slack://hush")
    monkeypatch.setenv("TRACECORE_LABELER", "hush")
    found = Settings.read()
    workspace = Workspace.create(NamedWorkspace(found, tmp_path / "w"))
    assert "hush" not in f"{found!r} {found} {workspace!r} {NamedWorkspace(found)}"
    assert workspace.catalog_url == "postgresql+psycopg://who:hush@127.0.0.1/none"


def test_a_command_reads_them_when_it_begins_and_its_options_come_from_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    @click.command()
    @workspace_option
    @click.option("--who", default=lambda: plugin_setting("LABELER"))
    def answer(*, workspace: NamedWorkspace, who: str | None) -> None:
        for name in [name for name in os.environ if name.startswith(PREFIX)]:
            monkeypatch.setenv(name, "nonsense that would be refused")
        assert Workspace.create(workspace).root == tmp_path / "w"
        click.echo(f"{who} {workspace.settings.plugins}")

    monkeypatch.setenv("TRACECORE_HOME", str(tmp_path / "w"))
    monkeypatch.setenv("TRACECORE_PLUGINS", "night,ingest")
    monkeypatch.setenv("TRACECORE_LABELER", "person-x")
    group = TracecoreGroup("tracecore", core={}, plugin_commands=lambda _settings: {"answer": answer})
    assert CliRunner().invoke(group, ["answer"]).stdout == "person-x ('night', 'ingest')\n"
    # Without the group, the command is the entry.
    monkeypatch.setenv("TRACECORE_HOME", str(tmp_path / "w"))
    monkeypatch.setenv("TRACECORE_PLUGINS", "night")
    monkeypatch.setenv("TRACECORE_LABELER", "")
    assert CliRunner().invoke(answer, []).stdout == "None ('night',)\n"


def test_a_relative_home_means_the_folder_that_the_process_began_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACECORE_HOME", "w")
    found = Settings.read()
    monkeypatch.chdir("/")
    assert Workspace.locate(NamedWorkspace(found)) == tmp_path / "w"


def test_a_worker_gets_no_setting_and_its_own_threads() -> None:
    environment = {"TRACECORE_CATALOG_URL": "postgresql+psycopg://who:hush@host/x", "TRACECORE_JOURNAL": "x", "HOME": "/h"}
    assert server_environment(environment) == {"HOME": "/h", "OPENBLAS_NUM_THREADS": "1"}
    made = worker_environment(environment, 3)
    assert made == {"HOME": "/h", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "3", "GOMP_SPINCOUNT": "2500"}
    assert worker_environment({"OMP_NUM_THREADS": "7", "OMP_WAIT_POLICY": "passive"}, 3)["OMP_NUM_THREADS"] == "3", "as the run records it"


def test_what_a_worker_preloads_has_no_settings_in_it() -> None:
    """What it loads is what its run depends on: an upgrade of python-dotenv would remake everything."""
    unwanted = ("pydantic_settings", "dotenv", "tracecore.system.settings")
    script = f"import sys, tracecore.running.worker.child; print([name for name in {unwanted} if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.strip() == "[]"
