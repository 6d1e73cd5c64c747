"""Check a generation's files in memory, parse them from JSON, and write them below a folder."""

from __future__ import annotations

import base64
import binascii
import errno
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn, Self, TypeVar

from preview.core.portable import O_DIRECTORY, O_NOFOLLOW
from preview.core.quoting import quoted
from preview.errors import InvalidGeneration, TooLarge
from preview.generations.interface import Budget, GenerationLimits, where_most

if TYPE_CHECKING:
    from preview.settings import Settings

T = TypeVar("T")

# Linux: NAME_MAX is 255 bytes. 1024 bytes in total leave space below PATH_MAX (4096) for the preview's own folder,
# and fit into a PostgreSQL key.
_COMPONENT_BYTES = 255
_PATH_BYTES = 1024
# Deeper than any project; prevents one path from creating hundreds of folders.
_DEPTH = 32
# Maximum characters of a path in ``details``, and in a sentence.
_SHOWN = 120
_SHOWN_IN_TEXT = 100

_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = frozenset({"Cc", "Cs", "Zl", "Zp"})
# Unicode's property Bidi_Control (UAX 9, section 2): invisible characters that change the order of displayed text.
# Text that runs from right to left does not need them.
_BIDI_CONTROL = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Windows device names, with any extension, in any case: https://learn.microsoft.com/windows/win32/fileio/naming-a-file
_DEVICE = re.compile(r"(?:CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(?:COM|LPT)[0-9\u00b9\u00b2\u00b3])", re.IGNORECASE)


def shown(path: str) -> str:
    """Return the path for a message: quoted, escaped and truncated."""
    return quoted(path, _SHOWN_IN_TEXT)


def named(path: str) -> str:
    """Return the path for ``details``: truncated, and escaped if it has control characters."""
    path = path[:_SHOWN]
    return path if path.isprintable() else quoted(path, _SHOWN)[1:-1]


