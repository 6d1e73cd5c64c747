"""Python versions in files other than manifests: files of version managers, platforms and containers."""

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
"""Names of these files."""


@dataclass(frozen=True, slots=True)
class StatedPython:
    """Python version that a file names.

    Attributes:
        minor: The minor version of Python 3.
    """

    minor: int
    file: str


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
    """

    required: RequirementSet
    server: str | None
    wanted: tuple[Wanted, ...]
    standard: frozenset[str] | None = None
    stated: StatedPython | None = None
    old_uses: tuple[OldUse, ...] = ()
    imports: tuple[tuple[str, str], ...] = ()
