"""The settings of a process: its `TRACECORE_*` variables, read and validated once at the start and passed down.

No other module reads these variables. Workers receive what they need in their job and do not import this module, which would become a dependency.
"""

from __future__ import annotations

import difflib
import logging
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import BeforeValidator, Field, PrivateAttr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from tracecore.errors import UsageError

__all__ = ["PREFIX", "Settings"]

PREFIX = "TRACECORE_"
_log = logging.getLogger(__name__)


def _parse_flag(value: Any) -> bool:
    """Return True for an environment variable's value `1` or True, False for `0`, False or empty; raises ValueError for any other value."""
    if value not in {"", "0", "1", False, True}:
        raise ValueError("expected 1 or 0")
    return value in {"1", True}


def _split_words(separator: str) -> BeforeValidator:
    """Return a pydantic validator that splits a text into its non-empty words, at the regular expression `separator`."""

    def split(value: Any) -> Any:
        return tuple(word for part in re.split(separator, value) if (word := part.strip())) if isinstance(value, str) else value

    return BeforeValidator(split)


def _catalog(url: str) -> str:
    """Return a catalog's database URL unchanged; raises ValueError for an unsupported driver, or SQLite without a file."""
    scheme, colon, rest = url.partition(":")
    expected = "expected sqlite:///PATH or postgresql+psycopg://USER@HOST/NAME"
    if not colon:
        raise ValueError(f"is not a database URL: {expected}")
    if scheme not in {"sqlite", "sqlite+pysqlite", "postgresql+psycopg"}:
        raise ValueError(f"names the driver {scheme!r}: {expected}")
    if scheme.startswith("sqlite") and (not rest.startswith("///") or rest.strip("/") in {"", ":memory:"}):
        raise ValueError("names no SQLite file: expected sqlite:///PATH (a record in memory would be lost)")
    return url


def _bucket(url: str) -> str:
    """Return a bucket URL unchanged; raises ValueError if it is not of the form `s3://bucket/prefix`."""
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.netloc or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError("names no bucket: expected s3://bucket/prefix, or unset it to keep bytes in the workspace")
    prefix = parts.path.strip("/")
    if prefix and any(part in {"", ".", ".."} for part in prefix.split("/")):
        raise ValueError("has an empty part, '.' or '..' in its prefix: name it plainly, as in s3://bucket/team/store")
    return url


Flag = Annotated[bool, BeforeValidator(_parse_flag)]


class Settings(BaseSettings):
    """The settings from the environment. An empty variable counts as unset, except `TRACECORE_PLUGINS`.

    Attributes:
        home: the workspace; None means `./.tracecore`.
        catalog_url: SQLAlchemy URL of the ledger and catalog database; None means SQLite in the workspace.
        store_url: URL of the artifacts' bucket; None means the workspace.
        plugins: entry points of the plugins to load; None means all installed ones.
        trace_plugins: whether hook calls are printed on stderr.
        strict_io: whether undeclared accesses fail a run.
        notify: Apprise URLs that receive failed checks.
        debug: whether errors are printed with a traceback.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True)

    home: Annotated[Path | None, BeforeValidator(lambda value: Path(value).absolute() if value else None)] = None
    catalog_url: Annotated[str | None, BeforeValidator(lambda url: _catalog(url) if url else None)] = Field(default=None, repr=False)
    store_url: Annotated[str | None, BeforeValidator(lambda url: _bucket(url) if url else None)] = None
    plugins: Annotated[tuple[str, ...] | None, NoDecode, _split_words(",")] = None
    trace_plugins: Flag = False
    strict_io: Flag = False
    notify: Annotated[tuple[str, ...], NoDecode, _split_words(r"\s")] = Field(default=(), repr=False)
    debug: Flag = False
    _others: Mapping[str, str] = PrivateAttr(default_factory=dict)

    @property
    def others(self) -> Mapping[str, str]:
        """`TRACECORE_*` variables that are not tracecore settings, such as plugins', by name without the prefix."""
        return self._others

    @classmethod
    def read(cls) -> Self:
        """Return the settings from the environment; variables that look mistyped are logged. Raises UsageError for an invalid value."""
        try:
            found = cls()
        except ValidationError as error:
            raise UsageError(_sentence(error.errors()[0])) from None
        known = {f"{PREFIX}{name.upper()}" for name in cls.model_fields}
        others = {name: value for name, value in os.environ.items() if name.startswith(PREFIX) and name not in known}
        for name, near in _mistyped(others, known):
            _log.warning("%s is not a setting of tracecore: did you mean %s?", name, near)
        found._others = {name.removeprefix(PREFIX): value for name, value in others.items()}
        return found

    def at(self, *, catalog: str | None = None, store: str | None = None) -> Self:
        """Return a copy of the settings with another database or bucket URL; None keeps the present one. Raises UsageError for an invalid URL."""
        changed: dict[str, str] = {}
        for option, name, check, url in (("--catalog", "catalog_url", _catalog, catalog), ("--store", "store_url", _bucket, store)):
            try:
                changed |= {} if url is None else {name: check(url)}
            except ValueError as wrong:
                raise UsageError(f"{option} {wrong}.") from None
        return self.model_copy(update=changed)

    @field_validator("notify")
    @classmethod
    def _are_urls(cls, urls: tuple[str, ...]) -> tuple[str, ...]:
        # Without their own text: they hold passwords as a rule.
        wrong = next((place for place, url in enumerate(urls, start=1) if ":" not in url), None)
        if wrong is not None:
            raise ValueError(f"has the entry {wrong}, which is not a URL: expected one such as json://host/path or mailto://…")
        return urls


def _sentence(error: Any) -> str:
    """Return the error message for an invalid environment variable, from pydantic's error; shows the value only if it can't contain a password."""
    name = str(error["loc"][0])
    reason = str(error["ctx"]["error"]) if "ctx" in error and "error" in error["ctx"] else error["msg"]
    shown = f" is {error['input']!r}, which" if name == "store_url" and "@" not in error["input"] else ""
    if reason.startswith("expected"):
        shown = f" is {error['input']!r}:"
    return f"{PREFIX}{name.upper()}{shown} {reason}."


def _mistyped(others: Mapping[str, str], known: set[str]) -> Iterator[tuple[str, str]]:
    """Yield (variable, setting) for each environment variable in `others` whose name is similar to that of a setting in `known`."""
    words = {name.removeprefix(PREFIX): name for name in known}
    for name in sorted(others):
        for near in difflib.get_close_matches(name.removeprefix(PREFIX), list(words), n=1, cutoff=0.7):
            yield name, words[near]
