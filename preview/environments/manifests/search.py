"""Search for the files with a project's requirements."""

from __future__ import annotations

import difflib
import itertools
import posixpath
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from preview.environments.manifests.lines import LineReader
from preview.environments.manifests.manifest_files import Line, Manifest
from preview.environments.manifests.pipfile import read_pipfile
from preview.environments.manifests.pyproject import read_pyproject
from preview.environments.manifests.requirements_file import read_requirements_file
from preview.environments.manifests.setuptools_files import read_conda, read_lock, read_setup_cfg, read_setup_py
from preview.environments.requirements.requirements import (
    OwnIndex,
    ProjectRequirement,
    RequirementSet,
    parse_requirement,
)
from preview.errors import EnvironmentFailed
from preview.sources.node_files import read_plain

_REQUIREMENTS: Final = (
    "requirements.txt", "requirements/prod.txt", "requirements/production.txt", "requirements/base.txt",
    "requirements/requirements.txt", "requirements/common.txt", "requirements/main.txt", "requirements/default.txt",
    "requirements/prod/requirements.txt", "requirements/production/requirements.txt",
    "requirements/base/requirements.txt", "requirements/app.txt", "requirements/local.txt", "requirement.txt",
    "reqs.txt", "requirements-prod.txt", "requirements_prod.txt", "requirements.prod.txt", "requirements-base.txt",
    "requirements.in",
)  # fmt: skip
_LAST: Final = (
    "requirements.lock", "requirements-dev.txt", "requirements_dev.txt", "requirements.dev.txt", "dev-requirements.txt",
    "requirements/dev.txt", "requirements/development.txt", "requirements-test.txt",
)  # fmt: skip
_CONDA: Final = ("environment.yml", "environment.yaml", "conda.yml", "conda.yaml")
# Usual folders of a backend in a larger project, and of requirements files.
_FOLDERS: Final = (
    "backend", "api", "server", "app", "src", "service", "web", "docker", "deploy", "config", "requirements",
)  # fmt: skip
_FRAMEWORKS: Final = frozenset(
    {"fastapi", "starlette", "flask", "django", "quart", "litestar", "sanic", "falcon", "flask-restx", "flask-restful",
     "flask-smorest", "flask-sqlalchemy", "djangorestframework", "connexion", "apiflask", "fastapi-users",
     "django-ninja", "robyn", "responder"}
)  # fmt: skip
_MAX_OWN: Final = 5
# `requirments.txt` and `requirements1.txt` are this alike or more, `requests.txt` is not (difflib's ratio).
_ALMOST: Final = 0.88
_LONGEST: Final = 24
_FOR_DEVELOPERS: Final = re.compile(r"dev|test|doc|lint", re.IGNORECASE)
_MAX_OTHERS: Final = 6
_README: Final = re.compile(r"README(?:\.(?:md|rst|txt))?", re.IGNORECASE)
_MOST_OF_README: Final = 128 * 1024
_BY_PIP: Final = re.compile(rb"-r[ \t]{0,4}\S{0,100}requirements")
# Index options in the pip part of a conda file.
_INDEX_LINE: Final = re.compile(
    r"\s*(?:--index-url|--extra-index-url|--find-links|--no-index|-i|-f)(?:\s*=|\s|$)\s*(?P<value>.*)"
)


def read_project(project: Path, folder: str = ".", entry: str | None = None) -> RequirementSet:
    """Return the requirements from the nearest file that has any.

    Args:
        project: The project's folder; nothing outside it is read.
        folder: Folder to search first, followed by the folders above it.
        entry: The application's file. Its folder and those above come after ``folder``; the usual folders come last.

    Raises:
        EnvironmentFailed: A file is invalid; the message says which one, where and why.
    """
    project = project.resolve()
    search = _Search(project)
    for place in _places(project, folder, entry):
        found = search.look(place)
        if found is not None:
            return found
    notes = (*search.notes, "the project names no requirements (requirements.txt or pyproject.toml)")
    return RequirementSet(notes=notes, spare=tuple(search.spare), withheld=frozenset(search.withheld))


def _places(project: Path, folder: str, entry: str | None) -> Iterator[str]:
    seen: set[str] = set()
    own = posixpath.normpath(folder)
    starts = [own] if own != "." else []
    if entry is not None:
        starts.append(posixpath.dirname(entry) or ".")
    above = [place for start in starts for place in _upwards(start)]
    for place in (*above, ".", *_FOLDERS):
        if place not in seen and (project / place).is_dir() and not place.startswith(("..", "/")):
            seen.add(place)
            yield place


def _upwards(folder: str) -> Iterator[str]:
    while folder not in {"", "."}:
        yield folder
        folder = posixpath.dirname(folder)
    yield "."


