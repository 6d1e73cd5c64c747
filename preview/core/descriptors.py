"""File descriptors: handling of exhaustion, and safe waiting.

A wake-up of ``trio.lowlevel.wait_readable`` or ``wait_writable`` is only a hint. An epoll set identifies an open file
by the number that it had when it was added. If the number is closed while the file stays open elsewhere
(``dup``, another process), the entry stays and cannot be removed (epoll(7), Q6). The next file with the number is then
woken by events of the old file. Even an entry that waits for errors only still reports EPOLLHUP.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, TypeVar

import trio

# Limits of this process and of the whole machine (open(2)).
_SHORT = frozenset({errno.EMFILE, errno.ENFILE})
_FIRST_PAUSE_S = 0.005
_LAST_PAUSE_S = 0.1

T = TypeVar("T")


def is_want_of_descriptors(error: BaseException) -> bool:
    """Return True if the error means only that no descriptor is free; for a group, if all its errors do."""
    if isinstance(error, BaseExceptionGroup):
        return all(map(is_want_of_descriptors, error.exceptions))
    return isinstance(error, OSError) and error.errno in _SHORT


def raise_want(error: OSError) -> None:
    """Raise ``error`` if it means that no descriptor is free; ignore it otherwise. An ``onerror`` for ``os.walk``."""
    if is_want_of_descriptors(error):
        raise error


def walk(top: Path | str, *, topdown: bool = True) -> Iterator[tuple[str, list[str], list[str]]]:
    """Walk like ``os.walk``, but raise where ``os.walk`` would skip a folder because no descriptor is free.

    Raises:
        OSError: No descriptor is free.
    """
    return os.walk(str(top), topdown, raise_want)


async def retry_on_fd_exhaustion(act: Callable[[], Awaitable[T]]) -> T:
    """Call ``act`` again and again, until it no longer fails for lack of a file descriptor.

    Args:
        act: Must be safe to repeat after any failure. Its other errors propagate.

    Cancellation: as ``act`` defines it. Under a shield, the shield's deadline ends the retries.
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


def file_of(descriptor: int) -> BinaryIO:
    """Return the file of a descriptor; closing it closes that. ``open`` alone leaves a folder's descriptor open.

    Raises:
        OSError: It is a folder; the descriptor is closed.
    """
    try:
        return open(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


@contextmanager
def waited_on(descriptor: int) -> Iterator[int]:
    """Own a descriptor that this task waits on. Removes it from trio's epoll set before closing it."""
    try:
        yield descriptor
    finally:
        trio.lowlevel.notify_closing(descriptor)
        os.close(descriptor)


def is_readable(descriptor: int) -> bool:
    """Return True if a read would not block now; for a pidfd, if its process has ended."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


async def wait_readable(descriptor: int) -> None:
    """Wait until a read would not block; spurious wake-ups are ignored.

    Cancellation: nothing changes.
    """
    while True:
        await trio.lowlevel.wait_readable(descriptor)
        if is_readable(descriptor):
            return


# Results of connect(2) while the connection is being made, and once it is made.
_CONNECTING = frozenset({errno.EINPROGRESS, errno.EALREADY})
_CONNECTED = frozenset({0, errno.EISCONN})


async def connect_socket(sock: socket.socket, address: tuple[str, int]) -> None:
    """Connect a non-blocking socket, which the caller closes, also after an error.

    Raises:
        OSError: The address does not accept the connection.

    Cancellation: the socket must be closed.
    """
    # Checked again after each wake-up, which is only a hint; SO_ERROR is 0 meanwhile.
    while (error := sock.connect_ex(address)) in _CONNECTING:
        await trio.lowlevel.wait_writable(sock)
    if error not in _CONNECTED:
        raise OSError(error, os.strerror(error))
