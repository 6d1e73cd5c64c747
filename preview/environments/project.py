"""Which file says what a project requires."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from preview.environments.requirements import ProjectRequirement, RequirementSet, parse_requirement
from preview.environments.requirements_file import read_requirements_file
from preview.errors import EnvironmentFailed

__all__ = ["read_project"]

# In this order; the first that is there counts.
_FILES = (
    "requirements.txt",
    "requirements/prod.txt",
    "requirements/production.txt",
    "requirements/base.txt",
    "requirements/requirements.txt",
)
_FOLDERS = ("backend", "api", "server", "app", "src")
_MAX_PYPROJECT_BYTES = 1024 * 1024


def read_project(project: Path, folder: str = ".") -> RequirementSet:
    """What the project requires: ``requirements.txt``, else ``[project]`` of ``pyproject.toml``, else nothing.

    A project whose backend is a subfolder may keep the file there (``backend/requirements.txt``).

    Raises:
        EnvironmentFailed: A file is wrong; says which, where and why.
    """
    notes: list[str] = []
    for prefix in ("", *(f"{name}/" for name in _FOLDERS)) if folder == "." else (f"{folder}/",):
        for name in _FILES:
            if (project / prefix / name).is_file():
                return read_requirements_file(project, prefix + name)
        name = f"{prefix}pyproject.toml"
        if (project / name).is_file():
            found = _read_pyproject(project, name)
            if found.source is not None:
                return found
            notes += found.notes
    return RequirementSet(notes=(*notes, "the project names no requirements (requirements.txt or pyproject.toml)"))


def _read_pyproject(project: Path, name: str) -> RequirementSet:
    table = _load(project, name).get("project")
    if not isinstance(table, dict):
        return RequirementSet(notes=(f"{name} has no [project] table",))
    if "dependencies" in (table.get("dynamic") or ()):
        return RequirementSet(notes=(f"{name} computes its dependencies, so they are not known",))
    lines = table.get("dependencies", [])
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise EnvironmentFailed(
            f"[project] dependencies in {name} must be a list of strings; correct it", reason="invalid", origin=name
        )
    python = table.get("requires-python")
    return RequirementSet(
        requirements=tuple(_dependency(line, name, number) for number, line in enumerate(lines, start=1)),
        requires_python=python if isinstance(python, str) else None,
        source=name,
    )


def _dependency(line: str, name: str, number: int) -> ProjectRequirement:
    origin = f"{name} dependency {number}"
    # A line break would smuggle further lines, options too, into the installer's file.
    if "${" in line or "\n" in line or "\r" in line or "file:" in line:
        raise EnvironmentFailed(
            f"{origin} has a line break, an environment variable or a file: address; write NAME==VERSION",
            reason="invalid",
            requirement=line[:200],
            origin=origin,
        )
    return parse_requirement(line, origin)


def _load(project: Path, name: str) -> dict[str, Any]:
    path = project / name
    try:
        if path.stat().st_size > _MAX_PYPROJECT_BYTES:
            raise EnvironmentFailed(f"{name} is larger than 1 MiB; shorten it", reason="invalid", origin=name)
        return tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        said = str(error) or type(error).__name__
        raise EnvironmentFailed(f"{name} cannot be read: {said}; correct it", reason="invalid", origin=name) from error
