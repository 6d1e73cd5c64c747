"""Reader of ``pyproject.toml``: ``[project]`` (PEP 621) and the tables of uv, PDM, Hatch, Poetry and setuptools.

Source: https://packaging.python.org/en/latest/specifications/pyproject-toml/, PEP 735 for dependency groups
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from packaging.markers import InvalidMarker, Marker, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from preview.environments.manifests.manifest_files import Line, Manifest, as_table, as_texts, load_toml
from preview.environments.manifests.poetry import poetry_groups, read_poetry
from preview.environments.requirements.requirements import OwnIndex

_SHOWN = 100


def read_pyproject(folder: Path, source: str) -> Manifest:
    """Return the requirements of ``pyproject.toml`` in any dialect.

    Raises:
        EnvironmentFailed: The file cannot be read.
    """
    content = load_toml(folder / "pyproject.toml", source)
    project = as_table(content.get("project"))
    tools = as_table(content.get("tool"))
    poetry = as_table(tools.get("poetry"))
    indexes = tuple(_indexes(tools, source))
    if poetry.get("dependencies") and "dependencies" not in project:
        return replace(read_poetry(poetry, source), indexes=indexes)
    sources = as_table(as_table(tools.get("uv")).get("sources"))
    groups = {**_groups(content, source, sources), **poetry_groups(poetry, source)}
    if not project:
        notes = (f"{source} has no [project] table",)
        return Manifest(source, groups=groups, notes=notes, indexes=indexes)
    told: list[str] = []
    lines = tuple(_lines(project.get("dependencies"), source, "dependency", sources, told))
    if "dependencies" in as_texts(project.get("dynamic")):
        lines += tuple(_dynamic(tools, source, told))
    elif "dependencies" in project and not isinstance(project["dependencies"], list):
        told.append(f"[project] dependencies in {source} is not a list, so it is not read")
    python = project.get("requires-python")
    return Manifest(
        source,
        lines=lines,
        groups=groups,
        requires_python=python if isinstance(python, str) else None,
        notes=tuple(told),
        indexes=indexes,
        withheld=frozenset(canonicalize_name(name) for name in sources if _place(sources[name]).get("workspace")),
    )


def _lines(value: object, source: str, word: str, sources: Mapping[str, object], notes: list[str]) -> Iterator[Line]:
    for number, text in enumerate(as_texts(value), start=1):
        line = _from_source(text, sources, source, notes)
        if line is not None:
            yield Line(line, f"{source} {word} {number}")


def _from_source(text: str, sources: Mapping[str, object], source: str, notes: list[str]) -> str | None:
    """Return the requirement with its source from ``[tool.uv.sources]``.

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
    if found is None:
        return text
    place = _place(found)
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
    if isinstance(place.get("index"), str):
        # The index's URL is read elsewhere, with the file's other indexes.
        return text
    # No index has this source. As a path that does not exist, it makes the build fail.
    return f"{wanted.name}{extras} @ {str(found)[:_SHOWN]}"


def _place(found: object) -> Mapping[str, object]:
    """Return the source that applies on this machine, of several with markers."""
    for one in found if isinstance(found, list) else [found]:
        place = as_table(one)
        marker = place.get("marker")
        try:
            if not isinstance(marker, str) or Marker(marker).evaluate():
                return place
        except (InvalidMarker, UndefinedEnvironmentName):
            continue
    return {}


def _indexes(tools: Mapping[str, object], source: str) -> Iterator[OwnIndex]:
    """Yield the indexes of uv, Poetry and PDM, in all forms."""
    uv = as_table(tools.get("uv"))
    for name, table in (("uv", uv), ("uv.pip", as_table(uv.get("pip")))):
        for key in ("index-url", "extra-index-url", "find-links", "no-index"):
            value = table.get(key)
            for url in value if isinstance(value, list) else [value]:
                if url:
                    yield OwnIndex(str(url), f"{source} [tool.{name}] {key}")
    tables = {tool: as_table(tools.get(tool)) for tool in ("uv", "poetry", "pdm")}
    named = set(_named_indexes(uv))
    listed = (("uv", "index"), ("poetry", "source"), ("pdm", "source"))
    for tool, key in listed:
        found = tables[tool].get(key)
        for one in found if isinstance(found, list) else [found] if found else []:
            entry = as_table(one)
            # Poetry names the public index without a URL.
            if str(entry.get("name")).lower() == "pypi" and "url" not in entry:
                continue
            # uv takes only packages that name it from an explicit index; some projects have one only to publish to.
            if tool == "uv" and entry.get("explicit") is True and str(entry.get("name")) not in named:
                continue
            yield OwnIndex(str(entry.get("url", "")), f"{source} [[tool.{tool}.{key}]]")
            named.discard(str(entry.get("name")))
    # An index of the workspace's root, whose own packages may not name it.
    for name in sorted(named):
        yield OwnIndex(name, f"{source} [tool.uv.sources]")


def _named_indexes(uv: Mapping[str, object]) -> Iterator[str]:
    """Yield the names of indexes that packages name, whatever their markers."""
    for found in as_table(uv.get("sources")).values():
        for one in found if isinstance(found, list) else [found]:
            name = as_table(one).get("index")
            if name is not None:
                yield str(name)


def _dynamic(tools: Mapping[str, object], source: str, notes: list[str]) -> Iterator[Line]:
    """Yield the lines that setuptools reads from files: ``dependencies = {file = ["requirements.txt"]}``."""
    entry = as_table(as_table(as_table(tools.get("setuptools")).get("dynamic")).get("dependencies"))
    files = entry.get("file")
    names = [files] if isinstance(files, str) else as_texts(files)
    if not names:
        notes.append(f"{source} computes its dependencies, so they are not known")
    for name in names:
        yield Line(f"-r {name}", source)


def _groups(content: Mapping[str, object], source: str, sources: Mapping[str, object]) -> dict[str, tuple[Line, ...]]:
    """Return extras, dependency groups, and groups in the older forms of PDM and uv."""
    tools = as_table(content.get("tool"))
    found: dict[str, tuple[Line, ...]] = {}
    tables = (
        as_table(as_table(content.get("project")).get("optional-dependencies")),
        as_table(content.get("dependency-groups")),
        as_table(as_table(tools.get("pdm")).get("dev-dependencies")),
    )
    for table in tables:
        for name, value in table.items():
            found[name] = tuple(_lines(value, source, f"group {name}", sources, []))
    environments = as_table(as_table(tools.get("hatch")).get("envs"))
    for name, value in environments.items():
        found.setdefault(
            name, tuple(_lines(as_table(value).get("dependencies"), source, f"environment {name}", sources, []))
        )
    older = as_table(tools.get("uv")).get("dev-dependencies")
    if older:
        found.setdefault("dev", tuple(_lines(older, source, "group dev", sources, [])))
    return {name: lines for name, lines in found.items() if lines}
