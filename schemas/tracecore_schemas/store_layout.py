"""Where an artifact lies in a store, relative to its root: files and directories by digest, tables by kind and name."""

from __future__ import annotations

from urllib.parse import quote, unquote

from tracecore_schemas.canonical import hex_of

__all__ = ["blob_location", "table_folder", "table_name", "tree_location"]


def blob_location(digest: str) -> str:
    """Return where a file lies."""
    digits = hex_of(digest)
    return f"blobs/{digits[:2]}/{digits}"


def tree_location(digest: str) -> str:
    """Return where a directory lies."""
    digits = hex_of(digest)
    return f"trees/{digits[:2]}/{digits}"


def table_folder(kind: str, name: str) -> str:
    """Return where the table of an artifact name lies: percent-encoded, with '=' for '%' (deltalake decodes a '%' twice)."""
    return f"tables/{kind}/{quote(name, safe='').replace('%', '=')}"


def table_name(folder: str) -> str:
    """Return the artifact name that the last part of a table's folder stands for."""
    return unquote(folder.replace("=", "%"))
