"""Changes since a build was made: plugins, distributions, Python, machine, accelerator, threads."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from packaging.utils import canonicalize_name

from tracecore.environment import accelerator, current_environment
from tracecore.errors import UsageError
from tracecore.plugins.host import PluginHost, RegisteredStage
from tracecore.running.dependencies import Code, code_patch
from tracecore.store import Store, open_store
from tracecore_assets.rebuild.answer import EnvironmentChange
from tracecore_assets.rebuild.recorded_build import RecordedBuild
from tracecore_lineage.catalog.current_state import environment_runs
from tracecore_schemas.run import Environment

if TYPE_CHECKING:
    from tracecore_lineage import Record

__all__ = ["environment_changes", "find_stages"]

_WORDS = {"code": "source file", "format": "data format"}


def find_stages(sealed: RecordedBuild, host: PluginHost) -> dict[str, RegisteredStage]:
    """Return the installed stage, in any version, for each asset of a build, by asset. Raises UsageError, naming all missing plugins."""
    found: dict[str, RegisteredStage] = {}
    missing: dict[tuple[str, str, str, str], list[str]] = {}
    for asset, run in sealed.runs.items():
        plugin = run.plugin
        stage = next((each for each in host.stages if each.qualified_name == f"{plugin.entry_point}/{plugin.stage}"), None)
        if stage is None or canonicalize_name(stage.distribution) != canonicalize_name(plugin.distribution):
            missing.setdefault((plugin.entry_point, plugin.stage, plugin.distribution, plugin.version), []).append(asset)
        else:
            found[asset] = stage
    if missing:
        raise UsageError(f"build/{sealed.build.name} can't be made again here: {'; '.join(_missing_plugins(missing, host))}. Nothing was made.")
    return found


def _missing_plugins(missing: dict[tuple[str, str, str, str], list[str]], host: PluginHost) -> Iterator[str]:
    """Yield a clause for each plugin in `missing` (not installed or broken), with the assets that its stage made and the pip command for it."""
    broken = {each.entry_point: each.error for each in host.broken}
    for (entry_point, stage, distribution, version), assets in missing.items():
        why = f"is broken ({broken[entry_point]})" if entry_point in broken else "is not installed"
        yield (
            f"the plugin '{entry_point}' {version} (distribution {distribution}), whose stage '{stage}' made "
            f'{", ".join(assets)}, {why}: pip install "{distribution}=={version}"'
        )


def environment_changes(sealed: RecordedBuild, stages: dict[str, RegisteredStage], record: Record, threads: int) -> list[EnvironmentChange]:
    """Return all changes of plugins, code, threads, GPU and packages since a build was made; one change lists all assets that it affects."""
    here = accelerator()
    by_what = [
        *_code_changes(sealed, stages, open_store(record.workspace)),
        *_thread_changes(sealed, threads),
        *(EnvironmentChange("accelerator", "GPU", run.accelerator, here, (asset,)) for asset, run in sealed.runs.items() if run.accelerator != here),
        *_package_changes(sealed, record),
    ]
    joined: dict[tuple[str, str, str | None, str | None, str | None], dict[str, None]] = {}
    for change in by_what:
        joined.setdefault((change.what, change.name, change.recorded, change.found, change.patch), {}).update(dict.fromkeys(change.assets))
    return [EnvironmentChange(*key[:4], tuple(assets), key[4]) for key, assets in joined.items()]


def _code_changes(sealed: RecordedBuild, stages: dict[str, RegisteredStage], store: Store) -> Iterator[EnvironmentChange]:
    """Yield changes of plugins and of the code and libraries that the build's runs loaded, with a diff for each changed source file."""
    code = Code()
    for asset, run in sealed.runs.items():
        then, now = run.plugin, stages[asset].plugin
        for what, recorded, found in (
            ("plugin version", then.version, now.version),
            ("plugin source", then.source_digest, now.source_digest),
        ):
            if recorded != found:
                yield EnvironmentChange(what, then.distribution, recorded, found, (asset,))
        if run.dependencies is not None:
            for change in code.changes(run.dependencies):
                lines = code_patch(store, code, change)
                yield EnvironmentChange(_WORDS.get(change.part, change.part), change.name, change.then, change.now, (asset,), lines)


def _thread_changes(sealed: RecordedBuild, threads: int) -> Iterator[EnvironmentChange]:
    """Yield a change for each asset whose run used more threads than this machine has CPU cores. `threads` is used for runs without a number."""
    cores = os.cpu_count() or 1
    for asset, run in sealed.runs.items():
        wanted = run.threads or threads
        if wanted > cores:
            yield EnvironmentChange("threads", asset, str(wanted), f"{cores} CPU cores", (asset,))


def _package_changes(sealed: RecordedBuild, record: Record) -> Iterator[EnvironmentChange]:
    """Yield changes of Python, the machine type and the installed distributions since a build's runs."""
    now = current_environment()
    assets: dict[str, list[str]] = {}
    for asset, run in sealed.runs.items():
        if run.environment is not None and run.environment != now.digest:
            assets.setdefault(run.environment, []).append(asset)
    for digest, made in assets.items():
        then = _recorded_environment(record, digest, [sealed.runs[asset].id for asset in made])
        if then is None:
            yield EnvironmentChange("environment", "all distributions", digest, now.digest, tuple(made))
        else:
            yield from _environment_differences(then, now, tuple(made))


def _recorded_environment(record: Record, digest: str, runs: list[str]) -> Any:
    """Return the facet `tracecore_environment` with the given digest, from the ledgers that recorded `runs`; None if it is not recorded."""
    with record.database.read() as connection:
        candidates = environment_runs(connection, digest, runs)
    found = (record.recorder.facets(f"run:{run}").get("tracecore_environment") for run in candidates)
    return next((facet for facet in found if facet is not None), None)


def _environment_differences(then: Any, now: Environment, assets: tuple[str, ...]) -> Iterator[EnvironmentChange]:
    for what, recorded, found in (("python", then["python"], now.python), ("machine", then["machine"], now.machine)):
        if recorded != found:
            yield EnvironmentChange(what, what, recorded, found, assets)
    before = {each["name"]: (each["version"], each["digest"]) for each in then["distributions"]}
    after = {name: (version, digest) for name, version, digest in now.distributions}
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        same_version = old is not None and new is not None and old[0] == new[0]
        yield EnvironmentChange("distribution", name, _version_in_words(old, whole=same_version), _version_in_words(new, whole=same_version), assets)


def _version_in_words(entry: tuple[str, str] | None, *, whole: bool) -> str | None:
    """Return a distribution's version, with its digest if `whole`; None without an entry. `entry`: (version, digest)."""
    return None if entry is None else f"{entry[0]} ({entry[1][:19]}…)" if whole else entry[0]
