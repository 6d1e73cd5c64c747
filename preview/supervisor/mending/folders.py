"""Mends of folders that a program writes into and that version control left out. Pure functions."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from preview.detection import StartPlan, Step, Toolchain
from preview.supervisor.mending.model import FailedStart, Mend, newest_error

_FILE: Final = (
    re.compile(r"FileNotFoundError: \[Errno 2\] [^:]{1,80}: '(?P<path>[^']{1,300})'"),
    re.compile(r"ENOENT: no such file or directory, (?:open|mkdir|scandir|lstat) '(?P<path>[^']{1,300})'"),
)
_FOLDER: Final = (
    re.compile(r"RuntimeError: Directory '(?P<path>[^']{1,300})' does not exist"),
    re.compile(r"ENOENT: no such file or directory, (?:scandir|watch) '(?P<path>[^']{1,300})'"),
)
# Folders of these names are for what a program writes, or serves if there is any.
_WRITTEN: Final = re.compile(
    r"(?:^|/)(?:logs?|uploads?|uploaded|media|static|staticfiles|tmp|temp|cache|data|storage|instance|db|database|output"
    r"|outputs|reports|downloads|files|images|img|assets|public|var|run|backups?|exports?|sessions?|temp_files)(?:/|$)",
    re.IGNORECASE,
)
_PLAIN: Final = re.compile(r"[\w. @+-]{1,100}(?:/[\w. @+-]{1,100}){0,9}")


def mend_folders(failed: FailedStart) -> Mend | None:
    """Return the folder to make for a file that cannot be written, or for one that is served; None for all others."""
    number = newest_error(failed.lines)
    if number is None:
        return None
    line = failed.lines[number]
    for patterns, is_file in ((_FOLDER, False), (_FILE, True)):
        match = next((found for pattern in patterns if (found := pattern.search(line))), None)
        if match is not None:
            folder = _inside(failed, match["path"], is_file=is_file)
            if folder is None or folder in failed.folders:
                return None
            return Mend(f"the folder {folder} is missing: making it", folders=(folder,))
    return None


def _inside(failed: FailedStart, path: str, *, is_file: bool) -> str | None:
    """Return the folder relative to the project; None for one outside of it, and for one that is not for writing."""
    inner = path.removeprefix(f"{failed.root}/")
    if inner == path:
        inner = posixpath.join(failed.plan.directory, path)
    folder = posixpath.normpath(posixpath.dirname(inner) if is_file else inner)
    is_plain = _PLAIN.fullmatch(folder) is not None and folder != "." and ".." not in folder.split("/")
    return folder if is_plain and not path.startswith("/proc") and _WRITTEN.search(folder) else None


_MAKE: Final = {
    Toolchain.PYTHON: ("python", "-c", "import os,sys;[os.makedirs(name,exist_ok=True) for name in sys.argv[1:]]"),
    Toolchain.NODE: ("node", "-e", "for (const n of process.argv.slice(1)) fs.mkdirSync(n, { recursive: true })"),
}


def with_folders(plan: StartPlan, folders: Sequence[str]) -> StartPlan:
    """Return the plan with a step that makes the folders; it runs where the application does, in its isolation."""
    make = _MAKE.get(plan.toolchain)
    if not folders or make is None:
        return plan
    step = Step("missing folders", (*make, *folders), ".", "an attempt without them failed")
    return replace(plan, steps=(step, *plan.steps))
