"""Python versions named outside the manifests: for version managers, platforms, containers."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from preview.environments.imports.removed_apis import OldUse
from preview.environments.imports.scan import Wanted
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
STATED_IN: Final = tuple(_PATTERNS)
"""What these files are called."""


@dataclass(frozen=True, slots=True)
class StatedPython:
    """Python version named in a file.

    Attributes:
        minor: Of Python 3.
    """

    minor: int
    file: str


def find_stated(sources: Sources, entry: str) -> StatedPython | None:
    """Return the Python that is named nearest to the application, the oldest in that file, or None.

    Args:
        sources: The project's files.
        entry: The application's file: its folder and those above are looked at.
    """
    for folder in _upwards(entry):
        for name, pattern in _PATTERNS.items():
            file = posixpath.join(folder, name)
            if sources.has_file(file) and (found := pattern.findall(sources.text(file))):
                # Of several stages of a container any may be what runs.
                return StatedPython(min(map(int, found)), file)
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
        wanted: By its imports, as far as ``required`` does not obviously bring it.
        standard: What it imports of the standard library; None where its imports were not looked at.
        stated: The Python that it names beside its manifests, or None.
        old_uses: What it uses that Pythons newer than the service's own do not have.
    """

    required: RequirementSet
    server: str | None
    wanted: tuple[Wanted, ...]
    standard: frozenset[str] | None = None
    stated: StatedPython | None = None
    old_uses: tuple[OldUse, ...] = ()
