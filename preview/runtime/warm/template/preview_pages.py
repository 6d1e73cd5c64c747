"""Memory that a fork shares with what it was forked from, until one of them writes to it.

A fork of an application writes to the same pages as the one before it, as good as: Python counts references in the
objects themselves. Each such page is an interrupt, some microseconds, when it is written to; many at a time cost half
of that, and nothing at all of a restart's time where it is done before it.

Sources: proc(5) for maps; the kernel's documentation, admin-guide/mm/pagemap; madvise(2).
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
from array import array
from collections.abc import Callable

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_ENTRY_BYTES = 8
# Of a pagemap's entry: the page is there, of a file or shared memory, mapped by this process alone.
_PRESENT, _OF_A_FILE, _ALONE = 1 << 63, 1 << 61, 1 << 56
_KINDS = _PRESENT | _OF_A_FILE | _ALONE
# Of a fork: more is its data, and not what it starts with.
_MOST_PAGES = (32 << 20) // _PAGE_BYTES
# linux/mman.h, since Linux 5.14
_MADV_POPULATE_WRITE = 23
# What was done once before, in a fraction of a second.
_USE_MS = 5000
# Places of some pages each: a tenth of a millisecond.
_LOOK_EACH = 16

_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def own_pages(pid: int) -> list[tuple[int, int]]:
    """Find a fork's own pages: address and length, in bytes; empty if it is gone."""
    found: list[tuple[int, int]] = []
    left = _MOST_PAGES
    try:
        pagemap = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            for start, end in _writable():
                for first, count in _runs(_entries(pagemap, start, end), left):
                    found.append((start + first * _PAGE_BYTES, count * _PAGE_BYTES))
                    left -= count
        finally:
            os.close(pagemap)
    except OSError:
        return []
    return found


def pages_of(use: Callable[[], object]) -> list[tuple[int, int]]:
    """Find the pages that a fork writes to when it calls ``use``, by running ``use`` in a trial fork.

    Blocks until ``use`` returns, for a few seconds at most. If ``use`` fails, the list is empty.
    """
    told, done = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            use()
            os.write(done, b"1")
            signal.pause()
        finally:
            os._exit(1)
    os.close(done)
    try:
        waiting = select.poll()
        waiting.register(told, select.POLLIN)
        is_done = bool(waiting.poll(_USE_MS)) and os.read(told, 1) == b"1"
        return own_pages(pid) if is_done else []
    finally:
        os.close(told)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def touch(pages: list[tuple[int, int]], until: int = -1) -> None:
    """Have copies of these pages now, where the kernel can do so; else each comes when it is written to.

    Args:
        pages: Address and length, in bytes.
        until: A descriptor: no more of them, once there is something to be read.
    """
    waiting = select.poll()
    if until >= 0:
        waiting.register(until, select.POLLIN)
    for number, (start, length) in enumerate(pages):
        if number % _LOOK_EACH == 0 and waiting.poll(0):
            return
        if _libc.madvise(start, length, _MADV_POPULATE_WRITE) != 0:
            return


def _writable() -> list[tuple[int, int]]:
    """Return this process's own writable memory as ranges; forks have it at the same addresses."""
    with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:  # noqa: PTH123  no pathlib here
        lines = [line.split(" ", 2) for line in file]
    places = [line[0].partition("-") for line in lines if line[1] == "rw-p"]
    return [(int(start, 16), int(end, 16)) for start, _, end in places]


def _entries(pagemap: int, start: int, end: int) -> array[int]:
    count = (end - start) // _PAGE_BYTES
    data = os.pread(pagemap, count * _ENTRY_BYTES, start // _PAGE_BYTES * _ENTRY_BYTES)
    entries = array("Q")
    entries.frombytes(data[: len(data) // _ENTRY_BYTES * _ENTRY_BYTES])
    return entries


def _runs(entries: array[int], most: int) -> list[tuple[int, int]]:
    """Pages that lie side by side, and are its own: the first one's index, and how many; no more than ``most``."""
    runs: list[tuple[int, int]] = []
    wanted = _PRESENT | _ALONE
    begun = -1
    for index, entry in enumerate(entries):
        is_own = entry & _KINDS == wanted and most > 0
        most -= is_own
        if is_own and begun < 0:
            begun = index
        elif not is_own and begun >= 0:
            runs.append((begun, index - begun))
            begun = -1
    if begun >= 0:
        runs.append((begun, len(entries) - begun))
    return runs
