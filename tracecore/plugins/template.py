"""Creating a new plugin from the template: a complete distribution with one working, conforming stage."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from tracecore.errors import UsageError, suggestion
from tracecore.plugins.discovery import GROUP
from tracecore.stage import StageKind

__all__ = ["Scaffold", "make_plugin", "template_folder"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_LONGEST = 40
_TAKEN = frozenset({"schemas", "lineage", "assets", "graphql"})
"""Plugin names whose package would be one of tracecore's own."""
_SUBSTITUTED = re.compile(r"\b(tracecore_template|tracecore-template|Template|template)\b|test_template(?=\.py)")
_DEFAULT = StageKind.CURATE
_FURTHER = {StageKind.COMPRESS: ("numpy>=2", "safetensors>=0.5"), StageKind.EXPORT: ("numpy>=2", "safetensors>=0.5"),
            StageKind.TRAIN: ("numpy>=2",), StageKind.SIMULATE: ("numpy>=2",)}  # fmt: skip
"""Requirements of a kind's template stage that tracecore does not install."""
_VARIANTS = frozenset({"stages", "samples"})


@dataclass(frozen=True, slots=True)
class Scaffold:
    """A created plugin: its folder, its files relative to it, and its names."""

    folder: Path
    files: tuple[str, ...]
    name: str
    package: str
    distribution: str


def template_folder() -> Path:
    """Return the folder of the plugin template, in the installed package or the checkout; raises UsageError if it is missing."""
    here = Path(__file__).parents[1]
    for folder in (here / "_template", here.parent / "plugins" / "_template"):
        if (folder / "pyproject.toml").is_file():
            return folder
    raise UsageError(f"The plugin template is missing from this installation of tracecore (expected at {here / '_template'}): install it again.")


def make_plugin(name: str, parent: Path, kind: str = _DEFAULT) -> Scaffold:
    """Create a plugin with one stage of `kind` in `<parent>/<name>`, and return its names and files; raises UsageError if it can't be created."""
    _check_name(name)
    kinds = [each.value for each in StageKind]
    if kind not in kinds:
        raise UsageError(f"There is no stage kind '{kind}'. {suggestion(kind, kinds)}")
    folder = parent / name
    if folder.exists():
        raise UsageError(f"'{folder}' is there already and is not written over: choose another name, or another folder with -o.")
    package = f"tracecore_{name.replace('-', '_')}"
    template = _files(StageKind(kind))
    imported = re.findall(r"^(?:import|from) .*$", template["tracecore_template/stage.py"], re.MULTILINE)
    if any(_class_name(name) in re.findall(r"\w+", line) for line in imported):
        raise UsageError(f"'{name}' can't name a {kind} plugin: its class {_class_name(name)} would hide another that its stage imports.")
    written = {_renamed(path, name, package): _renamed(text, name, package) for path, text in template.items()}
    try:
        for path, text in sorted(written.items()):
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"The plugin can't be written to '{folder}': {error.strerror or error}.") from error
    return Scaffold(folder, tuple(sorted(written)), name, package, f"tracecore-{name}")


def _check_name(name: str) -> None:
    """Raise UsageError if a plugin name is not in kebab-case, too long, installed already, or that of one of tracecore's own packages."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        offer = re.sub(r"[^a-z0-9]+", "-", re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", name).lower()).strip("-").lstrip("0123456789-")[:_LONGEST]
        hint = f": '{offer}' would do" if _NAME.fullmatch(offer) else ""
        raise UsageError(f"{name!r} can't name a plugin: expected lower-case words with hyphens, a letter first, at most {_LONGEST}{hint}.")
    installed = {entry.name: entry.dist.name if entry.dist else "another distribution" for entry in metadata.entry_points(group=GROUP)}
    if name in installed:
        raise UsageError(f"A plugin '{name}' is installed already, by {installed[name]}: choose another name.")
    if name in _TAKEN:
        raise UsageError(f"'{name}' can't name a plugin: the package tracecore_{name} is tracecore's own.")


def _files(kind: StageKind) -> dict[str, str]:
    """Return the text of each file of the plugin template by relative path, with an example stage of the kind and its test samples."""
    root = template_folder()
    found = {
        path.relative_to(root).as_posix(): path.read_text(encoding="utf-8")
        for path in sorted(root.rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts and path.relative_to(root).parts[0] not in _VARIANTS
    }
    if kind is not _DEFAULT:
        found["tracecore_template/stage.py"] = (root / "stages" / f"{kind}.py").read_text(encoding="utf-8")
        found["README.md"] = found["README.md"].replace(f"stage: {_DEFAULT}", f"stage: {kind}")
    samples = root / "samples" / f"{kind}.py"
    if samples.is_file():
        found["tests/conformance.py"] = samples.read_text(encoding="utf-8")
    further = "".join(f', "{each}"' for each in _FURTHER.get(kind, ()))
    series = ".".join(metadata.version("tracecore").split(".")[:2])
    found["pyproject.toml"] = found["pyproject.toml"].replace('"tracecore==0.1.*"]', f'"tracecore=={series}.*"{further}]')
    return found


def _renamed(text: str, name: str, package: str) -> str:
    """Return a text of the plugin template, in which the names of plugin, package and class are replaced by those of the plugin `name`."""
    names = {
        "test_template": f"test_{name.replace('-', '_')}",
        "tracecore_template": package,
        "tracecore-template": f"tracecore-{name}",
        "Template": _class_name(name),
    }
    return _SUBSTITUTED.sub(lambda match: names.get(match[0], name), text)


def _class_name(name: str) -> str:
    return "".join(word.capitalize() for word in name.split("-"))
