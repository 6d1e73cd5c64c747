"""Which paths a generation may have: one check for uploads, archives, folders and the way back to disk."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import NoReturn

from preview.core.quoting import quoted
from preview.errors import InvalidGeneration, TooLarge
from preview.generations.limits import Limits
from preview.settings import Settings

# Linux: NAME_MAX is 255 bytes. 1024 bytes in all leave room below PATH_MAX (4096) for where the preview lies, and fit
# into a key of PostgreSQL.
_COMPONENT_BYTES = 255
_PATH_BYTES = 1024
# Deeper than any project; keeps one path from making hundreds of folders.
_DEPTH = 32
# In ``details``, and in a sentence.
_SHOWN = 120
_SHOWN_IN_TEXT = 100

_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Unicode's property Bidi_Control (UAX 9, section 2): invisible, and what follows is shown in another order than it has.
# Text that runs from right to left needs none of them.
_BIDI_CONTROL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# https://learn.microsoft.com/windows/win32/fileio/naming-a-file: with any extension, in any case.
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE)


def shown(path: str) -> str:
    """The path as a message may show it: quoted, escaped, and of bounded length."""
    return quoted(path, _SHOWN_IN_TEXT)


def named(path: str) -> str:
    """The path as ``details`` may name it: of bounded length; escaped where it holds what acts on who reads it."""
    path = path[:_SHOWN]
    return path if path.isprintable() else quoted(path, _SHOWN)[1:-1]


class PathCheck:
    """The paths of one generation, checked one by one and against each other.

    Invariant: what was accepted can be written below an empty folder on Linux, each path as a file of its own, and
    nothing outside of it is touched. Case decides (``A`` is not ``a``), the way an accent is composed does not.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._files: set[str] = set()
        self._folders: set[str] = set()

    @property
    def files(self) -> int:
        """How many files were accepted."""
        return len(self._files)

    def add_file(self, raw: str) -> str:
        """Check a file's path.

        Returns:
            The path to keep: ``raw`` without a leading ``./``.

        Raises:
            InvalidGeneration: It may not be; ``details["path"]`` names it.
            TooLarge: It is one file or folder too many.
        """
        path = _well_formed(raw)
        if not path:
            _refuse(raw, "is no file name", "give each file a name")
        key = unicodedata.normalize("NFC", path)
        if key in self._files:
            _refuse(raw, "is there twice", "send each file once")
        if key in self._folders:
            _refuse(raw, "is a file and a folder", "rename one of them")
        self._add_parents(raw, key)
        self._files.add(key)
        if len(self._files) > self._limits.files:
            raise TooLarge(
                f"There are more than {self._limits.files} files; leave out what the project does not need to run "
                "(dependencies, builds, caches).",
                limit_files=self._limits.files,
            )
        return path

    def add_folder(self, raw: str) -> None:
        """Check a folder's path, as archives list them; folders without files are not kept.

        Raises:
            InvalidGeneration, TooLarge: As ``add_file``.
        """
        path = _well_formed(raw.rstrip("/") if raw.strip("/") else raw)
        if not path:
            return
        key = unicodedata.normalize("NFC", path)
        if key in self._files:
            _refuse(raw, "is a file and a folder", "rename one of them")
        self._add_parents(raw, f"{key}/.")

    def _add_parents(self, raw: str, key: str) -> None:
        end = key.rfind("/")
        while end > 0 and key[:end] not in self._folders:
            folder = key[:end]
            if folder in self._files:
                _refuse(raw, f"lies below {shown(folder)}, which is a file", "rename one of them")
            self._folders.add(folder)
            end = folder.rfind("/")
        if len(self._folders) > self._limits.files:
            raise TooLarge(
                f"There are more than {self._limits.files} folders; leave out what the project does not need to run.",
                limit_folders=self._limits.files,
            )


def check_paths(paths: Iterable[str], settings: Settings) -> list[str]:
    """The paths of one generation's files as they may be kept, in their order.

    Raises:
        InvalidGeneration, TooLarge: See ``PathCheck.add_file``.
    """
    check = PathCheck(Limits.of(settings))
    return [check.add_file(path) for path in paths]


def _well_formed(raw: str) -> str:
    """The path without a leading ``./``; empty for the root itself."""
    path = raw
    while path.startswith("./"):
        path = path[2:]
    if path in {"", "."}:
        return ""
    _check_whole(raw, path)
    for component in path.split("/"):
        _check_component(raw, component)
    return path


def _check_whole(raw: str, path: str) -> None:
    if any(unicodedata.category(character) in _CONTROL for character in path):
        _refuse(raw, "holds a control character or is not UTF-8", "rename it")
    if not _BIDI_CONTROL.isdisjoint(path):
        _refuse(raw, "holds a character that changes the direction of text", "rename it")
    if path.startswith("/") or _DRIVE.match(path):
        _refuse(raw, "is absolute", "send paths relative to the project's folder")
    if "\\" in path:
        _refuse(raw, "holds a backslash", "separate folders by '/'")
    if len(path.encode()) > _PATH_BYTES:
        _refuse(raw, f"is longer than {_PATH_BYTES} bytes", "shorten it")
    if path.count("/") >= _DEPTH:
        _refuse(raw, f"has more than {_DEPTH} levels", "nest less deeply")


def _check_component(raw: str, component: str) -> None:
    if component == "..":
        _refuse(raw, "climbs out of its folder ('..')", "send paths that stay inside the project")
    if component in {"", "."}:
        _refuse(raw, "has an empty part or '.' in it", "write it without")
    if len(component.encode()) > _COMPONENT_BYTES:
        _refuse(raw, f"has a name longer than {_COMPONENT_BYTES} bytes", "shorten it")
    if _DEVICE.fullmatch(component.partition(".")[0].rstrip(" ")):
        _refuse(raw, f"has the name of a device ({shown(component)})", "rename it")


def _refuse(raw: str, what: str, advice: str) -> NoReturn:
    raise InvalidGeneration(f"The path {shown(raw)} {what}; {advice}.", path=named(raw))
