"""Every message of the troubleshooting page is one that the code prints, so that a search for it finds the page."""

from __future__ import annotations

import ast
import re

import pytest
from markdown_pages import ROOT

MESSAGES = re.findall(r"^\| `([^`]*…[^`]*)` \|", (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8"), re.MULTILINE)


@pytest.fixture(scope="module")
def texts() -> list[str]:
    """Return every string literal of the shipped code, replacement fields as …."""
    found = []
    for folder in ("tracecore", "lineage", "assets", "graphql"):
        for file in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    found.append("".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return found


@pytest.mark.parametrize("message", MESSAGES)
def test_a_message_of_the_page_is_printed_by_the_code(message: str, texts: list[str]) -> None:
    pattern = ".*".join(re.escape(part.strip()) for part in message.split("…"))
    assert any(re.search(pattern, text, re.DOTALL) for text in texts), f"no code prints {message!r}: correct the page"


def test_the_page_has_messages() -> None:
    assert len(MESSAGES) > 25