class _Search:
    """Search that collects notes over several folders."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.notes: list[str] = []
        self.spare: list[ProjectRequirement] = []
        self.withheld: set[str] = set()

    def look(self, place: str) -> RequirementSet | None:
        """Return the requirements in one folder; None if it has none."""
        names = _listing(self.project / place)
        known, last = (list(_in(names, self.project / place, some)) for some in (_REQUIREMENTS, _LAST))
        for name in (*known, "", *_misspelt(names, self.project / place), *last):
            found = self._requirements(place, name) if name else self._manifests(place, names)
            if name and found is not None and not _has_framework(found.requirements):
                found = self._with_framework(found, place, [one for one in (*known, *last) if one != name])
            if found is not None:
                spare = (*found.spare, *self.spare, *self._in_other_files(place, names, name))
                return replace(found, notes=(*self.notes, *found.notes), spare=spare, withheld=frozenset(self.withheld))
        return None

    def _with_framework(self, found: RequirementSet, place: str, others: Sequence[str]) -> RequirementSet:
        """Return the first of the other files that names a web framework: a list of a whole system names none."""
        for name in others[:_MAX_OTHERS]:
            with suppress(EnvironmentFailed):
                other = self._requirements(place, name)
                if other is not None and _has_framework(other.requirements):
                    note = f"{other.source} is used: {found.source} lists no web framework"
                    return replace(other, notes=(note, *other.notes))
        return found

    def _in_other_files(self, place: str, names: Sequence[str], taken: str) -> list[ProjectRequirement]:
        """Return what the folder's other requirements files name, for developers for instance; errors are ignored."""
        found: list[ProjectRequirement] = []
        others = (name for name in _in(names, self.project / place, (*_LAST, *_REQUIREMENTS)) if name != taken)
        for name in itertools.islice(others, _MAX_OTHERS):
            source = posixpath.normpath(posixpath.join(place, name))
            with suppress(EnvironmentFailed):
                other = read_requirements_file(self.project, source, LineReader(self.project))
                found += other.requirements
                self.withheld |= {item.name for item in other.unfollowed}
        self.withheld |= {item.name for item in found if item.location is not None and item.name is not None}
        return [item for item in found if item.location is None]

    def _requirements(self, place: str, name: str) -> RequirementSet | None:
        lines = LineReader(self.project)
        source = posixpath.normpath(posixpath.join(place, name))
        found = read_requirements_file(self.project, source, lines)
        own = self._own(lines.own_folders)
        found = replace(found, requirements=(*found.requirements, *own), notes=tuple(lines.notes))
        if not found.requirements and not found.unfollowed:
            self.notes += found.notes
            return None
        return self._beside(found, place)

    def _beside(self, found: RequirementSet, place: str) -> RequirementSet:
        """Return a requirements file, supplemented or replaced by the manifests in the same folder."""
        try:
            other = self._read_manifests(place, _listing(self.project / place))
        except EnvironmentFailed as error:  # the requirements file decides, so an invalid manifest is only noted
            found = replace(found, notes=(*found.notes, error.message))
            other = []
        resolved = [self._resolved(manifest, place) for manifest in other]
        if (newer := self._of_readme(found, resolved, place)) is not None:
            return newer
        if not _has_framework(found.requirements):
            better = next((one for one in resolved if _has_framework(one.requirements)), None)
            if better is not None:
                note = f"{better.source} is used: {found.source} lists no web framework"
                return replace(better, notes=(note, *better.notes))
        spare = [item for one in resolved for item in (*one.requirements, *one.spare)]
        python = next((manifest.requires_python for manifest in other if manifest.requires_python), None)
        return replace(found, spare=tuple(spare), requires_python=python)

    def _of_readme(self, found: RequirementSet, others: Sequence[RequirementSet], place: str) -> RequirementSet | None:
        """Return the manifest with which the README installs, if the requirements file lacks some of its packages."""
        installers = {"Pipfile": b"pipenv", "pyproject.toml": b"poetry"}
        for one in others:
            installer = installers.get(posixpath.basename(one.source or ""))
            lacks = {item.name for item in one.requirements} - {item.name for item in found.requirements}
            if installer is None or not lacks or not _has_framework(one.requirements):
                continue
            if any(_installs_with(self.project, folder, installer) for folder in dict.fromkeys((place, "."))):
                note = (
                    f"{one.source} is used: the README installs with {installer.decode()}, "
                    f"and {found.source} does not name all packages of it"
                )
                return replace(one, notes=(note, *one.notes))
        return None

    def _manifests(self, place: str, names: Sequence[str]) -> RequirementSet | None:
        for manifest in self._read_manifests(place, names):
            found = self._resolved(manifest, place)
            if found.requirements or found.unfollowed:
                return found
            self.notes += found.notes
            self.spare += found.spare
        return None

    def _read_manifests(self, place: str, names: Sequence[str]) -> list[Manifest]:
        folder = self.project / place
        readers = {
            "pyproject.toml": read_pyproject,
            "Pipfile": read_pipfile,
            "setup.cfg": read_setup_cfg,
            "setup.py": read_setup_py,
        }
        found = []
        for name, read in readers.items():
            if name in names and (folder / name).resolve().is_relative_to(self.project):
                found.append(read(folder, posixpath.normpath(posixpath.join(place, name))))
        found += [
            read_conda(folder, name, posixpath.normpath(posixpath.join(place, name)))
            for name in _CONDA
            if name in names and (folder / name).resolve().is_relative_to(self.project)
        ]
        return found

    def _resolved(self, manifest: Manifest, place: str) -> RequirementSet:
        lines = LineReader(self.project)
        requirements = self._read_lines(manifest.lines, place, lines)
        notes = list(manifest.notes)
        self.withheld |= manifest.withheld
        groups = dict(manifest.groups)
        if not _has_framework(requirements):
            for name in list(groups):
                members = self._read_lines(groups[name], place, LineReader(self.project))
                if _has_framework(members):
                    notes.append(f'the group "{name}" of {manifest.source} is installed too: it contains the framework')
                    requirements += self._read_lines(groups.pop(name), place, lines)
                    break
        requirements += self._own(lines.own_folders)
        lock, pins = read_lock(self.project / place) if requirements else ("", {})
        return RequirementSet(
            requirements=tuple(requirements),
            constraints=tuple(parse_requirement(f"{name}=={version}", lock) for name, version in pins.items()),
            requires_python=manifest.requires_python,
            source=manifest.source,
            notes=(*notes, *lines.notes),
            indexes=(*manifest.indexes, *lines.indexes),
            unfollowed=tuple(lines.unfollowed),
            spare=tuple(self._spare(replace(manifest, groups=groups), place)),
        )

    def _spare(self, manifest: Manifest, place: str) -> list[ProjectRequirement]:
        quiet = LineReader(self.project)
        return [item for lines in manifest.groups.values() for item in self._read_lines(lines, place, quiet)]

    def _read_lines(self, lines: Sequence[Line], place: str, reader: LineReader) -> list[ProjectRequirement]:
        found: list[ProjectRequirement] = []
        for line in lines:
            if line.text.startswith("-r "):
                name = posixpath.normpath(posixpath.join(place, line.text[3:].strip()))
                if (self.project / name).is_file() and not name.startswith(("..", "/")):
                    found += read_requirements_file(self.project, name, reader).requirements
                continue
            if match := _INDEX_LINE.match(line.text):
                reader.indexes.append(OwnIndex(match["value"], line.origin))
                continue
            text = line.text.removeprefix("-e ").strip()
            found += reader.read(text, line.origin, self.project / place)
        self.withheld |= {item.name for item in reader.unfollowed}
        return found

    def _own(self, folders: Sequence[Path]) -> list[ProjectRequirement]:
        """Return the requirements of the project's own packages, which replace the packages themselves."""
        found: list[ProjectRequirement] = []
        for folder in list(dict.fromkeys(folders))[:_MAX_OWN]:
            place = folder.relative_to(self.project).as_posix()
            for manifest in self._read_manifests(place, _listing(folder)):
                found += self._read_lines(manifest.lines, place, LineReader(self.project))
        return found


