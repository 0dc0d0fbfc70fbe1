"""`tracecore label review`: a second person's verdict."""

from __future__ import annotations

import click

from tracecore.cli import emit_json, json_option, workspace_option
from tracecore.errors import UsageError
from tracecore.workspace import NamedWorkspace
from tracecore_labeling.commands.options import campaign_option, file_option, read_json, who_option

__all__ = ["review"]

_VERDICTS = {"accept": "accepted", "correct": "corrected", "reject": "rejected"}
_EXAMPLES = """
\b
Examples:
  tracecore label claim --review --as labeler-77ab01cd --json > task.json
  tracecore label review 5d1c0a9be2f44a01 accept --as labeler-77ab01cd
  tracecore label review 5d1c0a9be2f44a01 correct --file labels.json --as labeler-77ab01cd
  tracecore label review 5d1c0a9be2f44a01 reject --note "boxes shifted" --as labeler-77ab01cd
"""


@click.command("review", epilog=_EXAMPLES)
@click.argument("task")
@click.argument("verdict", type=click.Choice(list(_VERDICTS)))
@file_option(required=False)
@click.option("--note", default="", help="Why.")
@campaign_option
@who_option
@workspace_option
@json_option
def review(
    task: str, verdict: str, file: str | None, note: str, campaign: str | None, who: str | None, workspace: NamedWorkspace, as_json: bool
) -> None:
    """Judge the labels of TASK: accept them, correct them, or reject them, so that somebody else labels it again.

    A correction's FILE lists all labels as they are to be; 'label' names the one that an entry keeps or corrects, an entry without it is new, a label
    that isn't listed goes. You can't review what you labeled.
    """
    from tracecore_labeling.campaign.label import label_json, read_labels
    from tracecore_labeling.campaign.people import checked_pseudonym
    from tracecore_labeling.commands.place import open_campaign
    from tracecore_schemas.canonical import digest_json, hex_of

    if (verdict == "correct") != (file is not None):
        raise UsageError("A correction needs --file with all labels as they are to be; the other verdicts have none.")
    me = checked_pseudonym(who)
    with open_campaign(workspace, campaign, task=task) as queue:
        frame, settings = queue.frame(task), queue.settings
        after = read_labels(read_json(file), frame.width, frame.height, settings.categories, settings.geometries) if file is not None else []
        held = queue.submission_of(task)
        content = [me, held, verdict, [[named, label_json(label)] for named, label in after], note]
        receipt = queue.review(task, me, f"review-{task}-{hex_of(digest_json(content))[:16]}", _VERDICTS[verdict], after, note)
    if as_json:
        emit_json({"task": task, "verdict": _VERDICTS[verdict], "repeated": receipt.repeated, "entry": receipt.seq})
    else:
        click.echo(f"{task}: {_VERDICTS[verdict]}{' (known before)' if receipt.repeated else ''}.")
