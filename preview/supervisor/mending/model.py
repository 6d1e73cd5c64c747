"""Model of failed starts and their mends."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from preview.detection import GIVEN, StartPlan, Variable
from preview.supervisor.diagnosis.diagnose import COLOURS

_MOST_LINES: Final = 200
_MOST_CHARACTERS: Final = 1_000
# `00:31:28 [error] Error: …`, `2026-01-31T10:00:00.123Z ERROR: KeyError: …`, `[10:00:00] TypeError: …`
_LOGGED: Final = re.compile(
    r"^(?:\[?\d[\d:T/., Z+-]{3,40}\]?\s{1,4})?(?:\[?(?:error|ERROR|fatal|FATAL|critical|CRITICAL)\]?:?\s{1,4})?"
    r"(?=(?:[A-Za-z_][\w.]{0,100}(?:Error|Exception)|Error): )"
)


@dataclass(frozen=True, slots=True)
class Mend:
    """One change for the next attempt.

    Attributes:
        why: One sentence for the log.
        variables: Environment variables to set.
        requirements: Packages to add, as lines for the installer.
        folders: Folders to make, relative to the project.
        links: Names to make beside others that are there: path to target, both relative to the project.
        linked_at: Absolute folder at which the program sees the project, too.
        linked_folder: The project's folder that it sees there instead.
        python_path: The whole import path, relative to the project; None leaves it as it is.
        is_dated: Choose all packages as of the project's day.
        is_own_start: Start it with the project's own command.
        is_built: Build the project with its own script, and start the output.
        for_older_python: Edit source of Python 3.14 in the preview's copy.
        administers: Give it a PostgreSQL server of its own, whose administrator it is.
        withdrawn: Environment variables that get no value any more, in capitals.
        left_out: Names that the preview's copy of ``.env`` loses, in small letters.
    """

    why: str
    variables: Mapping[str, Variable] = field(default_factory=dict)
    requirements: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    linked_at: str | None = None
    linked_folder: str | None = None
    python_path: tuple[str, ...] | None = None
    is_dated: bool = False
    is_own_start: bool = False
    is_built: bool = False
    for_older_python: bool = False
    administers: bool = False
    withdrawn: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def changes(self) -> tuple[object, ...]:
        """All that it changes; two mends with the same changes are the same."""
        given = tuple(sorted((name, one.value) for name, one in self.variables.items()))
        values = given, self.withdrawn, self.left_out
        places = self.folders, tuple(sorted(self.links.items())), self.linked_at, self.linked_folder, self.python_path
        starts = self.is_own_start, self.is_built
        return values, self.requirements, places, self.is_dated, starts, self.for_older_python, self.administers


@dataclass(frozen=True, slots=True)
class FailedStart:
    """A program that ended before it answered. The program controls its lines.

    Attributes:
        lines: Its last lines without colours, oldest first.
        plan: Its start plan.
        own: Names of the project's top-level modules and folders.
        root: The project's folder, as the program saw it.
        spare: Requirements that the project names, and that are not installed: name to line.
        files: Paths of the project's modules, relative to it.
        withheld: Normalised names of packages that are never taken from an index.
        named: Normalised names of packages that manifests and constraints name, and whether each has one version.
        required: Normalised names of packages that a manifest has installed.
        folders: Paths of the project's folders, relative to it.
        has_day: Whether the project's files tell a day, and packages of that day can be had.
        names: Paths of all of the project's files, relative to it.
        container_folder: Absolute folder for which the project's Dockerfile and its code are written, if both name one.
        container_values: Values that the project's Dockerfile gives variables.
        example_values: Values in the project's example files, each with its file.
        read_together: Returns the variables that the project reads with the same function as one of a name.
        mentioned: Returns those of some variables that the project's modules mention.
        keys_of: Returns the keys of the dictionary of a name, which the project makes.
        shown: Further folders that its sandbox shows at their own paths.
        is_sandboxed: Its file system is its own, with links where the preview wants them.
        may_administer: It can get a PostgreSQL server of its own.
    """

    lines: Sequence[str]
    plan: StartPlan
    own: frozenset[str]
    root: str
    spare: Mapping[str, str] = field(default_factory=dict)
    files: Sequence[str] = ()
    withheld: frozenset[str] = frozenset()
    named: Mapping[str, bool] = field(default_factory=dict)
    required: Container[str] = frozenset()
    folders: frozenset[str] = frozenset()
    has_day: bool = False
    names: frozenset[str] = frozenset()
    container_folder: str | None = None
    container_values: Mapping[str, str] = field(default_factory=dict)
    example_values: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    is_sandboxed: bool = False
    may_administer: bool = False
    shown: tuple[Path, ...] = ()
    read_together: Callable[[str], Sequence[str]] = lambda _: ()
    keys_of: Callable[[str], Sequence[str]] = lambda _: ()
    mentioned: Callable[[Collection[str]], Collection[str]] = lambda names: names

    def is_free(self, name: str) -> bool:
        """Return True for a variable that nobody has given a value."""
        known = next((one for one in self.plan.variables.values() if one.name.upper() == name.upper()), None)
        return known is None or known.origin not in GIVEN


def shortened(lines: Sequence[str]) -> list[str]:
    """Return the last lines as far as they are read, without colours, and errors without what loggers begin with."""
    return [_LOGGED.sub("", COLOURS.sub("", line[:_MOST_CHARACTERS]).rstrip()) for line in lines[-_MOST_LINES:]]


ERROR: Final = re.compile(
    r"^(?:Uncaught )?(?:[A-Za-z_][\w.]{0,100}(?:Error|Exception|Exit|ImproperlyConfigured)|Error|Exception(?=:))\b"
)
"""The line of an exception in a traceback of Python or Node."""


FRAME: Final = re.compile(r'^\s{0,8}File "(?P<path>[^"]{1,400})", line \d{1,7}')
"""A line of Python's traceback that names a file."""


def newest_error(lines: Sequence[str]) -> int | None:
    """Return the number of the newest line of an exception; None if there is none."""
    return next((number for number in range(len(lines) - 1, -1, -1) if ERROR.match(lines[number])), None)


def own_line(failed: FailedStart, error: int) -> str:
    """Return the source line of the traceback's last frame in the project; empty if it has none."""
    for number in range(error - 1, -1, -1):
        frame = FRAME.match(failed.lines[number])
        if frame is not None and frame["path"].startswith(f"{failed.root}/") and number + 1 < error:
            return failed.lines[number + 1]
    return ""
