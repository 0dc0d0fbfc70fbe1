"""Canonical JSON, content digests, locations of content in a store, and the version of the kernel's data format."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias, Union
from urllib.parse import quote, unquote

import rfc8785

__all__ = [
    "DATA_FORMAT",
    "JSON",
    "MAX_EXACT_INTEGER",
    "blob_location",
    "digest_bytes",
    "digest_file",
    "digest_json",
    "hex_of",
    "is_digest",
    "jcs",
    "table_folder",
    "table_name",
    "tree_location",
]

JSON: TypeAlias = Union[bool, int, float, str, "Sequence[JSON]", "Mapping[str, JSON]", None]

MAX_EXACT_INTEGER = 2**53 - 1
"""The greatest integer that canonical JSON keeps exactly."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def jcs(value: JSON) -> bytes:
    """Return the RFC 8785 canonical UTF-8 bytes of a JSON value.

    Raises:
        rfc8785.CanonicalizationError: NaN, infinity, a lone surrogate, or an integer beyond 2^53 - 1 (write large integers as strings).
    """
    return rfc8785.dumps(value)


def digest_bytes(data: bytes) -> str:
    """Return the SHA-256 digest of bytes as `sha256:<64 hex>`."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def digest_json(value: JSON) -> str:
    """Return the SHA-256 digest of a JSON value's canonical bytes (`jcs`)."""
    return digest_bytes(jcs(value))


def digest_file(path: Path) -> str:
    """Return the SHA-256 digest of a file's content as `sha256:<64 hex>`."""
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def is_digest(text: str) -> bool:
    """Whether a text is a full digest, `sha256:<64 hex>`."""
    return _DIGEST.fullmatch(text) is not None


def hex_of(digest: str) -> str:
    """Return the 64 hex digits of a `sha256:` digest; raises ValueError if the text is not one."""
    if not is_digest(digest):
        raise ValueError(f"Expected a digest 'sha256:<64 hex>', found {digest!r}.")
    return digest.removeprefix("sha256:")


DATA_FORMAT = 2
"""Raised when the same rows or files would be written as other bytes, or be called by another digest: all assets are then made again.

A run depends on it instead of on the distribution `tracecore`; tests/kernel/test_data_format.py fails when it has to be raised.
"""


def blob_location(digest: str) -> str:
    """Return the path, relative to the artifact store's root, of the file with a given digest."""
    digits = hex_of(digest)
    return f"blobs/{digits[:2]}/{digits}"


def tree_location(digest: str) -> str:
    """Return the path, relative to the artifact store's root, of the directory with a given digest."""
    digits = hex_of(digest)
    return f"trees/{digits[:2]}/{digits}"


def table_folder(kind: str, name: str) -> str:
    """Return the folder of a table, relative to the artifact store's root; its last segment is the name, percent-encoded with '=' for '%'."""
    return f"tables/{kind}/{quote(name, safe='').replace('%', '=')}"


def table_name(folder: str) -> str:
    """Return the artifact name encoded in the last segment of a table's folder; the inverse of `table_folder`."""
    return unquote(folder.replace("=", "%"))