def _installs_with(project: Path, place: str, installer: bytes) -> bool:
    """Return whether the README of a folder installs with this program, and with no requirements file."""
    for name in _listing(project / place):
        path = project / place / name
        if _README.fullmatch(name) and path.resolve().is_relative_to(project):
            with suppress(OSError):
                text = read_plain(str(path), _MOST_OF_README)
                return re.search(rb"\b%b (?:install|sync)\b" % installer, text) is not None and not _BY_PIP.search(text)
    return False


def _misspelt(names: Sequence[str], folder: Path) -> list[str]:
    """Return files whose names are almost that of a requirements file: ``requirments.txt``."""
    known = {*_REQUIREMENTS, *_LAST}
    others = [name for name in names if name.endswith(".txt") and len(name) <= _LONGEST and name.lower() not in known]
    near = difflib.get_close_matches(_REQUIREMENTS[0], others, n=2, cutoff=_ALMOST)
    return [name for name in near if not _FOR_DEVELOPERS.search(name) and (folder / name).is_file()]


def _has_framework(requirements: Sequence[ProjectRequirement]) -> bool:
    return any(item.name in _FRAMEWORKS for item in requirements)


def _listing(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir())
    except OSError:
        return []


def _in(names: Sequence[str], folder: Path, wanted: Sequence[str]) -> Iterator[str]:
    """Yield the wanted files that exist, in their actual spelling."""
    spelled = {name.lower(): name for name in names}
    for name in wanted:
        if "/" in name:
            if (folder / name).is_file():
                yield name
        elif name in spelled and (folder / spelled[name]).is_file():
            yield spelled[name]
