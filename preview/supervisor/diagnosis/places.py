"""Place in the project's own files where a program's newest error comes from, by its stack trace."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from preview.supervisor.diagnosis.diagnose import COLOURS, last_error

_PYTHON: Final = re.compile(r'^\s{0,8}File "(?P<path>[^"]{1,400})", line (?P<line>\d{1,7}), in ')
_NODE: Final = re.compile(r"^\s{1,8}at .{0,300}?(?:file://)?(?P<path>/[^():]{1,400}):(?P<line>\d{1,7}):\d{1,7}\)?$")
_START: Final = "Traceback (most recent call last)"
_MOST_LINES: Final = 150
_MOST_CHARACTERS: Final = 1_000
_INSTALLED: Final = ("node_modules", "site-packages", "venv", ".venv")


def own_place(lines: Sequence[str], project: Path | None, about: str = "") -> str:
    """Return ``app/main.py line 7``: the project's own line that is nearest to the newest error; empty if none is.

    Reads no files, but looks whether they are there.

    Args:
        lines: The program's output, oldest first. The program controls it.
        project: The project's folder, as the program saw it.
        about: Text that has to stand in the error's line or below it; otherwise the error is another one.
    """
    error = last_error(lines)
    if error is None or project is None:
        return ""
    read = [COLOURS.sub("", line[:_MOST_CHARACTERS]) for line in lines]
    number = next((number for number in range(len(read) - 1, -1, -1) if read[number].startswith(error)), None)
    if number is None or not any(about in line for line in read[number:]):
        return ""
    above: list[str] = []
    for line in reversed(read[max(0, number - _MOST_LINES) : number]):
        if _START in line:
            break
        above.append(line)
    below = read[number + 1 : number + _MOST_LINES]
    return _first(_PYTHON, above, project) or _first(_NODE, below, project)


def _first(frame: re.Pattern[str], lines: Iterable[str], project: Path) -> str:
    for line in lines:
        match = frame.match(line)
        path = Path(match["path"]) if match else None
        if match and path is not None and path.is_relative_to(project):
            inner = path.relative_to(project)
            is_own = ".." not in inner.parts and not any(part in _INSTALLED for part in inner.parts)
            if is_own and _may_be_there(path, project):
                return f"{inner} line {match['line']}"
    return ""


def _may_be_there(path: Path, project: Path) -> bool:
    """Return False for a file that the project lacks: a package's source map names that package's files so.

    Without the project's folder, which is in a container then, nothing is known. Links out of it do not count.
    """
    try:
        real = project.resolve()
        return not real.is_dir() or (path.resolve().is_relative_to(real) and path.exists())
    except (OSError, RuntimeError, ValueError):
        # A name that is too long, links that lead to each other, a null character.
        return False
