"""The workspace: the one folder that holds everything a run leaves."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tracecore.errors import UsageError
from tracecore.files import fsync_folder, make_folder, write_durably
from tracecore.system.failures import tellable
from tracecore_schemas.canonical import JSON, digest_bytes, jcs

if TYPE_CHECKING:
    from tracecore.system.settings import Settings

__all__ = ["NamedWorkspace", "Workspace", "holds_workspace", "slugify", "written"]

DEFAULT = ".tracecore"
_CONFIG = "workspace.json"
_PLACES = ("catalog", "store")
_FORMAT = 1
_LEDGER_ID = re.compile(r"[0-9a-f]{32}")


def slugify(text: str) -> str:
    """Turn a text into a slug for namespaces: lower-case letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "workspace"


def holds_workspace(root: Path) -> bool:
    """Return whether a folder is a workspace; False of one that may not be entered."""
    try:
        return (root / _CONFIG).exists()
    except OSError:
        return False


def written(config: Mapping[str, JSON]) -> bytes:
    """Return the bytes of `workspace.json`; the digest over its other members lets `verify` name any change."""
    members = {name: value for name, value in config.items() if name != "digest"}
    return json.dumps({**members, "digest": digest_bytes(jcs(members))}).encode() + b"\n"


_USER = re.compile(r"\A[^:/?#@]*(:[^@]*)?@")


def _without_credentials(url: str) -> str:
    """Return a URL without user, password and query."""
    scheme, found, rest = url.partition("://")
    return scheme + found + re.split("[?#]", _USER.sub("", rest), maxsplit=1)[0]


