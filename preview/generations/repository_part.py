"""The part of a repository's archive that an import unpacks, and what it leaves out."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from preview.errors import InvalidGeneration
from preview.sources import is_environment

# Deeper folders are refused as too deep anyway.
_DEEPEST: Final = 64
# A virtual environment has this file, at any depth below the repository.
_MARK: Final = "/pyvenv.cfg"
# Levels below the mark that tell an environment: ``lib``, ``lib/python3.12``.
_TELLING: Final = 2


@dataclass(slots=True)
class RepositoryPart:
    """The part of a repository's archive that is unpacked.

    Attributes:
        folder: Path in the repository; empty for all of it.
        links: Paths of the symbolic links that were left out.
        installed: Folders of installed packages that were left out; set by ``find_installed``.
        top: Top folder of the archive, which all entries are in; set by the first one.
    """

    folder: str = ""
    links: list[str] = field(default_factory=list)
    installed: dict[str, None] = field(default_factory=dict)
    top: str = ""

    def find_installed(self, entries: Sequence[zipfile.ZipInfo]) -> None:
        """Find virtual environments of any name, ``site-packages``, and each ``node_modules`` beside a manifest.

        The chosen folder itself is never one: nothing of it would be left.
        """
        inside = f"{self.folder}/" if self.folder else ""
        paths = [entry.orig_filename.partition("/")[2] for entry in entries]
        names = [path.removeprefix(inside) for path in paths if path.startswith(inside)]
        marked = {name.rpartition("/")[0] for name in names if name.endswith(_MARK)}
        inside_of: dict[str, set[str]] = {}
        manifests = {name.rpartition("/")[0] for name in names if f"/{name}".endswith("/package.json")}
        for name in names:
            above, level = "", _TELLING
            *parts, leaf = name.split("/", _DEEPEST)
            for part in parts:
                folder = f"{above}/{part}" if above else part
                level = 0 if above in marked else level + 1
                if level <= _TELLING:
                    inside_of.setdefault(above, set()).add(part)
                if part == "site-packages" or (part == "node_modules" and above in manifests):
                    self.installed[folder] = None
                    break
                above = folder
            else:
                # Empty for the entry of the folder itself.
                if leaf and (above in marked or level < _TELLING):
                    inside_of.setdefault(above, set()).add(leaf)
        self.installed |= {folder: None for folder in marked if _is_environment(folder, inside_of)}
        self.installed = {folder: None for folder in sorted(self.installed) if not self.is_installed(folder)}

    def is_installed(self, name: str) -> bool:
        """Return whether a path is in a folder that ``find_installed`` has found."""
        end = -1
        for _ in range(_DEEPEST):
            end = name.find("/", end + 1)
            if end < 0:
                return False
            if name[:end] in self.installed:
                return True
        return False

    def name_of(self, entry: zipfile.ZipInfo) -> str | None:
        """Return the entry's name in the folder; None if it is left out.

        Raises:
            InvalidGeneration: The archive is not one of a repository.
        """
        top, _, path = entry.orig_filename.partition("/")
        self.top = self.top or top
        if top != self.top or not top:
            raise InvalidGeneration("The archive is not one of a repository: it has more than one top folder.")
        inside = f"{self.folder}/" if self.folder else ""
        name = path.removeprefix(inside)
        if not name or not path.startswith(inside) or self.is_installed(name):
            return None
        if stat.S_IFMT(entry.external_attr >> 16) == stat.S_IFLNK:
            self.links.append(name)
            return None
        return name


def _is_environment(folder: str, inside_of: dict[str, set[str]]) -> bool:
    def below(inner: str) -> Collection[str]:
        return inside_of.get(f"{folder}/{inner}", ())

    return is_environment(inside_of.get(folder, ()), below)
