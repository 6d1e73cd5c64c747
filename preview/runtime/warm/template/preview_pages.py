"""Copy in advance the shared memory pages that a fork is going to write to.

A fork shares its parent's pages until one of them writes. Forks of one application write to nearly the same pages,
because Python counts references in the objects themselves. The first write to a page costs an interrupt of some
microseconds. Copying many pages in one call costs half of that, and adds nothing to a restart if it is done before.

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
# Flags of a pagemap entry: present; of a file or shared memory; mapped by this process alone.
_PRESENT, _OF_A_FILE, _ALONE = 1 << 63, 1 << 61, 1 << 56
_KINDS = _PRESENT | _OF_A_FILE | _ALONE
# Limit for one fork: more than this is data, and not startup state.
_MOST_PAGES = (32 << 20) // _PAGE_BYTES
# linux/mman.h, since Linux 5.14
_MADV_POPULATE_WRITE = 23
# Time limit of a repeated use, which takes a fraction of a second.
_USE_MS = 5000
# Number of page runs between two checks of ``until``: a tenth of a millisecond.
_LOOK_EACH = 16

_libc = ctypes.CDLL(None, use_errno=True)
_libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def own_pages(pid: int) -> list[tuple[int, int]]:
    """Return a fork's own pages as (address, length in bytes); empty if the fork has ended."""
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
    """Copy these pages now, if the kernel can (MADV_POPULATE_WRITE); otherwise each is copied at the first write.

    Args:
        pages: Address and length, in bytes.
        until: Descriptor; stop once it is readable. -1 means never stop early.
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
    """Return this process's private writable memory ranges; forks have them at the same addresses."""
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
    """Return runs of adjacent private pages as (first index, count), at most ``most`` pages in total."""
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
