"""Named GraphQL documents: one per file in `queries/`."""

from __future__ import annotations

from importlib import resources

from tracecore.errors import UsageError

__all__ = ["document", "names"]

_FOLDER = resources.files("tracecore_graphql") / "queries"
_SUFFIX = ".graphql"


def names() -> list[str]:
    """Return the names of the GraphQL documents in the package's folder `queries/`, sorted."""
    return sorted(file.name.removesuffix(_SUFFIX) for file in _FOLDER.iterdir() if file.name.endswith(_SUFFIX))


def document(name: str) -> str:
    """Return the text of the GraphQL document `queries/<name>.graphql` of this package; raise UsageError if there is none of that name."""
    if name not in names():
        raise UsageError(f"There is no document {name!r}; there are {', '.join(names())}.")
    return (_FOLDER / f"{name}{_SUFFIX}").read_text(encoding="utf-8")
