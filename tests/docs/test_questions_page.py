"""Every answer of the questions page names a module that is there and a name that the module defines."""

from __future__ import annotations

import ast
import re

import pytest
from markdown_pages import ROOT

ANSWERS = re.findall(r"^\| [^|]+\? \| `([^`]+)` \| `([^`]+)` \|$", (ROOT / "docs" / "questions.md").read_text(encoding="utf-8"), re.MULTILINE)


def test_there_are_twenty_questions() -> None:
    assert len(ANSWERS) == 20


@pytest.mark.parametrize(("module", "name"), ANSWERS, ids=[name for _, name in ANSWERS])
def test_an_answer_is_defined_where_the_page_says(module: str, name: str) -> None:
    defined = {getattr(node, "name", None) for node in ast.parse((ROOT / module).read_text(encoding="utf-8")).body}
    assert name in defined
