"""The command `tracecore label` and what lies below it."""

from __future__ import annotations

import click

from tracecore_labeling.commands.campaign import campaign
from tracecore_labeling.commands.export import export
from tracecore_labeling.commands.overview import close, list_campaigns, show, status
from tracecore_labeling.commands.reviewing import review
from tracecore_labeling.commands.working import claim, refuse, submit

__all__ = ["label"]

_EXAMPLES = """
\b
Examples:
  tracecore label campaign create night --frames dataset/demo.drives.frames --guideline v3 --review 0.2
  tracecore label claim --as labeler-5e1f03aa --image task.jpg
  tracecore label submit 5d1c0a9be2f44a01 --file boxes.json --as labeler-5e1f03aa
  tracecore label close night -o night.campaign.json
  tracecore label export label_batch/demo.labels --format openlabel -o labels/
"""


@click.group("label", epilog=_EXAMPLES)
def label() -> None:
    """Label frames by hand: campaigns, claims, submissions, reviews; write label batches in others' formats."""


for _command in (campaign, list_campaigns, show, status, claim, refuse, submit, review, close, export):
    label.add_command(_command)
