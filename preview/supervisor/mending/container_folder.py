"""Mends of an absolute folder that only the project's Dockerfile makes: ``WORKDIR /app``, ``open("/app/data.db")``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from preview.core.descriptors import raise_want
from preview.sources.node_files import read_plain
from preview.supervisor.mending.model import FailedStart, Mend, newest_error

_DOCKERFILES: Final = ("Dockerfile", "Containerfile")
_WORKDIR: Final = re.compile(
    r"^[ \t]{0,8}WORKDIR[ \t]{1,8}[\"']?(?P<folder>/[\w.-]{1,60}(?:/[\w.-]{1,60}){0,5})/?[\"']?\s*$",
    re.MULTILINE | re.IGNORECASE,
)
_COPIES_ALL: Final = re.compile(
    r"^[ \t]{0,8}(?:COPY|ADD)[ \t]{1,8}(?:--[\w=:.-]{1,60}[ \t]{1,8}){0,4}\./?[ \t]", re.MULTILINE | re.IGNORECASE
)
# Folders of the system, and those that each sandbox has.
_OTHERS: Final = frozenset(
    {"bin", "boot", "dev", "etc", "lib", "lib32", "lib64", "libx32", "proc", "run", "sbin", "sys", "tmp", "usr", "var"}
)
# Of a file, and of all files.
_MOST_BYTES: Final = 200_000
_MOST_READ: Final = 8_000_000
_MOST_FILES: Final = 500
_NAMES_NO_FILE: Final = re.compile(r"unable to open database file|SQLITE_CANTOPEN")


def find_container_folder(project: Path, files: Iterable[str], shown: Iterable[Path] = ()) -> str | None:
    """Return the folder into which the Dockerfile copies the project, if a string of the code begins with it.

    Reads files, but follows no links.

    Args:
        project: The project's folder.
        files: Its modules, relative to it.
        shown: Further folders that a sandbox shows at their own paths.

    Raises:
        OSError: No file descriptor is free.
    """
    text = dockerfile_text(project)
    folders = [match["folder"] for match in _WORKDIR.finditer(text)]
    if not folders or not _COPIES_ALL.search(text):
        return None
    folder = folders[-1]
    parts = folder.split("/")[1:]
    if parts[0] in _OTHERS or not {".", ".."}.isdisjoint(parts) or _is_around(folder, (project, *shown)):
        return None
    quoted = re.compile(rf"[\"'`]{re.escape(folder)}(?:/|[\"'`])")
    left = _MOST_READ
    for _, name in zip(range(_MOST_FILES), files, strict=False):
        text = plain_text(project / name)
        if quoted.search(text):
            return folder
        left -= len(text)
        if left <= 0:
            break
    return None


def may_be_linked(folder: str, project: str, shown: Iterable[Path] = ()) -> bool:
    """Return whether a sandbox can show another folder at this absolute path."""
    first, _, second = folder[1:].partition("/")
    is_own = (
        second in {"log", "www", "data", "uploads", "storage", "local", "lib"}
        if first == "var"
        else first not in {*_OTHERS, ""}
    )
    return is_own and not _is_around(folder, (Path(project), *shown))


def _is_around(folder: str, shown: Iterable[Path]) -> bool:
    """Return whether the folder is above, at or below one that sandboxes show: they make no link there."""
    return any(
        one.is_relative_to(folder) or Path(folder).is_relative_to(one)
        for one in (*shown, Path(sys.prefix), Path(sys.base_prefix))
    )


def dockerfile_text(project: Path) -> str:
    """Return the start of the project's Dockerfile; empty if there is none. Follows no link."""
    return next((text for name in _DOCKERFILES if (text := plain_text(project / name))), "")


def plain_text(file: Path) -> str:
    """Return the start of a plain file; empty if there is none. Follows no link."""
    try:
        return read_plain(str(file), _MOST_BYTES).decode("utf-8", "replace")
    except OSError as error:
        raise_want(error)
        return ""


def mend_container_folder(failed: FailedStart) -> Mend | None:
    """Return the mend that shows the project at the Dockerfile's folder, too; None if no line is about that."""
    folder, number = failed.container_folder, newest_error(failed.lines)
    if folder is None or number is None or failed.plan.linked_at is not None:
        return None
    line = failed.lines[number]
    is_named = re.search(rf"['\"` ]{re.escape(folder)}(?:/|['\"`]|$)", line) is not None
    if not is_named and not _NAMES_NO_FILE.search(line):
        return None
    return Mend(
        f"the code expects the project at {folder}, as its Dockerfile has it: showing it there", linked_at=folder
    )
