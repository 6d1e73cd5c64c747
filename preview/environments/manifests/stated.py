"""Which Python a project names beside its manifests: in what a version manager, a platform or a container reads."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from preview.sources import Sources

__all__ = ["STATED_IN", "StatedPython", "find_stated"]

_PATTERNS: Final = {
    # https://github.com/pyenv/pyenv, https://devcenter.heroku.com/articles/python-runtimes,
    # https://asdf-vm.com/manage/configuration.html
    ".python-version": re.compile(rb"\A\s*(?:c?python-?)?3\.(\d{1,2})\b"),
    "runtime.txt": re.compile(rb"\A\s*python-3\.(\d{1,2})\b"),
    ".tool-versions": re.compile(rb"^python\s+3\.(\d{1,2})\b", re.MULTILINE),
    "Dockerfile": re.compile(rb"^FROM\s+(?:--platform=\S+\s+)?\S*python:?3\.(\d{1,2})\b", re.MULTILINE | re.IGNORECASE),
    "environment.yml": re.compile(rb"^\s*-\s*[\"']?python\s*={1,2}\s*3\.(\d{1,2})\b", re.MULTILINE),
}
STATED_IN: Final = tuple(_PATTERNS)
"""What these files are called."""


@dataclass(frozen=True, slots=True)
class StatedPython:
    """What a file names.

    Attributes:
        minor: Of Python 3.
        file: Where it stands, relative to the project.
    """

    minor: int
    file: str


def find_stated(sources: Sources, entry: str) -> StatedPython | None:
    """The Python that is named nearest to the application, or None.

    Args:
        sources: The project's files.
        entry: The application's file: its folder and those above are looked at.
    """
    for folder in _upwards(entry):
        for name, pattern in _PATTERNS.items():
            file = posixpath.join(folder, name)
            # The last: a container is of its last stage.
            if sources.has_file(file) and (found := pattern.findall(sources.text(file))):
                return StatedPython(int(found[-1]), file)
    return None


def _upwards(entry: str) -> Iterator[str]:
    folder = posixpath.dirname(entry)
    while folder:
        yield folder
        folder = posixpath.dirname(folder)
    yield ""
