"""What ``uv venv`` makes of an interpreter, kept: the next environment gets the same files without another process."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from preview.environments.sandbox.interpreter import Interpreter

# Two dozen small files. What is larger is no empty environment, and is not kept.
_MAX_ENTRIES: Final = 200
_MAX_BYTES: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class _Entry:
    """One folder, file or link.

    Attributes:
        path: In the environment.
        mode: Its permissions.
        target: Where a link leads; None for all else.
        content: A file's; None for all else.
    """

    path: str
    mode: int
    target: str | None = None
    content: bytes | None = None


class Skeletons:
    """Empty environments, by interpreter; they can be moved, so that each is a copy of the first.

    In memory only: what uv makes may change with its version, which a new process asks again.
    """

    def __init__(self) -> None:
        self._kept: dict[Interpreter, tuple[_Entry, ...]] = {}

    @property
    def are_known(self) -> bool:
        """Whether there is any."""
        return bool(self._kept)

    def write(self, interpreter: Interpreter, folder: Path) -> bool:
        """Fill the empty folder; False where none is known yet. Blocks on the disk.

        Raises:
            OSError: The disk did not take it.
        """
        entries = self._kept.get(interpreter)
        if entries is None:
            return False
        root = os.fspath(folder)
        for entry in entries:
            path = f"{root}/{entry.path}"
            if entry.target is not None:
                os.symlink(entry.target, path)  # noqa: PTH211  while somebody waits
            elif entry.content is None:
                os.mkdir(path, entry.mode)  # noqa: PTH102
            else:
                descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, entry.mode)
                try:
                    os.write(descriptor, entry.content)
                finally:
                    os.close(descriptor)
        return True

    def keep(self, interpreter: Interpreter, folder: Path) -> None:
        """Remember the environment that uv has just made, before anything was installed there. Blocks on the disk.

        Raises:
            OSError: It cannot be read.
        """
        entries = list(_read(os.fspath(folder), ""))
        if len(entries) <= _MAX_ENTRIES and sum(len(entry.content or b"") for entry in entries) <= _MAX_BYTES:
            self._kept[interpreter] = tuple(entries)


def _read(root: str, below: str) -> Iterator[_Entry]:
    """A folder comes before what lies in it."""
    with os.scandir(f"{root}/{below}") as entries:
        for found in entries:
            path = f"{below}{found.name}"
            mode = stat.S_IMODE(found.stat(follow_symlinks=False).st_mode)
            if found.is_symlink():
                yield _Entry(path, mode, target=os.readlink(found.path))  # noqa: PTH115
            elif found.is_dir():
                yield _Entry(path, mode)
                yield from _read(root, f"{path}/")
            elif found.is_file():
                yield _Entry(path, mode, content=Path(found.path).read_bytes())
