"""The few system calls that Python does not offer: a child subreaper, and what names a process for ever."""

from __future__ import annotations

import ctypes
import os
import re
import resource
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from pathlib import Path

import trio

# prctl(2): values from linux/prctl.h.
_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37


@lru_cache(maxsize=1)
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def is_child_subreaper() -> bool:
    """Return whether orphans below this process become its own children."""
    value = ctypes.c_int(0)
    if _libc().prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return bool(value.value)


def _set_child_subreaper(enabled: bool) -> None:
    if _libc().prctl(_PR_SET_CHILD_SUBREAPER, int(enabled), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


@contextmanager
def child_subreaper() -> Iterator[None]:
    """Make this process the one that adopts orphans below it (PR_SET_CHILD_SUBREAPER), and set back what was before.

    Without it a grandchild whose parent was killed goes to init: nobody here could wait for its end. The attribute is
    the whole process's, so a host that embeds the service gets its own value back.
    """
    before = is_child_subreaper()
    if not before:
        _set_child_subreaper(True)
    try:
        yield
    finally:
        if not before:
            _set_child_subreaper(False)


@contextmanager
def many_open_files() -> Iterator[None]:
    """Let this process open as many files as its hard limit allows, and set back what was before.

    A preview takes some, and each that watches it one more: the usual 1024 are soon gone. Children have a limit of
    their own.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def kernel_version() -> tuple[int, int]:
    """Major and minor of the running kernel (uname(2)); ``(0, 0)`` where it says none."""
    match = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Return the kernel's name for this boot (random(4)): pids and start times of another boot mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@asynccontextmanager
async def beside(task: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Run a task for as long as the body lasts; what the body raises comes out as it is, in no group.

    Cancellation: both are cancelled.
    """
    raised: Exception | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(task)
        try:
            yield
        except Exception as error:  # noqa: BLE001  raised again below, out of the nursery
            raised = error
        finally:
            nursery.cancel_scope.cancel()
    if raised is not None:
        raise raised


@contextmanager
def memory_file(data: bytes) -> Iterator[int]:
    """Provide a descriptor to read ``data`` from; closed at the end.

    Raises:
        OSError: No descriptor is left, or no memory.
    """
    descriptor = os.memfd_create("preview", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
