"""Reader of ``requirements.txt``: includes, constraints, options and continuation lines, within the project.

Source: https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from preview.environments.manifests.lines import LineReader, with_name
from preview.environments.manifests.manifest_files import read_text
from preview.environments.requirements.local_paths import looks_local, resolve_inside
from preview.environments.requirements.requirements import OwnIndex, ProjectRequirement, RequirementSet, invalid
from preview.errors import EnvironmentFailed

# Real projects have at most five levels of includes; the limit of 50 files stops endless chains.
_MAX_FILES = 50

_HASH = re.compile(r"--hash[=\s]\s*[A-Za-z0-9]+:[0-9A-Fa-f]+")
_INDEX_BEHIND = re.compile(r"\s(--index-url|--extra-index-url|--find-links|--no-index|-i|-f)(?:[=\s]\s*(\S*)|$)")
_COMMENT = re.compile(r"(^|\s+)#.*$")
_INCLUDE = frozenset({"-r", "--requirement"})
_CONSTRAINT = frozenset({"-c", "--constraint"})
_EDITABLE = frozenset({"-e", "--editable"})
# Options with an index's URL, which the operator may not have chosen.
_INDEX = frozenset({"-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--no-index"})
PASSED_OPTIONS = frozenset({"--no-binary", "--only-binary"})
"""Options that are passed to the installer, each with a value."""
# Options without effect here, or that are the default (given hashes are always checked).
_IGNORED = frozenset({"--prefer-binary", "--require-hashes", "--use-feature"})
_WITH_VALUE = (
    _INCLUDE
    | _CONSTRAINT
    | _EDITABLE
    | PASSED_OPTIONS
    | (_INDEX - {"--no-index"})
    | {"--use-feature", "--trusted-host"}
)


def read_requirements_file(project: Path, name: str, lines: LineReader | None = None) -> RequirementSet:
    """Return the requirements of ``name`` and of the files that it includes.

    Args:
        project: The project's folder; nothing outside it is read.
        name: Path of the file, relative to the project.
        lines: Reader that collects the project's own folders over several files.

    Raises:
        EnvironmentFailed: The file cannot be read, or too many files are included. A line that cannot be followed is
            left out with a note.
    """
    project = project.resolve()
    reader = _Reader(project, lines or LineReader(project))
    reader.read(name, origin=name, constraint=False)
    return RequirementSet(
        requirements=tuple(reader.requirements),
        constraints=tuple(reader.constraints),
        options=tuple(reader.options),
        prerelease=reader.prerelease,
        source=name,
        notes=tuple(reader.lines.notes),
        indexes=tuple(reader.lines.indexes),
        unfollowed=tuple(reader.lines.unfollowed),
    )


@dataclass(slots=True)
class _Reader:
    """Reader that collects the lines of all included files."""

    project: Path
    lines: LineReader
    requirements: list[ProjectRequirement] = field(default_factory=list)
    constraints: list[ProjectRequirement] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    prerelease: bool = False
    seen: set[tuple[Path, bool]] = field(default_factory=set)

    def read(self, name: str, *, origin: str, constraint: bool, base: Path | None = None) -> None:
        path = resolve_inside(self.project, base or self.project, name, origin)
        if (path, constraint) in self.seen:
            return
        if len(self.seen) >= _MAX_FILES:
            raise invalid(f"{origin} includes more than {_MAX_FILES} files; merge some of them", origin=origin)
        self.seen.add((path, constraint))
        shown = str(path.relative_to(self.project))
        for number, line in _logical_lines(read_text(path, shown)):
            self._take(line, f"{shown} line {number}", path.parent, constraint=constraint)

    def _take(self, line: str, origin: str, base: Path, *, constraint: bool) -> None:
        if line.startswith("-"):
            self._option(line, origin, base, constraint=constraint)
            return
        for option, value in _INDEX_BEHIND.findall(line):
            self.lines.indexes.append(OwnIndex(value, f"{origin} ({option})"))
        text, options = _split_hashes(line)
        target = self.constraints if constraint else self.requirements
        target += self.lines.read(text, origin, base, options)

    def _option(self, line: str, origin: str, base: Path, *, constraint: bool) -> None:
        say = self.lines.notes.append
        option, value = _split_option(line)
        if option in _WITH_VALUE and not value:
            say(f"{origin} is left out: {option} needs a value")
        elif option in _INCLUDE or option in _CONSTRAINT:
            self._include(value, origin, base, constraint=constraint or option in _CONSTRAINT)
        elif option in _EDITABLE:
            self._editable(value, origin, base)
        elif option in _INDEX:
            self.lines.indexes.append(OwnIndex(value, f"{origin} ({option})"))
        elif option == "--trusted-host":
            say(f"{origin}: {option} is left out, packages come from the index that this service is set up with")
        elif option == "--pre":
            self.prerelease = True
        elif option in PASSED_OPTIONS:
            self.options += [option, value]
        elif option not in _IGNORED and set(option) != {"-"}:
            say(f"{origin} is left out: the option {option} is not supported")

    def _include(self, name: str, origin: str, base: Path, *, constraint: bool) -> None:
        try:
            path = resolve_inside(self.project, base, name, origin)
        except EnvironmentFailed as error:
            self.lines.notes.append(f"{error.message}; it is left out")
            return
        if not path.is_file():
            self.lines.notes.append(f"{origin} is left out: {name[:200]!r} is not in the project")
            return
        self.read(name, origin=origin, constraint=constraint, base=base)

    def _editable(self, value: str, origin: str, base: Path) -> None:
        if looks_local(value):
            found = self.lines.read(value, origin, base)
            self.requirements += found
            if found:
                self.lines.notes.append(f"{origin}: {value} is installed as a copy, not as editable")
            return
        self.requirements += self.lines.read(with_name(value), origin, base)


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Yield number (from 1) and text of each line, joined at backslashes and without comments."""
    pending = ""
    first = 0
    for number, raw in enumerate([*text.splitlines(), ""], start=1):
        first = first if pending else number
        # Like pip: join lines first, then strip comments; a backslash in a comment line does not continue it.
        if raw.endswith("\\") and not raw.lstrip().startswith("#"):
            pending += raw[:-1] + " "
            continue
        line = _COMMENT.sub("", pending + raw).strip()
        pending = ""
        if line:
            yield first, line


def _split_hashes(line: str) -> tuple[str, list[str]]:
    """Return the requirement and its ``--hash=…`` options."""
    text, *rest = re.split(r"\s+(?=--)", line)
    # Keep only the hashes: any other text here would become an option of the installer.
    return text.strip(), [match[0] for part in rest if (match := _HASH.match(part))]


def _split_option(line: str) -> tuple[str, str]:
    try:
        words = shlex.split(line)
    except ValueError:  # unbalanced quotes
        words = line.split()
    option, separator, value = words[0].partition("=")
    if not separator:
        value = " ".join(words[1:])
    if not option.startswith("--") and len(option) > 2:  # -rbase.txt
        option, value = option[:2], (option[2:] + separator + value).strip()
    return option, value
