"""Python versions in files other than manifests: files of version managers, platforms and containers."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from preview.environments.imports.removed_apis import OldUse
from preview.environments.imports.scan import Wanted
from preview.environments.manifests.worked_on import WorkedOn
from preview.environments.requirements.requirements import RequirementSet
from preview.sources import Sources

_FROM: Final = re.compile(
    rb"^\s*(?:FROM\s+(?:--platform=\S+\s+)?\S*python:?|ARG\s+PYTHON_VERSION\s*=\s*[\"']?)3\.(\d{1,2})\b",
    re.MULTILINE | re.IGNORECASE,
)
_CONDA: Final = re.compile(rb"^\s*-\s*[\"']?python\s*={1,2}\s*3\.(\d{1,2})\b", re.MULTILINE)
_PATTERNS: Final = {
    # https://github.com/pyenv/pyenv, https://devcenter.heroku.com/articles/python-runtimes,
    # https://asdf-vm.com/manage/configuration.html, https://mise.jdx.dev/configuration.html
    ".python-version": re.compile(rb"^(?:\xef\xbb\xbf)?\s*(?:c?python-?)?3\.(\d{1,2})\b", re.MULTILINE),
    "runtime.txt": re.compile(rb"\A\s*(?:python-)?3\.(\d{1,2})\b"),
    ".tool-versions": re.compile(rb"^\s*python\s+3\.(\d{1,2})\b", re.MULTILINE),
    "mise.toml": re.compile(rb"^\s*python\s*=\s*[\"']3\.(\d{1,2})\b", re.MULTILINE),
    "Dockerfile": _FROM,
    "docker/Dockerfile": _FROM,
    "environment.yml": _CONDA,
    "environment.yaml": _CONDA,
}
# Versions that tools check the sources for. They may be older than the one that the project runs on.
_LISTED: Final = re.compile(rb"^envlist\s*=([^\[\n]*(?:\n[ \t]+[^\n]*)*)", re.MULTILINE)
_ENVIRONMENT: Final = re.compile(rb"\bpy3(\d{1,2})\b")
_TARGET: Final = re.compile(
    rb"^(?:target-version|python_version|pythonVersion)\s*=\s*\[?\s*[\"']?(?:py3|3\.)(\d{1,2})\b", re.MULTILINE
)
_CLASSIFIER: Final = re.compile(rb"Programming Language :: Python :: 3\.(\d{1,2})\b")
_HINTS: Final = {
    "pyproject.toml": (_TARGET, _CLASSIFIER),
    "ruff.toml": (_TARGET,),
    "mypy.ini": (_TARGET,),
    "setup.cfg": (_TARGET, _CLASSIFIER),
    "setup.py": (_CLASSIFIER,),
}
_MOST_BYTES: Final = 64 * 1024

STATED_IN: Final = (*_PATTERNS, "tox.ini", *_HINTS)
"""Names of these files."""


@dataclass(frozen=True, slots=True)
class StatedPython:
    """Python version that a file names.

    Attributes:
        minor: The minor version of Python 3.
        is_hint: The file names it for a tool (a linter, tox) or an index; the project may run on a newer one too.
    """

    minor: int
    file: str
    is_hint: bool = False


def find_stated(sources: Sources, entry: str) -> StatedPython | None:
    """Return the Python version named nearest to the application; None if there is none.

    Args:
        sources: The project's files.
        entry: The application's file; its folder and the folders above are searched.
    """
    for folder in _upwards(entry):
        for name, pattern in _PATTERNS.items():
            file = posixpath.join(folder, name)
            if sources.has_file(file) and (found := pattern.findall(sources.text(file))):
                # Any stage of a container file may be the one that runs: use the oldest version.
                return StatedPython(min(map(int, found)), file)
    return next(filter(None, (_hinted(sources, folder) for folder in _upwards(entry))), None)


def _hinted(sources: Sources, folder: str) -> StatedPython | None:
    """Return the newest version that the files of tools in this folder name; None if they name none."""
    file = posixpath.join(folder, "tox.ini")
    if sources.has_file(file) and (listed := _LISTED.search(sources.text(file)[:_MOST_BYTES])):
        minors = list(map(int, _ENVIRONMENT.findall(listed[1])))
        if minors:
            return StatedPython(max(minors), file, is_hint=True)
    for name, patterns in _HINTS.items():
        file = posixpath.join(folder, name)
        text = sources.text(file)[:_MOST_BYTES] if sources.has_file(file) else b""
        minors = [int(minor) for pattern in patterns for minor in pattern.findall(text)]
        if minors:
            return StatedPython(max(minors), file, is_hint=True)
    return None


def _upwards(entry: str) -> Iterator[str]:
    folder = posixpath.dirname(entry)
    while folder:
        yield folder
        folder = posixpath.dirname(folder)
    yield ""


@dataclass(frozen=True, slots=True)
class Asked:
    """Requirements of a project, for any Python.

    Attributes:
        wanted: Packages that its files import, without those that ``required`` obviously provides.
        standard: Standard library modules that its files import; None if the imports were not read.
        stated: The Python that another file than a manifest names; None if there is none.
        old_uses: Uses of APIs that Pythons newer than the service's own lack.
        imports: Modules and names that its files import from packages; see ``drift``.
        worked_on: The newest day in its files; None if there is none.
        is_dated: See ``EnvironmentRequest``.
        owner: The user who asks, if somebody does; see ``EnvironmentRequest``.
    """

    required: RequirementSet
    server: str | None
    wanted: tuple[Wanted, ...]
    standard: frozenset[str] | None = None
    stated: StatedPython | None = None
    old_uses: tuple[OldUse, ...] = ()
    imports: tuple[tuple[str, str], ...] = ()
    worked_on: WorkedOn | None = None
    is_dated: bool = False
    owner: str = ""
