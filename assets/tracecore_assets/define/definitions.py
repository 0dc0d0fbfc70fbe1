"""Dagster definitions of a program: a multi-asset for each asset, its checks, the release, and the build job."""

# No `from __future__ import annotations` here: Dagster reads the annotations of its steps when it meets them.

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import dagster as dg

from tracecore_assets.define.steps import guarded, materializations, release_result
from tracecore_assets.external_assets.step_record import PROGRAM_TAG
from tracecore_assets.load.program import RELEASE, dagster_name, job_name, op_name
from tracecore_assets.release.release import ReleaseRequest, WaiverText, read_request, release
from tracecore_assets.resolve import ResolvedAsset, ResolvedProgram
from tracecore_assets.run.session import Session

__all__ = ["ReleaseConfig", "SessionFactory", "definitions", "output_key", "release_config", "request_of", "request_of_run"]

SessionFactory = Callable[[dg.AssetExecutionContext], Session]
"""Returns the session of a step's Dagster run, the same for all its steps."""

_RETRY_SECONDS = 2


class WaiverConfig(dg.Config):
    """Run config of a waiver."""

    gate: str
    reason: str
    until: str


class ReleaseConfig(dg.Config):
    """Run config of the release step."""

    name: str
    approver: str = ""
    waivers: list[WaiverConfig] = []  # noqa: RUF012  # a pydantic field, copied for each instance


def output_key(program: ResolvedProgram, asset: ResolvedAsset, port: str) -> dg.AssetKey:
    """Return the Dagster asset key of an asset's output: `program/asset`, or `program/asset/port` if the asset has several outputs."""
    return dg.AssetKey([program.name, asset.name, *([port] if len(asset.outputs) > 1 else [])])


def definitions(program: ResolvedProgram, sessions: SessionFactory, resources: Mapping[str, dg.ResourceDefinition] | None = None) -> dg.Definitions:
    """Return a program's Dagster assets, checks and build job. `sessions` returns a step's session (running program); all steps use `resources`."""
    assets = [_asset(program, asset, sessions, resources) for asset in program.assets]
    keys = [output_key(program, asset, port) for asset in program.assets for port in asset.outputs]
    if program.spec.release is not None:
        assets.append(_release(program, sessions, resources))
    job = dg.define_asset_job(
        job_name(program.name),
        selection=dg.AssetSelection.assets(*keys, *([_release_key(program)] if program.spec.release else [])),
        description=f"Make what is missing or stale of program '{program.name}', run checks and gates, and seal the build.",
        # Default in the launchpad of the Dagster UI; an empty name is refused before any work.
        config=release_config(program, ReleaseRequest("", None, ())) if program.spec.release else None,
        # One process for all steps: they share a session, and a process for each step would take seconds.
        executor_def=dg.in_process_executor,
    )
    return dg.Definitions(assets=assets, jobs=[job])


def release_config(program: ResolvedProgram, request: ReleaseRequest) -> dict[str, Any]:
    """Return the Dagster run config that passes a release request (build name, approver, waivers) to the program's release step."""
    waivers = [{"gate": waiver.gate, "reason": waiver.reason, "until": waiver.until.isoformat()} for waiver in request.waivers]
    config = {"name": request.name, "approver": request.approver or "", "waivers": waivers}
    return {"ops": {op_name(program.name, RELEASE): {"config": config}}}


def request_of(program: ResolvedProgram, config: ReleaseConfig) -> ReleaseRequest:
    """Return the validated release request (build name, approver, waivers) in the config of a program's release step."""
    waivers = [WaiverText(waiver.gate, waiver.reason, waiver.until) for waiver in config.waivers]
    return read_request(program, config.name, config.approver, waivers)


def request_of_run(program: ResolvedProgram, config: Mapping[str, Any]) -> ReleaseRequest | None:
    """Return the validated release request in a Dagster run's config; None if it configures no release. Raises UsageError if it is invalid."""
    section = config.get("ops", {}).get(op_name(program.name, RELEASE), {}).get("config")
    return request_of(program, ReleaseConfig.model_validate(section)) if isinstance(section, Mapping) else None


def _release_key(program: ResolvedProgram) -> dg.AssetKey:
    return dg.AssetKey([program.name, RELEASE])


def _asset(
    program: ResolvedProgram, asset: ResolvedAsset, sessions: SessionFactory, resources: Mapping[str, dg.ResourceDefinition] | None
) -> dg.AssetsDefinition:
    """Return the Dagster multi-asset for one asset of a program: a spec per output, the checks, and the step that makes the outputs."""
    stage = asset.stage
    deps = list(dict.fromkeys(output_key(program, program.asset(source.asset), source.output) for source in asset.sources))
    keys = {port: output_key(program, asset, port) for port in asset.outputs}
    specs = [
        dg.AssetSpec(
            keys[port],
            deps=deps,
            group_name=asset.spec.group or dagster_name(program.name),
            kinds={asset.spec.stage.value, output.kind},
            description=" ".join(text for text in (asset.spec.description or asset.stage_class.description(), output.description) if text),
            code_version=stage.plugin.source_digest.removeprefix("sha256:")[:12],
            metadata={"stage": stage.qualified_name, "plugin": f"{stage.distribution} {stage.version}"},
        )
        for port, output in asset.outputs.items()
    ]
    checks = [
        dg.AssetCheckSpec(check.name.replace("-", "_"), asset=keys[check.output], blocking=check.blocking, description=check.description or None)
        for check in asset.checks
    ]
    policy = dg.RetryPolicy(max_retries=asset.spec.retries, delay=_RETRY_SECONDS) if asset.spec.retries else None

    @dg.multi_asset(
        name=op_name(program.name, asset.name),
        specs=specs,
        check_specs=checks,
        retry_policy=policy,
        op_tags={PROGRAM_TAG: program.name},
        resource_defs=resources,
    )
    def step(context: dg.AssetExecutionContext) -> Iterator[Any]:
        with guarded(context, sessions, retries=asset.spec.retries) as session:
            outcome = session.ensure(asset.name)
        # Reported to Dagster before the step fails, so that a rejected output can be inspected on the page.
        yield from materializations(context, session, asset, outcome, keys)
        with guarded(context, sessions):
            session.refuse_rejected(asset.name)

    return step


def _release(program: ResolvedProgram, sessions: SessionFactory, resources: Mapping[str, dg.ResourceDefinition] | None) -> dg.AssetsDefinition:
    """Return the Dagster asset of a program's sealed (signed) build; its step evaluates the gates and seals the build."""
    # A build contains every output; depending only on outputs that no asset reads gives the same order and a readable graph.
    read = {(source.asset, source.output) for asset in program.assets for source in asset.sources}
    last = [output_key(program, asset, port) for asset in program.assets for port in asset.outputs if (asset.name, port) not in read]
    spec = dg.AssetSpec(
        _release_key(program),
        deps=last,
        group_name=dagster_name(program.name),
        kinds={"build"},
        description="The sealed vehicle build: gates judged, manifest signed.",
    )

    @dg.multi_asset(name=op_name(program.name, RELEASE), specs=[spec], op_tags={PROGRAM_TAG: program.name}, resource_defs=resources)
    def step(context: dg.AssetExecutionContext, config: ReleaseConfig) -> Iterator[Any]:
        with guarded(context, sessions) as session:
            session.sealed = release(session, request_of(program, config))
        yield release_result(session, _release_key(program))

    return step
