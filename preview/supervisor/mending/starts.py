"""Failures of loading an application, after which the project's own start command may name a better one. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from typing import Final

from preview.detection import StartPlan, Toolchain
from preview.supervisor.mending.model import FRAME, newest_error

_IMPORT: Final = re.compile(r"(?:ModuleNotFound|Import)Error: ")
_MISSING_MODULE: Final = re.compile(r"ModuleNotFoundError: No module named '(?P<name>[\w.]{1,300})'")
_MISSING_FILE: Final = re.compile(
    r"(?:Uncaught )?Error(?: \[\w{1,60}\])?: Cannot find (?:module|package) '(?P<name>[^']{1,400})'"
    r"(?: imported from '?(?P<by>[^']{1,400}?)'?)?$"
)
_NEWER_PYTHON: Final = re.compile(
    r"NameError: name '\w{1,200}' is not defined"
    r"|TypeError: Too few (?:arguments|parameters) for typing\.(?:Async)?Generator"
    r"|ImportError: cannot import name '(?:TypeIs|ReadOnly|NoDefault|deprecated)' from '(?:typing|warnings)'"
    r"|SyntaxError: multiple exception types must be parenthesized|"
    r"sqlalchemy\.exc\.InvalidRequestError: Table '[^']{1,200}' is already defined for this MetaData instance"
)
_CONNECTION: Final = re.compile(r"\b(?:ECONNREFUSED|ECONNRESET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT|EADDRINUSE)\b")
_REQUIRED_BY: Final = re.compile(r"- (?P<path>/.{1,400})")
_TRACE: Final = "Traceback (most recent call last):"
_PACKAGES: Final = re.compile(r"/(?:site-packages|node_modules)/")
# What the launchers print of a module without the application (``load_application``).
_NOTHING: Final = re.compile(r"The module '[^']{1,300}' has no '[^']{1,300}' to serve: ")
# uvicorn shows no traceback for it.
_WANTS: Final = re.compile(
    r"(?:^TypeError: |factory: )(?P<name>\w{1,100})\(\) missing \d{1,3} required positional argument"
)
_LAUNCHER: Final = re.compile(r"/launchers/preview_serving\.py$")
# Lines after an error in which Node names the files that have required the module.
_STACK_LINES: Final = 3


def has_failed_to_load(lines: Sequence[str], plan: StartPlan, root: str) -> bool:
    """Return whether the last lines say that the planned entry is not the one that serves.

    1. The launcher found no application in the module.
    2. The entry itself is missing, or its own file imports a module or a name that does not exist.
    3. The function that makes the application requires an argument, which the project's command gives.
    4. A program, in which no application was found, has ended without an error.

    Other errors are mistakes in the code of the right application: another one would hide them.

    Args:
        lines: The last lines of the program that has ended.
        plan: Its start plan.
        root: The project's folder, as the program saw it.
    """
    if any(_NOTHING.match(line) for line in lines) or _wants_argument(lines, plan):
        return True
    number = newest_error(lines)
    if number is None:
        return plan.target is None or plan.framework == "command"
    entries = {posixpath.join(root, name) for name in _entries(plan)}
    if _IMPORT.match(lines[number]):
        return _is_import_of(entries, lines, number, plan, root)
    match = _MISSING_FILE.match(lines[number])
    if match is None:
        return False
    by = match["by"] or _required_by(lines[number + 1 : number + 1 + _STACK_LINES])
    return (match["name"] if by is None else by) in entries


def may_work_when_built(lines: Sequence[str], plan: StartPlan) -> bool:
    """Return whether a Node program has failed in a way that may differ between its sources and their build.

    Loaders of sources take files in another order than a build, tell decorators less about types, and know fewer
    paths. A connection that fails is no such way.
    """
    return plan.toolchain is Toolchain.NODE and not any(_CONNECTION.search(line) for line in lines)


def error_of(lines: Sequence[str]) -> str | None:
    """Return the line of the newest error; None if there is none."""
    number = newest_error(lines)
    return None if number is None else lines[number]


def is_without_entry(error: str | None, plan: StartPlan) -> bool:
    """Return whether the error says that the file that was to be started is missing."""
    match = None if error is None else _MISSING_FILE.match(error)
    entry = posixpath.normpath(posixpath.join(plan.directory, plan.command[-1] if plan.command else ""))
    return match is not None and match["by"] is None and match["name"].endswith(f"/{entry}")


def may_be_newer_python(lines: Sequence[str]) -> bool:
    """Return whether the newest error is one that source of Python 3.13 or 3.14 causes in an older Python.

    A program that catches the first import's error meets the tables again at the second.
    """
    number = newest_error(lines)
    return number is not None and _NEWER_PYTHON.match(lines[number]) is not None


def is_other_start(plan: StartPlan, other: StartPlan) -> bool:
    """Return whether the second plan starts another application or command than the first."""
    ways = [(one.target and (one.target.file, one.target.attribute), one.command, one.server) for one in (plan, other)]
    return ways[0] != ways[1]


def _wants_argument(lines: Sequence[str], plan: StartPlan) -> bool:
    """Return whether the launcher's own call of a factory lacked an argument: the last frame is the launcher's."""
    if plan.target is None or not plan.target.factory:
        return False
    for number in range(len(lines) - 1, -1, -1):
        match = _WANTS.search(lines[number])
        if match is None or match["name"] != plan.target.attribute:
            continue
        frame = next((found for line in reversed(lines[:number]) if (found := FRAME.match(line))), None)
        return frame is None or _LAUNCHER.search(frame["path"]) is not None
    return False


def _entries(plan: StartPlan) -> set[str]:
    """Return the files that the plan starts, relative to the project."""
    named = {posixpath.normpath(posixpath.join(plan.directory, word)) for word in plan.command if "." in word}
    return named | ({plan.target.file} if plan.target is not None else set())


def _is_import_of(entries: set[str], lines: Sequence[str], number: int, plan: StartPlan, root: str) -> bool:
    """Return whether the innermost of the project's frames is in an entry; without frames, whether one is missing."""
    for line in reversed(lines[:number]):
        if line == _TRACE:
            break
        frame = FRAME.match(line)
        if frame is not None and frame["path"].startswith(f"{root}/") and not _PACKAGES.search(frame["path"]):
            return frame["path"] in entries
    match = _MISSING_MODULE.match(lines[number])
    return match is not None and plan.target is not None and f"{plan.target.module}.".startswith(f"{match['name']}.")


def _required_by(lines: Sequence[str]) -> str | None:
    """Return the file that has required the missing module: the first one of Node's list."""
    return next((match["path"] for line in lines if (match := _REQUIRED_BY.fullmatch(line))), None)
