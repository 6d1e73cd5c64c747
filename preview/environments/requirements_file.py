"""``requirements.txt``: includes, constraints, options, continuation lines; nothing that leaves the project.

Source: https://pip.pypa.io/en/stable/reference/requirements-file-format/
"""

from __future__ import annotations

import codecs
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from preview.environments.local_paths import local_requirement, looks_local, resolve_inside
from preview.environments.requirements import ProjectRequirement, RequirementSet, parse_requirement
from preview.errors import EnvironmentFailed

__all__ = ["read_requirements_file"]

# A requirements file of a real project has a few hundred lines with hashes; a megabyte is far beyond any of them.
_MAX_FILE_BYTES = 1024 * 1024
# Files that include each other: five levels is more than anybody writes; 50 files stop a chain of includes.
_MAX_FILES = 50

_COMMENT = re.compile(r"(^|\s+)#.*$")
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),  # PowerShell's `pip freeze > requirements.txt`
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_INCLUDE = frozenset({"-r", "--requirement"})
_CONSTRAINT = frozenset({"-c", "--constraint"})
_EDITABLE = frozenset({"-e", "--editable"})
# They would fetch from, or trust, an address that the operator did not choose.
_INDEX = frozenset({"-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--trusted-host", "--no-index"})
_PASSED = frozenset({"--no-binary", "--only-binary"})
# No meaning for the installer used here, or the behaviour is the default (given hashes are always checked).
_IGNORED = frozenset({"--prefer-binary", "--require-hashes", "--use-feature"})
_WITH_VALUE = _INCLUDE | _CONSTRAINT | _EDITABLE | _PASSED | (_INDEX - {"--no-index"}) | {"--use-feature"}


def read_requirements_file(project: Path, name: str) -> RequirementSet:
    """All that ``name`` and the files it includes require.

    Args:
        project: The project's folder; nothing outside it is read.
        name: Path of the file relative to it.

    Raises:
        EnvironmentFailed: A line is wrong, leaves the project or is not allowed; says which file and line.
    """
    reader = _Reader(project.resolve())
    reader.read(name, origin=name, constraint=False)
    return RequirementSet(
        requirements=tuple(reader.requirements),
        constraints=tuple(reader.constraints),
        options=tuple(reader.options),
        prerelease=reader.prerelease,
        source=name,
        notes=tuple(reader.notes),
    )


@dataclass(slots=True)
class _Reader:
    """Collects over all included files."""

    project: Path
    requirements: list[ProjectRequirement] = field(default_factory=list)
    constraints: list[ProjectRequirement] = field(default_factory=list)
    options: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    prerelease: bool = False
    seen: set[tuple[Path, bool]] = field(default_factory=set)

    def read(self, name: str, *, origin: str, constraint: bool, base: Path | None = None) -> None:
        path = resolve_inside(self.project, base or self.project, name, origin)
        if (path, constraint) in self.seen:
            return
        if len(self.seen) >= _MAX_FILES:
            raise _refused(f"{origin} includes more than {_MAX_FILES} files; merge some of them", origin)
        self.seen.add((path, constraint))
        shown = str(path.relative_to(self.project))
        for number, line in _logical_lines(_read_text(path, shown)):
            self._take(line, f"{shown} line {number}", path.parent, constraint=constraint)

    def _take(self, line: str, origin: str, base: Path, *, constraint: bool) -> None:
        if "${" in line:
            raise _refused(
                f"{origin} uses an environment variable, which a preview has not: write the value out", origin
            )
        if line.startswith("-"):
            self._option(line, origin, base, constraint=constraint)
            return
        text, options = _split_hashes(line)
        target = self.constraints if constraint else self.requirements
        if looks_local(text):
            target.append(local_requirement(self.project, base, text, origin))
        else:
            target.append(parse_requirement(text, origin, options=options))

    def _option(self, line: str, origin: str, base: Path, *, constraint: bool) -> None:
        option, value = _split_option(line, origin)
        if option in _WITH_VALUE and not value:
            raise _refused(f"{origin}: {option} needs a value", origin)
        if option in _INCLUDE or option in _CONSTRAINT:
            self.read(value, origin=origin, constraint=constraint or option in _CONSTRAINT, base=base)
        elif option in _EDITABLE:
            if not looks_local(value):
                raise _refused(
                    f"{origin}: only a folder of the project can be editable; write NAME @ ADDRESS without -e", origin
                )
            self.requirements.append(local_requirement(self.project, base, value, origin))
            self.notes.append(f"{origin}: {value} is installed as a copy, not as editable")
        elif option in _INDEX:
            raise _refused(
                f"{origin}: {option} is not allowed, packages come from the index this service is set up with; "
                "remove the line",
                origin,
            )
        elif option == "--pre":
            self.prerelease = True
        elif option in _PASSED:
            self.options += [option, value]
        elif option not in _IGNORED:
            raise _refused(f"{origin}: the option {option} is not supported; remove it", origin)


def _read_text(path: Path, shown: str) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        reason = error.strerror or "it cannot be read"
        raise _refused(f"{shown} cannot be read ({reason}): add the file or remove what refers to it", shown) from error
    if len(data) > _MAX_FILE_BYTES:
        raise _refused(f"{shown} is larger than {_MAX_FILE_BYTES // 1024} KiB; this is no requirements file", shown)
    encoding, start = next(((name, len(bom)) for bom, name in _BOMS if data.startswith(bom)), ("utf-8", 0))
    try:
        return data[start:].decode(encoding)
    except UnicodeDecodeError as error:
        raise _refused(f"{shown} is not text in UTF-8; save it as UTF-8", shown) from error


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Number (from 1) and text of each line that says something: joined at a closing backslash, without comments."""
    pending = ""
    first = 0
    for number, raw in enumerate([*text.splitlines(), ""], start=1):
        first = first if pending else number
        # pip joins first and strips comments afterwards; a comment line does not continue.
        if raw.endswith("\\") and not raw.lstrip().startswith("#"):
            pending += raw[:-1] + " "
            continue
        line = _COMMENT.sub("", pending + raw).strip()
        pending = ""
        if line:
            yield first, line


def _split_hashes(line: str) -> tuple[str, list[str]]:
    """The requirement, and its ``--hash=…`` options."""
    text, *rest = re.split(r"\s+(?=--)", line)
    return text.strip(), [part.strip() for part in rest if part.startswith("--hash")]


def _split_option(line: str, origin: str) -> tuple[str, str]:
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise _refused(f"{origin}: the quotes in {line[:200]!r} do not match; correct them", origin) from error
    option, separator, value = words[0].partition("=")
    if not separator:
        value = " ".join(words[1:])
    if not option.startswith("--") and len(option) > 2:  # -rbase.txt
        option, value = option[:2], (option[2:] + separator + value).strip()
    return option, value


def _refused(message: str, origin: str) -> EnvironmentFailed:
    return EnvironmentFailed(message, reason="invalid", origin=origin)
