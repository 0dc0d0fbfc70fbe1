"""Reads the named examples and code blocks of our Markdown pages."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
_BLOCK = r"```(?P<language>\w*)\n(?P<body>.*?)\n```"


def examples(page: str) -> dict[str, str]:
    """Return the blocks that follow a comment `<!-- example: NAME -->`, by name."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return {match["name"]: match["body"] for match in re.finditer(rf"<!-- example: (?P<name>[\w ]+) -->\n+{_BLOCK}", text, re.DOTALL)}


def blocks(page: str, language: str) -> list[str]:
    """Return the fenced blocks of one language, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return [match["body"] for match in re.finditer(rf"^{_BLOCK}", text, re.DOTALL | re.MULTILINE) if match["language"] == language]
