"""The workspace: the one folder that holds everything a run leaves."""

from __future__ import annotations

import contextlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

from tracecore.durable import fsync_folder, make_folder, write_durably
from tracecore.errors import UsageProblem

__all__ = ["ENV_CATALOG", "ENV_HOME", "ENV_STORE", "Workspace", "slugify"]

ENV_HOME = "TRACECORE_HOME"
ENV_CATALOG = "TRACECORE_CATALOG_URL"
ENV_STORE = "TRACECORE_STORE_URL"
DEFAULT = ".tracecore"
_CONFIG = "workspace.json"
_FORMAT = 1


def slugify(text: str) -> str:
    """Turn a text into a slug for namespaces: lower-case letters, digits and single hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "workspace"


def _holds_one(root: Path) -> bool:
    """Say whether a folder is a workspace; of one that may not be entered nobody can say so."""
    try:
        return (root / _CONFIG).exists()
    except OSError:
        return False


@dataclass(frozen=True, slots=True)
class Workspace:
    """Where everything of one workspace lies.

    Attributes:
        root: its folder, absolute.
        slug: its name in the record: the OpenLineage namespace of all its jobs and datasets. Set once, by `init`.
    """

    root: Path
    slug: str

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

    @property
    def catalog_url(self) -> str:
        """SQLAlchemy URL of the database that holds ledger, catalog and outbox."""
        return os.environ.get(ENV_CATALOG) or f"sqlite:///{self.root / 'record.db'}"

    @classmethod
    def locate(cls, directory: Path | str | None = None) -> Path:
        """Give the folder that is meant: the argument, else `TRACECORE_HOME`, else `./.tracecore`.

        The folder of a project stands for the workspace in it: after `tracecore init fleet`, `--workspace fleet` is the one that was made.
        """
        named = Path(directory or os.environ.get(ENV_HOME) or DEFAULT).absolute()
        within = named / DEFAULT
        return within if _holds_one(within) and not _holds_one(named) else named

    @classmethod
    def open(cls, directory: Path | str | None = None) -> Workspace:
        """Open an existing workspace.

        Raises:
            UsageProblem: there is none, or it was written by a newer tracecore.
        """
        root = cls.locate(directory)
        try:
            config = json.loads((root / _CONFIG).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UsageProblem(f"No workspace at {root}: make one with 'tracecore init', or name one with --workspace or {ENV_HOME}.") from None
        except (OSError, ValueError) as error:
            raise UsageProblem(f"The workspace file {root / _CONFIG} can't be read: {error}.") from error
        found, slug = (config.get("format"), config.get("slug")) if isinstance(config, dict) else (None, None)
        if found != _FORMAT:
            raise UsageProblem(f"The workspace file {root / _CONFIG} says format {found!r}; this tracecore reads format {_FORMAT}.")
        if not isinstance(slug, str) or not slug:
            raise UsageProblem(f"The workspace file {root / _CONFIG} names no slug: expected the name that 'tracecore init' gave the workspace.")
        # Who made it may have been killed before its own fsync: nothing that is promised in a workspace may stand on a file that a power cut takes.
        with contextlib.suppress(OSError):  # on a disk that can't be written nothing is promised
            fsync_folder(root)
        return cls(root, slug)

    @classmethod
    def create(cls, directory: Path | str | None = None, *, slug: str | None = None) -> Workspace:
        """Make a workspace, or open the one that is there (its slug stays).

        Raises:
            UsageProblem: the folder can't be written.
        """
        root = cls.locate(directory)
        if _holds_one(root):
            return cls.open(root)
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
            write_durably(root / _CONFIG, json.dumps({"format": _FORMAT, "slug": chosen}).encode() + b"\n")
        except OSError as error:
            raise UsageProblem(f"A workspace can't be written at {root}: {error.strerror or error}.") from error
        return cls(root, chosen)