class PathCheck:
    """Checks the paths of one generation, individually and against each other.

    Invariant: all accepted paths can be written below an empty folder on Linux, each as a separate file, without
    touching anything outside. Paths are case-sensitive, and compared in Unicode normal form C.
    """

    def __init__(self, limits: GenerationLimits) -> None:
        self._limits = limits
        self._files: set[str] = set()
        self._folders: set[str] = set()

    @property
    def files(self) -> int:
        """Number of accepted files."""
        return len(self._files)

    def add_file(self, raw: str) -> str:
        """Check a file's path.

        Returns:
            The path to store: ``raw`` without a leading ``./``.

        Raises:
            InvalidGeneration: The path is not allowed; ``details["path"]`` contains it.
            TooLarge: There is one file or folder too many.
        """
        path = _well_formed(raw)
        if not path:
            _refuse(raw, "is not a file name", "give each file a name")
        key = unicodedata.normalize("NFC", path)
        if key in self._files:
            _refuse(raw, "appears twice", "send each file once")
        if key in self._folders:
            _refuse(raw, "is a file and a folder", "rename one of them")
        self._add_parents(raw, key)
        self._files.add(key)
        if len(self._files) > self._limits.files:
            raise TooLarge(
                f"There are more than {self._limits.files} files{_most_in(self._files)}; leave out what the project "
                "does not need to run (dependencies, builds, caches), or raise PREVIEW_GENERATION_FILES.",
                limit_files=self._limits.files,
            )
        return path

    def add_folder(self, raw: str) -> None:
        """Check a folder's path, as archives list them; folders without files are not stored.

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
                _refuse(raw, f"is inside {shown(folder)}, which is a file", "rename one of them")
            self._folders.add(folder)
            end = folder.rfind("/")
        if len(self._folders) > self._limits.files:
            raise TooLarge(
                f"There are more than {self._limits.files} folders{_most_in(self._folders)}; leave out what the "
                "project does not need to run, or raise PREVIEW_GENERATION_FILES.",
                limit_folders=self._limits.files,
            )


def _most_in(paths: Iterable[str]) -> str:
    """Return the part of a sentence that names the folder with most of the paths; empty if no folder has."""
    return where_most(dict.fromkeys(paths, 1), "of them")


def check_paths(paths: Iterable[str], settings: Settings) -> list[str]:
    """Return the normalized paths of one generation's files, in the given order.

    Raises:
        InvalidGeneration, TooLarge: See ``PathCheck.add_file``.
    """
    check = PathCheck(GenerationLimits.of(settings))
    return [check.add_file(path) for path in paths]


def _well_formed(raw: str) -> str:
    """Return the path without a leading ``./``; empty for the root itself."""
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


_FOLDER = os.O_RDONLY | O_DIRECTORY | O_NOFOLLOW
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | O_NOFOLLOW


def check_files(files: Mapping[str, bytes], limits: GenerationLimits) -> dict[str, bytes]:
    """Check the files and return them under normalized paths.

    Raises:
        InvalidGeneration: A path is not allowed, or there are no files.
        TooLarge: There are too many files, or their total size is too large.
    """
    checked = _checked(files, limits, lambda _, content: content)
    require_some(checked)
    return checked


def _checked(
    files: Mapping[str, T], limits: GenerationLimits, content_of: Callable[[str, T], bytes]
) -> dict[str, bytes]:
    check, budget, checked = PathCheck(limits), Budget(limits), {}
    for raw, value in files.items():
        path = check.add_file(raw)
        content = content_of(path, value)
        budget.take(len(content), path)
        checked[path] = content
    return checked


def require_some(files: Mapping[str, object]) -> None:
    """Require at least one file.

    Raises:
        InvalidGeneration: There are no files.
    """
    if not files:
        raise InvalidGeneration("There are no files; send at least the one that starts the app.")


def parse_files_json(files: Mapping[str, object], settings: Settings, *, may_be_none: bool = False) -> dict[str, bytes]:
    """Return the files of the JSON form: ``{path: text}``, or ``{path: {"base64": …}}`` for binary content.

    Args:
        files: The parsed JSON object.
        settings: Contains the limits.
        may_be_none: Accept an empty mapping, as in a change.

    Raises:
        InvalidGeneration: A path is not allowed, or a content has neither form.
        TooLarge: There are too many files, or their total size is too large.
    """
    checked = _checked(files, GenerationLimits.of(settings), _content)
    if not may_be_none:
        require_some(checked)
    return checked


def _content(path: str, value: object) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise _unreadable(path, "is text with a lone surrogate, which is not a character", "base64") from None
    encoded = value.get("base64") if isinstance(value, Mapping) and len(value) == 1 else None
    if not isinstance(encoded, str):
        raise _unreadable(path, "has neither text nor base64", 'text or {"base64": "…"}')
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise _unreadable(path, "has base64 that cannot be decoded", "standard base64 (RFC 4648)") from None


def _unreadable(path: str, what: str, form: str) -> InvalidGeneration:
    return InvalidGeneration(f"The file {shown(path)} {what}; send it as {form}.", path=path)


class TreeWriter:
    """Writes checked files below an empty folder, and nowhere else.

    Opens each folder relative to its open parent, without following links. Links created meanwhile cannot redirect a
    write (openat(2), O_NOFOLLOW). Methods block: call in a thread.

    Invariant: ``_folder`` is the open folder ``_path`` (relative to the root; None during a change of folder).
    """

    def __init__(self, root: Path, limits: GenerationLimits) -> None:
        self._check = PathCheck(limits)
        self._cleanup = ExitStack()
        self._root = os.open(root, _FOLDER)
        self._cleanup.callback(os.close, self._root)
        self._folder = self._root
        self._path: str | None = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._leave()
        self._cleanup.close()

    def write(self, raw: str, content: bytes) -> None:
        """Write one file, readable for all users, and create its folders.

        Raises:
            InvalidGeneration: The path is not allowed, or already exists.
        """
        path = self._check.add_file(raw)
        parent, _, name = path.rpartition("/")
        try:
            self._enter(parent)
            descriptor = os.open(name, _NEW_FILE, 0o644, dir_fd=self._folder)
            with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor, not a path
                file.write(content)
        except OSError as error:
            if error.errno in {errno.EEXIST, errno.ELOOP, errno.ENOTDIR}:
                raise InvalidGeneration(
                    f"The file {shown(path)} cannot be written: something is there already.", path=path
                ) from error
            raise

    def _enter(self, parent: str) -> None:
        if parent == self._path:
            return
        self._leave()
        self._path = None
        for component in parent.split("/") if parent else ():
            self._descend(component)
        self._path = parent

    def _descend(self, component: str) -> None:
        # The folder may exist already. Opening fails if the path is not a folder.
        with suppress(FileExistsError):
            os.mkdir(component, 0o755, dir_fd=self._folder)
        following = os.open(component, _FOLDER, dir_fd=self._folder)
        if self._folder != self._root:
            os.close(self._folder)
        self._folder = following

    def _leave(self) -> None:
        if self._folder != self._root:
            os.close(self._folder)
        self._folder, self._path = self._root, ""
