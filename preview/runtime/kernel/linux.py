"""System calls without a Python function, the boot id, and small helpers for tasks and descriptors."""

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
    """Return whether orphaned descendants of this process become its children."""
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
    """Make this process adopt orphaned descendants (PR_SET_CHILD_SUBREAPER), and restore the setting at the end.

    Otherwise init adopts a grandchild whose parent was killed, and nobody here could wait for its end. The setting
    applies to the whole process, so a host that embeds the service gets its own value back.
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
    """Raise this process's limit of open files to its hard limit, and restore the limit at the end.

    Each preview takes some descriptors, and each client that watches it one more, so the usual 1024 are soon used up.
    Children get their own limit.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def kernel_version() -> tuple[int, int]:
    """Return major and minor version of the running kernel (uname(2)); ``(0, 0)`` if unknown."""
    match = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(match[1]), int(match[2])) if match else (0, 0)


@lru_cache(maxsize=1)
def boot_id() -> str:
    """Return the kernel's id of this boot (random(4)); pids and start times are valid only within one boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@asynccontextmanager
async def beside(task: Callable[[], Awaitable[None]], *, outlasts: bool = False) -> AsyncIterator[None]:
    """Run a task as long as the body runs; an exception of the body is raised as it is, without a group.

    Args:
        task: The task.
        outlasts: Whether the task is cancelled only when the body has ended, which the body must bound: a process that
            ends in its own time may still use what the task serves.

    Cancellation: both are cancelled, the task after the body if it ``outlasts``.
    """
    raised: Exception | None = None
    scope = trio.CancelScope(shield=outlasts)

    async def attend() -> None:
        with scope:
            await task()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(attend)
        try:
            yield
        except Exception as error:  # noqa: BLE001  raised again below, out of the nursery
            raised = error
        finally:
            scope.cancel()
    if raised is not None:
        raise raised


@contextmanager
def memory_file(data: bytes) -> Iterator[int]:
    """Yield a descriptor from which ``data`` can be read; closed at the end.

    Raises:
        OSError: No file descriptor or no memory is free.
    """
    descriptor = os.memfd_create("preview", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)
