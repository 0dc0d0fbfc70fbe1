"""`tracecore label list`, `show`, `status`, `close`: what campaigns there are and how far they are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import click

from tracecore.cli import emit_json, json_option, workspace_option
from tracecore.errors import UsageError
from tracecore.workspace import NamedWorkspace

__all__ = ["close", "list_campaigns", "show", "status"]


@click.command("list", epilog="\b\nExample:\n  tracecore label list --json\n")
@workspace_option
@json_option
def list_campaigns(workspace: NamedWorkspace, as_json: bool) -> None:
    """List the campaigns of this workspace."""
    from tracecore_labeling.commands.place import campaign_names, open_campaign

    found: list[dict[str, Any]] = []
    for name in campaign_names(workspace):
        with open_campaign(workspace, name) as queue:
            counts = queue.counts()
            found.append(
                {"campaign": name, "closed": queue.is_closed(), "guideline": queue.settings.guideline, "tasks": sum(counts.values()), **counts}
            )
    if as_json:
        emit_json({"campaigns": found})
        return
    for each in found:
        state = "closed" if each["closed"] else "open"
        click.echo(f"{each['campaign']}  {state}  guideline {each['guideline']}  {each['done']} of {each['tasks']} tasks done")
    if not found:
        click.echo("No campaigns. Make one: tracecore label campaign create NAME --frames REF --guideline VERSION")


@click.command("show", epilog="\b\nExamples:\n  tracecore label show night\n  tracecore label show night --task 5d1c0a9be2f44a01 --json\n")
@click.argument("name")
@click.option("--task", default=None, help="Show this task's history instead.")
@workspace_option
@json_option
def show(name: str, task: str | None, workspace: NamedWorkspace, as_json: bool) -> None:
    """Show a campaign's terms, or everything that happened to one of its tasks."""
    from tracecore_labeling.campaign.clock import text_of
    from tracecore_labeling.commands.place import open_campaign

    with open_campaign(workspace, name) as queue:
        if task is None:
            terms = queue.settings.to_json()
            if as_json:
                emit_json(terms)
            else:
                click.echo("\n".join(f"{key}: {', '.join(value) if isinstance(value, list) else value}" for key, value in terms.items()))
            return
        queue.frame(task)  # says so where there is no such task
        entries = list(queue.entries(task))
    if as_json:
        told = [{"at": text_of(each.at), "action": each.action.value, "who": each.who, "detail": dict(each.detail)} for each in entries]
        emit_json({"campaign": name, "task": task, "history": told})
        return
    for entry in entries:
        said = entry.detail.get("reason") or entry.detail.get("verdict") or entry.detail.get("why") or ""
        click.echo(f"{text_of(entry.at)}  {entry.action.value}  {entry.who or ''}  {said}".rstrip())


@click.command("status", epilog="\b\nExample:\n  tracecore label status night\n")
@click.argument("name", required=False)
@workspace_option
@json_option
def status(name: str | None, workspace: NamedWorkspace, as_json: bool) -> None:
    """Say how far a campaign is: tasks by where they stand, refusals with their reasons, who labeled how many."""
    from tracecore_labeling.campaign.batch import tally_of
    from tracecore_labeling.campaign.state import Stage, state_of
    from tracecore_labeling.commands.place import open_campaign

    with open_campaign(workspace, name) as queue:
        if not queue.is_closed():
            queue.expire()
        entries = list(queue.entries())
        state, counts = state_of(entries), queue.counts()
    tally = tally_of(state)
    gold = [task for task in state.tasks.values() if task.gold]
    reasons = Counter(str(entry.detail["reason"]) for entry in entries if entry.action == "refuse")
    labelers = Counter(str(task.labeler) for task in state.tasks.values() if task.stage == Stage.DONE)
    answer = {
        "campaign": state.settings.name, "closed": state.closed, "tasks": tally.tasks, **counts, "refusals": tally.refusals,
        "reasons": dict(sorted(reasons.items())), "labelers": dict(sorted(labelers.items())), "reviewed_labels": tally.reviewed,
        "agreed_labels": tally.agreed, "revisions": tally.revisions, "gold": len(gold),
        "gold_done": sum(task.stage == Stage.DONE for task in gold),
    }  # fmt: skip
    if as_json:
        emit_json(answer)
        return
    click.echo(f"{state.settings.name}{' (closed)' if state.closed else ''}: " + ", ".join(f"{count} {stage}" for stage, count in counts.items()))
    click.echo(f"{tally.refusals} refusals" + "".join(f"\n  {count} x {reason}" for reason, count in sorted(reasons.items())))
    click.echo(f"{tally.reviewed} labels reviewed, {tally.agreed} accepted as they were, {tally.revisions} corrected")
    if gold:
        click.echo(f"{answer['gold_done']} of {len(gold)} gold frames reviewed")
    click.echo("\n".join(f"  {who}: {count} tasks done" for who, count in sorted(labelers.items())) or "nobody has finished a task")


@click.command("close", epilog="\b\nExample:\n  tracecore label close night -o night.campaign.json\n")
@click.argument("name")
@click.option("-o", "--output", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Where its file goes: FILE.campaign.json.")
@click.option("--give-up", is_flag=True, help="Close it though gold frames are not reviewed: they stay unlabeled.")
@workspace_option
@json_option
def close(name: str, output: Path, give_up: bool, workspace: NamedWorkspace, as_json: bool) -> None:
    """Close a campaign and write it to a file, which the stage 'campaign' takes in its 'paths'. Closing again writes the file again."""
    from tracecore_labeling.campaign.batch import tally_of
    from tracecore_labeling.campaign.file import write_campaign
    from tracecore_labeling.campaign.state import state_of
    from tracecore_labeling.commands.place import open_campaign

    if not output.name.endswith(".campaign.json"):
        raise UsageError(f"The file of a campaign is called *.campaign.json, found '{output.name}': -o {output.name.split('.')[0]}.campaign.json")
    if not output.absolute().parent.is_dir():
        raise UsageError(f"The folder of '{output}' does not exist.")
    with open_campaign(workspace, name) as queue:
        if not queue.is_closed():
            queue.close(None, give_up=give_up)
        entries = list(queue.entries())
    write_campaign(entries, output)
    tally = tally_of(state_of(entries))
    if as_json:
        emit_json({"campaign": name, "file": str(output), "tasks": tally.tasks, "done": tally.done})
        return
    left = f"; {tally.tasks - tally.done} frames stay unlabeled" if tally.done < tally.tasks else ""
    click.echo(f"{output}: {tally.done} of {tally.tasks} tasks done{left}.")
    click.echo(f"In a program: {{stage: label, plugin: campaign, inputs: {{frames: …}}, params: {{paths: [{output.name}]}}}}")
