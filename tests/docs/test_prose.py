"""Docstrings, comments and messages are plain technical English: no private word, no spelling mistake.

`python tests/docs/test_prose.py PATH…` prints what it finds in files and folders.
"""

from __future__ import annotations

import ast
import io
import re
import subprocess
import sys
import sysconfig
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCANNED = ["tracecore", "schemas", "lineage", "assets", "graphql", "plugins", "benchmarks", "soaks", "tests", "conftest.py"]

# What a docstring, comment or message may not contain, and what to write instead. Code between backticks is not read.
WORDS = {
    r"\A(?:Give|Say|Tell|Stand)s?\b": "open with the verb of what it does: Return, Yield, Check, Write, Raise, Whether …",
    r"(?:\A|[.:;(,] |\b(?:for|of|to|by|from|with|and|or|than|on|in|as|at|is|knows?|says?) )[Ww]ho\b": "name the person or part: 'users who verify'",
    r"\b[Ww]hom\b|\b[Ww]ho(?:m?ever|so)\b": "name the person or part: the caller, the labeler, the process",
    r"\b(?:[Nn]obody|[Ss]omebody|[Nn]o one)\b": "name what is missing: 'no process', 'not recorded', 'undeclared'",
    r"\b[Tt]old\b|\b[Tt]ell(?:s|ing)?\b(?! \w* ?apart|:)": "report, record, show, notify, distinguish",
    r"\b[Ss]aid\b": "recorded, declared, stated, printed",
    r"(?<!\b[Tt]here )\b(?:is|are|was|were) no (?!longer\b|more\b)": "'is not a valid X', 'is not a X' or 'has no X'",
    r"\b[Ss]tands?\b|\b[Ss]tood\b|\b[Ss]tanding\b": "is, is written, is listed, depends on",
    r"\b[Bb]eside\b": "next to, besides, in the same folder, in addition to",
    r"(?<!\b[Ll]eft )(?<!\b[Ll]eave )(?<!\b[Ll]et )\b[Aa]lone\b": "only",
}


def findings(path: Path) -> list[str]:
    """Return `file:line: text: what to write instead` of each private word in a file."""
    name = path.relative_to(ROOT)
    return [f"{name}:{line}: {problem}" for line, text in texts(path.read_text(encoding="utf-8")) for problem in problems(text)]


def problems(text: str) -> list[str]:
    """Return the private words of a text, each with the words around it and what to write instead."""
    prose = re.sub(r"`+[^`]*`+|\"[^\"\n]*\"", "`code`", text)
    found = [(match, instead) for pattern, instead in WORDS.items() for match in re.finditer(pattern, prose)]
    return [f"…{' '.join(prose[max(0, match.start() - 30) : match.end() + 20].split())}…: {instead}" for match, instead in found]


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of the docstrings, comments, messages of raised errors and help texts of a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and (text := ast.get_docstring(node)):
            yield node.body[0].lineno, text
        elif isinstance(node, ast.Raise) and node.exc:
            inner = {id(value) for part in ast.walk(node.exc) if isinstance(part, ast.JoinedStr) for value in part.values}
            yield from ((part.lineno, written(part)) for part in ast.walk(node.exc) if isinstance(part, ast.expr) and id(part) not in inner)
        elif isinstance(node, ast.keyword) and node.arg in {"help", "description"}:
            yield node.value.lineno, written(node.value)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("#: ")


def written(node: ast.expr) -> str:
    """Return a string literal with its replacement fields as `code`; empty for anything else."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "`code`" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def sources(*roots: str) -> list[Path]:
    """Return the Python files of files and folders, without generated migrations."""
    found = [path for root in roots for path in ([ROOT / root] if root.endswith(".py") else (ROOT / root).rglob("*.py"))]
    return sorted(path for path in found if "versions" not in path.parts and path != Path(__file__))


FOLDERS = sorted({str(path.parent.relative_to(ROOT)) for path in sources(*SCANNED)})


@pytest.mark.parametrize("folder", FOLDERS)
def test_docstrings_comments_and_messages_are_plain_english(folder: str) -> None:
    assert [line for path in sorted((ROOT / folder).glob("*.py")) if path != Path(__file__) for line in findings(path)] == []


def test_no_word_is_misspelled() -> None:
    typos = Path(sysconfig.get_path("scripts")) / "typos"
    ran = subprocess.run([typos, "--format", "brief"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"""Give the name."""', 1),
        ("# what nobody told it", 2),
        ('raise ValueError(f"{name} is no ref")', 1),
        ("# for who verifies", 1),
        ('"""Return those users who verify; there is no other; `is no ref`."""', 0),
        ('print("is no ref")', 0),
    ],
)
def test_the_linter_finds_private_words_where_prose_is(text: str, words: int) -> None:
    assert sum(len(problems(part)) for _, part in texts(text)) == words


if __name__ == "__main__":
    lines = [line for root in sys.argv[1:] or SCANNED for path in sources(root.rstrip("/")) for line in findings(path)]
    print(*lines, f"{len(lines)} found", sep="\n")  # noqa: T201
    sys.exit(bool(lines))
