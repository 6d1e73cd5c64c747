"""``pyproject.toml`` with a ``[project]`` table (PEP 621): uv, PDM, Hatch, Poetry 2, setuptools.

Source: https://packaging.python.org/en/latest/specifications/pyproject-toml/, PEP 735 for dependency groups
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from preview.environments.manifests.poetry import poetry_groups, read_poetry
from preview.environments.manifests.reading import Line, Manifest, as_table, as_texts, load_toml

__all__ = ["read_pyproject"]


def read_pyproject(folder: Path, source: str) -> Manifest:
    """What ``pyproject.toml`` says, in whichever dialect.

    Args:
        folder: Where it lies.
        source: Its path relative to the project, for messages.

    Raises:
        EnvironmentFailed: It cannot be read.
    """
    content = load_toml(folder / "pyproject.toml", source)
    project = as_table(content.get("project"))
    tools = as_table(content.get("tool"))
    poetry = as_table(tools.get("poetry"))
    if poetry.get("dependencies") and "dependencies" not in project:
        return read_poetry(poetry, source)
    if not project:
        return Manifest(source, groups=_groups(content, source), notes=(f"{source} has no [project] table",))
    notes: list[str] = []
    sources = as_table(as_table(tools.get("uv")).get("sources"))
    lines = tuple(_lines(project.get("dependencies"), source, "dependency", sources, notes))
    if "dependencies" in as_texts(project.get("dynamic")):
        lines += tuple(_dynamic(tools, source, notes))
    elif "dependencies" in project and not isinstance(project["dependencies"], list):
        notes.append(f"[project] dependencies in {source} is no list, so it is not read")
    python = project.get("requires-python")
    return Manifest(
        source,
        lines=lines,
        groups={**_groups(content, source), **poetry_groups(poetry, source)},
        requires_python=python if isinstance(python, str) else None,
        notes=tuple(notes),
    )


def _lines(value: object, source: str, word: str, sources: Mapping[str, object], notes: list[str]) -> Iterator[Line]:
    for number, text in enumerate(as_texts(value), start=1):
        line = _from_source(text, sources, source, notes)
        if line is not None:
            yield Line(line, f"{source} {word} {number}")


def _from_source(text: str, sources: Mapping[str, object], source: str, notes: list[str]) -> str | None:
    """The requirement with the place that ``[tool.uv.sources]`` names for it.

    Source: https://docs.astral.sh/uv/concepts/projects/dependencies/
    """
    if not sources:
        return text
    try:
        wanted = Requirement(text)
    except InvalidRequirement:
        return text
    found = next(
        (value for name, value in sources.items() if canonicalize_name(name) == canonicalize_name(wanted.name)), None
    )
    place = as_table(found)
    extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
    if isinstance(place.get("path"), str):
        return f"{wanted.name}{extras} @ {place['path']}"
    if isinstance(place.get("git"), str):
        revision = next((place[key] for key in ("rev", "tag", "branch") if isinstance(place.get(key), str)), None)
        return f"{wanted.name}{extras} @ git+{place['git']}{f'@{revision}' if revision else ''}"
    if isinstance(place.get("url"), str):
        return f"{wanted.name}{extras} @ {place['url']}"
    if place.get("workspace"):
        notes.append(f"{wanted.name} ({source}) is left out: it is another member of the workspace")
        return None
    return text


def _dynamic(tools: Mapping[str, object], source: str, notes: list[str]) -> Iterator[Line]:
    """What setuptools reads from a file: ``dependencies = {file = ["requirements.txt"]}``."""
    entry = as_table(as_table(as_table(tools.get("setuptools")).get("dynamic")).get("dependencies"))
    files = entry.get("file")
    names = [files] if isinstance(files, str) else as_texts(files)
    if not names:
        notes.append(f"{source} computes its dependencies, so they are not known")
    for name in names:
        yield Line(f"-r {name}", source)


def _groups(content: Mapping[str, object], source: str) -> dict[str, tuple[Line, ...]]:
    """Extras, dependency groups and PDM's and uv's older ways of writing them."""
    tools = as_table(content.get("tool"))
    found: dict[str, tuple[Line, ...]] = {}
    tables = (
        as_table(as_table(content.get("project")).get("optional-dependencies")),
        as_table(content.get("dependency-groups")),
        as_table(as_table(tools.get("pdm")).get("dev-dependencies")),
    )
    for table in tables:
        for name, value in table.items():
            found[name] = tuple(_lines(value, source, f"group {name}", {}, []))
    environments = as_table(as_table(tools.get("hatch")).get("envs"))
    for name, value in environments.items():
        found.setdefault(
            name, tuple(_lines(as_table(value).get("dependencies"), source, f"environment {name}", {}, []))
        )
    older = as_table(tools.get("uv")).get("dev-dependencies")
    if older:
        found.setdefault("dev", tuple(_lines(older, source, "group dev", {}, [])))
    return {name: lines for name, lines in found.items() if lines}
