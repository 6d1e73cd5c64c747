"""File descriptors: what to do when none is free, and how to wait on one.

A wake-up of ``trio.lowlevel.wait_readable`` or ``wait_writable`` is a hint, never a fact. An epoll set names an open
file by the number that it had when it was added. A number that is closed while its file stays open elsewhere (a ``dup``
of it, another process) stays in the set and cannot be taken out any more (epoll(7), Q6). The next file with that number
is woken by the events of the old one. Even where only errors were still asked for, EPOLLHUP comes.
"""

from __future__ import annotations

import errno
import os
import select
import stat
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import trio

# Of this process, or of the whole machine (open(2)).
_SHORT = frozenset({errno.EMFILE, errno.ENFILE})
_FIRST_PAUSE_S = 0.005
_LAST_PAUSE_S = 0.1

T = TypeVar("T")


def is_want_of_descriptors(error: BaseException) -> bool:
    """Return whether the error means only that no descriptor is free; of a group, all of them."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_want_of_descriptors, error.exceptions))
    return isinstance(error, OSError) and error.errno in _SHORT


def raise_want(error: OSError) -> None:
    """Let pass what says something of a file; raise what only says that no descriptor is free."""
    if is_want_of_descriptors(error):
        raise error


def walk(top: Path | str, *, topdown: bool = True) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk like ``os.walk``, but raise where that skips unreadable folders for want of a descriptor.

    Raises:
        OSError: No descriptor is free.
    """
    return os.walk(str(top), topdown, raise_want)


async def retry_on_fd_exhaustion(act: Callable[[], Awaitable[T]]) -> T:
    """Do what must be done although no descriptor may be free: again and again, until it is not for want of one.

    Args:
        act: May be started again at any point; whatever else it raises goes on.

    Cancellation: what ``act`` says of its own; under a bounded shield this ends with its bound.
    """
    pause_s = _FIRST_PAUSE_S
    while True:
        try:
            return await act()
        except OSError as error:
            if not is_want_of_descriptors(error):
                raise
        await trio.sleep(pause_s)
        pause_s = min(2 * pause_s, _LAST_PAUSE_S)


@contextmanager
def waited_on(descriptor: int) -> Iterator[int]:
    """Own a descriptor that this task waits on; it leaves trio's epoll set before it is closed."""
    try:
        yield descriptor
    finally:
        trio.lowlevel.notify_closing(descriptor)
        os.close(descriptor)


def is_readable(descriptor: int) -> bool:
    """Look whether a read would not block now; of a pidfd, whether its process has ended."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


async def wait_readable(descriptor: int) -> None:
    """Wait until a read would not block, however often trio is woken for nothing.

    Cancellation: nothing changes.
    """
    while True:
        await trio.lowlevel.wait_readable(descriptor)
        if is_readable(descriptor):
            return


_OTHERS = stat.S_IRWXG | stat.S_IRWXO
# What a service leaves in its folder, drafts aside. A folder that holds more than that may be anything, ``/var/lib``
# even, and is not ours to close.
_OURS = frozenset(
    {"cache", "client", "journal", "lost+found", "preview.db", "preview.db-journal", "preview.db-shm", "preview.db-wal",
     "previews", "previews.lock", "run", "sandbox", "secret", "service.json", "service.lock", "storage", "templates"}
)  # fmt: skip


def make_private_folder(folder: Path) -> bool:
    """Make the folder, and those above it that are missing, for this user alone (mode 0700).

    One that is there and open to others is closed to them, where it is this user's and holds nothing but what a
    service keeps.

    Returns:
        Whether it is closed to others now.

    Raises:
        OSError: It is not there and cannot be made, or something else has its name.
    """
    # ``Path.mkdir`` gives its mode to the last one only.
    for one in (*reversed(folder.parents), folder):
        if one == folder or not one.exists():
            one.mkdir(mode=stat.S_IRWXU, exist_ok=True)
    found = folder.stat()
    if found.st_mode & _OTHERS and found.st_uid == os.geteuid() and _is_ours(folder):
        # Some file systems have no modes to set.
        with suppress(OSError):
            folder.chmod(stat.S_IRWXU)
    return not folder.stat().st_mode & _OTHERS


def _is_ours(folder: Path) -> bool:
    return all(one.name in _OURS or one.name.startswith((".secret.", ".service.json.")) for one in folder.iterdir())
