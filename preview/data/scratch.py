"""Folders in which confined programs work for the service, and the files that go in and out."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from preview.core.descriptors import file_of
from preview.core.removal import remove_folder
from preview.data.threads import check_cancelled
from preview.errors import DataUnavailable

_REMOVE_S = 5.0


@dataclass(frozen=True, slots=True)
class Scratch:
    """Folders for one piece of work.

    Attributes:
        own: For the service alone.
        shared: Confined programs write here, as the preview's own user.
        sockets: Their way to a server.
    """

    own: Path
    shared: Path
    sockets: Path


@asynccontextmanager
async def open_scratch(folder: Path) -> AsyncIterator[Scratch]:
    """Make three empty folders below this one, which are removed at the end (bounded; else with the preview).

    Cancellation: they are removed (bounded).
    """
    root = folder / f"data-{secrets.token_hex(6)}"
    scratch = Scratch(root / "own", root / "shared", root / "sockets")
    for one in (scratch.own, scratch.shared, scratch.sockets):
        one.mkdir(mode=0o700, parents=True)
    try:
        yield scratch
    finally:
        with trio.move_on_after(_REMOVE_S, shield=True):
            await trio.to_thread.run_sync(remove_folder, root, abandon_on_cancel=True)


def take_file(folder: Path, name: str, target: Path, most_bytes: int) -> None:
    """Copy a file that a confined program has written, which is not believed. Blocks.

    Raises:
        DataUnavailable: It is no file, or too large.
        OSError: It cannot be copied.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(folder / name, flags)
    except OSError as error:
        raise DataUnavailable(f"The saved data cannot be read: {error.strerror}.") from error
    with file_of(descriptor) as source, target.open("xb") as copy:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise DataUnavailable("The saved data is not a file.")
        if found.st_size > most_bytes:
            raise DataUnavailable(f"The data takes {found.st_size} bytes; a snapshot may take {most_bytes}.")
        # Nothing writes it any more; all the same, no more than was found.
        left = found.st_size
        while left and (chunk := source.read(min(left, 1 << 20))):
            check_cancelled()
            copy.write(chunk)
            left -= len(chunk)


def give_file(source: Path, target: Path) -> None:
    """Copy a part for a confined program, which has another user. Blocks. Raises: OSError."""
    shutil.copyfile(source, target)
    target.chmod(0o644)
