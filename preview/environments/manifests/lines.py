"""Requirement lines as people and tools write them: cleaned, or left out with a note."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from packaging.utils import canonicalize_name

from preview.environments.requirements.local_paths import local_requirement, looks_local
from preview.environments.requirements.requirements import OwnIndex, ProjectRequirement, Unfollowed, parse_requirement
from preview.errors import EnvironmentFailed

# Packages for other systems, as `pip freeze` and `conda list` write them there.
_FOREIGN: Final = frozenset(
    {"pywin32", "pywinpty", "pypiwin32", "wmi", "pyreadline", "pyreadline3", "windows-curses", "winsdk", "comtypes",
     "pywin32-ctypes", "win32-setctime", "pyobjc", "pyobjc-core", "twisted-iocpsupport", "win-inet-pton",
     "pywinauto", "applaunchservices", "mkl-service", "menuinst", "wincertstore", "win-unicode-console"}
)  # fmt: skip
# Entries that are not packages, and servers that need a compiler and are not used here.
_USELESS: Final = {
    "pkg-resources": "it is a mistake of an old pip freeze",
    "uwsgi": "previews are served by another server",
    "mod-wsgi": "previews are served by another server",
    "python": "the Python is chosen by the service",
    "pip": "the service installs packages itself",
    "distribute": "it was merged into setuptools",
    "wsgiref": "it is part of Python",
}
# `pip list` prints columns; `conda list --export` single equal signs.
_COLUMNS: Final = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s+v?(?P<version>\d[A-Za-z0-9.!+_-]*)$")
_REPOSITORY: Final = re.compile(r"git\+https?://\S+$")
_CONDA: Final = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)=(?P<version>\d[A-Za-z0-9.!+_]*)(=\S*)?$")
_HEADINGS: Final = re.compile(r"^(Package\s+Version.*|[-\s]+|pip3? install\b.*)$")
_BUILT: Final = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?P<extras>\[[^\]]*\])?\s*@\s*file:")
# Where conda builds its own packages.
_CONDA_BUILT: Final = re.compile(
    r"@\s*file:/+(?:[A-Za-z]:/)?(?:croot|work/(?:ci|perseverance|recipes)\w*|ci|ci_\d+|b|bld|tmp/build|tmp/abs_\w+|opt/(?:concourse|conda)|home/conda"
    r"|Users/(?:builder|ktietz|runner|cbousseau)|home/(?:builder|ktietz|task_\d+)|private/var/folders|var/folders"
    r"|home/linux\d+/recipes/ci|perseverance-python-buildout|_?h_env\w*)/|/feedstock_root/|/conda-bld/|/recipes/ci/"
)
_LOCATED: Final = re.compile(r"[/\\]|@\s*[A-Za-z+]+:|\sfile:")
_SHOWN: Final = 200
_PIP_INSTALL: Final = re.compile(r"^(?:sudo )?(?:python3? -m )?pip3? install\s+(?P<rest>\S.*)$")
# Options of ``pip install`` with a value, which is no requirement.
_PIP_VALUES: Final = frozenset(
    {"-r", "--requirement", "-c", "--constraint", "-e", "--editable", "-t", "--target", "-i", "--index-url"}
    | {"--extra-index-url", "-f", "--find-links", "--prefix", "--root", "--src", "--trusted-host"}
)
# Commands that people note in a requirements file. Nothing here runs them, so their names and paths mean nothing.
_COMMAND: Final = re.compile(
    r"^(?:sudo|apt|apt-get|yum|dnf|apk|brew|conda|npm|npx|yarn|git|cd|source|export|python3?|curl|wget|mkdir|flask|uvicorn)\s+[A-Za-z./~-]"
)


def with_name(address: str) -> str:
    """Return the address of a repository as a requirement with a name: that after ``#egg=``, or the repository's."""
    address, _, egg = address.partition("#egg=")
    path = address.partition("://")[2].partition("/")[2].partition("@")[0]
    name = egg.partition("&")[0].partition("[")[0] or path.rstrip("/").rpartition("/")[2]
    return f"{name.removesuffix('.git')} @ {address}"


