"""Makes real installed distributions for tests: a module, its metadata and its entry point, in a folder on the import path."""

from __future__ import annotations

import base64
import hashlib
from importlib import metadata
from pathlib import Path
from textwrap import dedent


def write_distribution(
    folder: Path, name: str, source: str, *, version: str = "1.0", requires: tuple[str, ...] = (), module: str | None = None, readme: str = ""
) -> Path:
    """Write a distribution as an installer leaves it; its entry point in group `tracecore` is `name`, its module `<name>_plugin`.

    Args:
        folder: depends on the import path.
        name: of the distribution and of its entry point.
        source: of the module.
        version: of the distribution.
        requires: requirement lines.
        module: another module name.
        readme: its long description.
    """
    folder.mkdir(parents=True, exist_ok=True)
    module = module or f"{name.replace('-', '_')}_plugin"
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    head = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    files = {
        f"{module}.py": dedent(source),
        f"{info}/METADATA": "\n".join([*head, *(f"Requires-Dist: {each}" for each in requires), *(["", readme] if readme else []), ""]),
        f"{info}/entry_points.txt": f"[tracecore]\n{name} = {module}\n",
        f"{info}/INSTALLER": "hand\n",
        f"{info}/direct_url.json": f'{{"url": "file://{folder}", "dir_info": {{}}}}',
    }
    lines = []
    for path, text in files.items():
        (folder / path).parent.mkdir(exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        lines.append(f"{path},sha256={digest},{len(text.encode())}")
    (folder / info / "RECORD").write_text("\n".join([*lines, f"{info}/RECORD,,", ""]), encoding="utf-8")
    return folder


def entry_points_of(*folders: Path) -> list[metadata.EntryPoint]:
    """Return the entry points of group `tracecore` that the distributions in some folders offer, and no others."""
    found = [entry for each in metadata.distributions(path=[str(folder) for folder in folders]) for entry in each.entry_points]
    return [entry for entry in found if entry.group == "tracecore"]