@dataclass(frozen=True, slots=True)
class NamedWorkspace:
    """A workspace that is named and not opened yet: what a command gets of its `--workspace`.

    Attributes:
        directory: its folder; the one that the settings name, else `./.tracecore`, where None.
    """

    settings: Settings
    directory: Path | None = None

    @classmethod
    def of(cls, where: NamedWorkspace | Path | str | None) -> NamedWorkspace:
        """Return what is named; the settings are read here for a caller that names only a folder."""
        if isinstance(where, NamedWorkspace):
            return where
        from tracecore.system.settings import Settings

        return cls(Settings.read(), Path(where) if where else None)


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where everything of one workspace lies.

    Attributes:
        root: its folder, absolute.
        slug: its name in the record: the OpenLineage namespace of all its jobs and datasets. Set once, by `init`.
        ledger_id: of the one ledger that is its record, 32 hex, drawn by `init`; catalog and store carry the same.
        catalog_url: SQLAlchemy URL of the database that holds ledger, catalog and outbox.
        store_url: URL of the bucket that keeps the artifacts; None where they lie in the workspace.
    """

    root: Path
    slug: str
    ledger_id: str
    catalog_url: str = field(repr=False)
    store_url: str | None

    @property
    def store(self) -> Path:
        """Artifacts: blobs, trees and Delta tables."""
        return self.root / "store"

    @property
    def staging(self) -> Path:
        """Outputs of running stages, one folder a run; on the store's file system, so that a move is a rename."""
        return self.root / "store" / "staging"

    def scratch_of(self, key: str) -> Path:
        """What a stage keeps for the next run of the same staleness key, should this one be killed: no part of the record, free to be deleted."""
        return self.root / "scratch" / key.removeprefix("sha256:")[:32]

    @property
    def cache(self) -> Path:
        """Copies of artifacts whose bytes lie in an object store: no part of the record, free to be deleted while nothing runs."""
        return self.root / "cache"

    @property
    def locks(self) -> Path:
        """Lock files of live runs, staleness keys and tables."""
        return self.root / "locks"

    @property
    def keys(self) -> Path:
        """Signing keys."""
        return self.root / "keys"

    @property
    def dagster(self) -> Path:
        """`DAGSTER_HOME`: Dagster's own files, no part of the record."""
        return self.root / "dagster"

    def binding(self) -> Mapping[str, str] | None:
        """Return where catalog and store of the workspace's ledger lay when they were bound; None before its record was first opened."""
        config = json.loads((self.root / _CONFIG).read_text(encoding="utf-8"))
        return {name: config[name] for name in _PLACES} if _PLACES[0] in config else None

    def bind(self, *, catalog: str | None = None, store: str | None = None) -> None:
        """Remember where catalog and store lie, for the sentence that refuses others: no credentials; relative where inside the workspace."""
        places = {"catalog": catalog or self.catalog_url, "store": store or self.store_url or str(self.store)}
        config: dict[str, JSON] = {"format": _FORMAT, "slug": self.slug, "ledger_id": self.ledger_id}
        write_durably(self.root / _CONFIG, written({**config, **{name: self._relative(url) for name, url in places.items()}}))

    def catalog_unset(self, bound: str) -> bool:
        """Whether the catalog in use is the workspace's own file, and the one that it was bound to lies elsewhere."""
        own = self.root / "record.db"
        elsewhere = self.root / bound.removeprefix("sqlite:///")
        return self.catalog_url == f"sqlite:///{own}" and elsewhere.resolve() != own.resolve()

    def _relative(self, url: str) -> str:
        plain = _without_credentials(url)
        path = Path(plain.removeprefix("sqlite:///"))
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else plain

    @classmethod
    def locate(cls, where: NamedWorkspace | Path | str | None = None) -> Path:
        """Return the folder that is meant: the one that is named, else `TRACECORE_HOME`, else `./.tracecore`.

        The folder of a project means the workspace in it: after `tracecore init fleet`, `--workspace fleet` is the one that was made.
        """
        meant = NamedWorkspace.of(where)
        named = (meant.directory or meant.settings.home or Path(DEFAULT)).absolute()
        if tellable(str(named)) != str(named):
            raise UsageError(f"A workspace can't lie at '{tellable(str(named))}': the path is not UTF-8, as names in databases and tables must be.")
        within = named / DEFAULT
        return within if holds_workspace(within) and not holds_workspace(named) else named

    @classmethod
    def at(cls, named: NamedWorkspace, slug: str = "", ledger_id: str = "") -> Workspace:
        """Return a workspace as it lies or would lie where one is named; nothing is read or made."""
        root = cls.locate(named)
        return cls(root, slug, ledger_id, named.settings.catalog_url or f"sqlite:///{root / 'record.db'}", named.settings.store_url)

    @staticmethod
    def exists(root: Path) -> bool:
        """Whether a folder is a workspace; False of one that may not be entered."""
        return holds_workspace(root)

    @classmethod
    def open(cls, where: NamedWorkspace | Path | str | None = None) -> Workspace:
        """Open an existing workspace.

        Raises:
            UsageError: there is none, or it was written by a newer tracecore.
        """
        meant = NamedWorkspace.of(where)
        root = cls.locate(meant)
        try:
            config = json.loads((root / _CONFIG).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageError(f"No workspace at {root}: make one with 'tracecore init', or name one with --workspace or TRACECORE_HOME.") from None
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise UsageError(f"The workspace file {root / _CONFIG} can't be read: {reason.lower()}.") from error
        found, slug, ledger_id = (config.get(name) for name in ("format", "slug", "ledger_id")) if isinstance(config, dict) else (None, None, None)
        if found != _FORMAT:
            raise UsageError(f"The workspace file {root / _CONFIG} says format {found!r}; this tracecore reads format {_FORMAT}.")
        if not isinstance(slug, str) or not slug:
            raise UsageError(f"The workspace file {root / _CONFIG} names no slug: expected the name that 'tracecore init' gave the workspace.")
        if not isinstance(ledger_id, str) or not _LEDGER_ID.fullmatch(ledger_id):
            raise UsageError(f"The workspace file {root / _CONFIG} names no ledger: expected 'ledger_id', 32 hex, as 'tracecore init' drew it.")
        places = [config.get(name) for name in _PLACES]
        if places != [None, None] and not all(isinstance(place, str) for place in places):
            raise UsageError(
                f"The workspace file {root / _CONFIG} does not name both catalog and store, as the first command that opened it wrote them."
            )
        # It may have been made by a process that was killed before its own fsync: nothing durable may depend on a file that a power cut takes.
        with contextlib.suppress(OSError):  # on a disk that can't be written nothing is promised
            fsync_folder(root)
        return cls.at(meant, slug, ledger_id)

    @classmethod
    def create(cls, where: NamedWorkspace | Path | str | None = None, *, slug: str | None = None, ledger_id: str | None = None) -> Workspace:
        """Make a workspace, or open the one that is there (its slug and ledger stay).

        Args:
            slug: its name; the folder's where None.
            ledger_id: of the ledger that it joins; a new one where None.

        Raises:
            UsageError: the folder can't be written.
        """
        meant = NamedWorkspace.of(where)
        root = cls.locate(meant)
        if cls.exists(root):
            return cls.open(meant)
        from filelock import FileLock

        chosen = slugify(slug or (root.parent.name if root.name.startswith(".") else root.name))
        try:
            for folder in ("store/blobs", "store/trees", "store/tables", "store/staging", "locks", "keys", "dagster"):
                make_folder(root / folder)
            (root / "keys").chmod(0o700)
            # These again, new or not: what is there may have been made by a process that was killed before it could say so to the disk.
            fsync_folder(root / "store")
            fsync_folder(root)
            with contextlib.suppress(PermissionError):  # a folder above that may not be read was not made by us
                fsync_folder(root.parent)
            with FileLock(root / "locks" / "create.lock"):  # of two processes that come at once, one draws the id
                if not holds_workspace(root):
                    drawn = ledger_id or secrets.token_hex(16)
                    write_durably(root / _CONFIG, written({"format": _FORMAT, "slug": chosen, "ledger_id": drawn}))
        except OSError as error:
            raise UsageError(f"A workspace can't be written at {root}: {error.strerror or error}.") from error
        return cls.open(meant)