class LineReader:
    """Turns lines into requirements.

    Args:
        project: The project's folder, resolved; nothing outside it is installed.

    Attributes:
        notes: Sentences about lines that were left out or changed.
        indexes: Indexes that the project names.
        unfollowed: Requirements with a source that the service cannot follow.
        own_folders: Folders that a line would install although the application runs from them. Their requirements are
            installed instead.
    """

    def __init__(self, project: Path) -> None:
        self._project = project
        self.notes: list[str] = []
        self.indexes: list[OwnIndex] = []
        self.unfollowed: list[Unfollowed] = []
        self.own_folders: list[Path] = []

    def read(self, text: str, origin: str, base: Path, options: Sequence[str] = ()) -> list[ProjectRequirement]:
        """Return the line's requirement: none if it is left out, several if it is a ``pip install`` command."""
        if "${" in text or "\n" in text or "\r" in text:
            # A line break could smuggle lines with options into the installer's file.
            self._leave_out(text, origin, f"{origin} has an environment variable or a line break")
            return []
        if match := _PIP_INSTALL.match(text):
            return [item for word in _installed(match["rest"]) for item in self.read(word, origin, base)]
        if _COMMAND.match(text):
            self.notes.append(f"{origin} is a command, not a requirement: {text[:_SHOWN]!r}; the line is left out")
            return []
        text = self._cleaned(text, origin)
        if not text:
            return []
        if looks_local(text):
            return self._local(text, origin, base)
        try:
            found = parse_requirement(text, origin, options=options)
        except EnvironmentFailed as error:
            self._leave_out(text, origin, error.message)
            return []
        return [found] if self._is_wanted(found) else []

    def _cleaned(self, text: str, origin: str) -> str:
        if match := _COLUMNS.match(text) or _CONDA.match(text):
            return f"{match['name']}=={match['version']}"
        if _HEADINGS.match(text):
            return ""
        if _REPOSITORY.match(text):
            return with_name(text)
        match = _BUILT.match(text)
        # `pip freeze` in conda writes the folder in which the package was built on another machine.
        if match and _CONDA_BUILT.search(text) and not self._has(text.partition("file:")[2].partition(" ;")[0].strip()):
            name = f"{match['name']}{match['extras'] or ''}"
            self.notes.append(f"{origin}: {name} is taken from the package index, its file is not in the project")
            return name
        return text

    def _has(self, address: str) -> bool:
        path = self._project / re.sub(r"^//(localhost)?(?=/)", "", address)
        return path.exists() and path.resolve().is_relative_to(self._project)

    def _local(self, text: str, origin: str, base: Path) -> list[ProjectRequirement]:
        location = text.partition(" ;")[0].partition("[")[0].strip().removeprefix("file:")
        try:
            folder = (base / location).resolve()
            if folder.is_dir() and base.is_relative_to(folder) and folder.is_relative_to(self._project):
                self.own_folders.append(folder)
                return []
            return [local_requirement(self._project, base, text, origin)]
        except EnvironmentFailed as error:
            self._leave_out(text, origin, error.message)
        except ValueError:  # NUL
            self._leave_out(text, origin, f"{origin} is not a path")
        return []

    def _leave_out(self, text: str, origin: str, why: str) -> None:
        """Leave a line out with a note. A line with a source makes the build fail: no index may replace the source."""
        if looks_local(text) or _LOCATED.search(text):
            self.unfollowed.append(Unfollowed(why, origin, text[:_SHOWN]))
        else:
            self.notes.append(f"{why}: the line is left out")

    def _is_wanted(self, found: ProjectRequirement) -> bool:
        name = found.name or ""
        why = _USELESS.get(name)
        if name in _FOREIGN:
            why = "it is for another system"
        elif name in _STANDARD and " @ " not in found.text:
            why = "it is part of Python"
        if why is not None:
            if found.applies:
                self.notes.append(f"{found.text} ({found.origin}) is left out: {why}")
            return False
        return True


def _installed(rest: str) -> Iterator[str]:
    """Yield the requirements of a ``pip install`` command: no options, and none of their values."""
    words = iter(rest.replace('"', " ").replace("'", " ").split())
    for word in words:
        if word in _PIP_VALUES:
            next(words, None)
        elif not word.startswith("-"):
            yield word


# Standard library modules: a package of the same name is not what the import loads.
_STANDARD: Final = frozenset(canonicalize_name(name) for name in sys.stdlib_module_names)
