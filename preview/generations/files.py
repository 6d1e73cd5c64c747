"""Files of a generation in memory: checked as a whole, read from JSON, written below a folder."""

from __future__ import annotations

import base64
import binascii
import errno
import os
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from preview.errors import InvalidGeneration
from preview.generations.limits import Budget, Limits
from preview.generations.paths import PathCheck, shown
from preview.settings import Settings

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def check_files(files: Mapping[str, bytes], limits: Limits) -> dict[str, bytes]:
    """The files as they may be kept: paths checked, number and sizes within the limits.

    Raises:
        InvalidGeneration: A path may not be, or there are no files at all.
        TooLarge: Too many, or too large together.
    """
    check, budget, checked = PathCheck(limits), Budget(limits), {}
    for raw, content in files.items():
        path = check.add_file(raw)
        budget.take(len(content))
        checked[path] = content
    require_some(checked)
    return checked


def require_some(files: Mapping[str, object]) -> None:
    """A generation has files.

    Raises:
        InvalidGeneration: There are none.
    """
    if not files:
        raise InvalidGeneration("There are no files; send at least the one that starts the app.")


def parse_files_json(files: Mapping[str, object], settings: Settings, *, may_be_none: bool = False) -> dict[str, bytes]:
    """The files of the JSON form: ``{path: text}``, or ``{path: {"base64": …}}`` for what is not text.

    Args:
        files: As parsed from JSON.
        settings: For the limits.
        may_be_none: Whether there may be no files at all: in a change, that is.

    Raises:
        InvalidGeneration: A path may not be, or a content is of neither form.
        TooLarge: Too many, or too large together.
    """
    limits = Limits.of(settings)
    check, budget, checked = PathCheck(limits), Budget(limits), {}
    for raw, value in files.items():
        path = check.add_file(raw)
        content = _content(path, value)
        budget.take(len(content))
        checked[path] = content
    if not may_be_none:
        require_some(checked)
    return checked


def _content(path: str, value: object) -> bytes:
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise _unreadable(path, "is text with a lone surrogate, which is no character", "base64") from None
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

    Each step goes from one open folder to the next and never through a link, so that nothing that appears meanwhile
    can lead it astray (openat(2), O_NOFOLLOW). Blocks: for threads.

    Invariant: ``_folder`` is the open folder ``_path`` (relative to the root; None while it is being changed).
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        self._check = PathCheck(limits)
        self._cleanup = ExitStack()
        self._root = os.open(root, _FOLDER)
        self._cleanup.callback(os.close, self._root)
        self._folder = self._root
        self._path: str | None = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        self._cleanup.close()

    def write(self, raw: str, content: bytes) -> None:
        """Write one file, readable for all, with its folders.

        Raises:
            InvalidGeneration: Its path may not be, or something is there already.
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
        """Make ``parent`` the open folder."""
        if parent == self._path:
            return
        self._leave()
        self._path = None
        for component in parent.split("/") if parent else ():
            self._descend(component)
        self._path = parent

    def _descend(self, component: str) -> None:
        # It may be there for an earlier file; if it is anything but a folder, opening it fails.
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
