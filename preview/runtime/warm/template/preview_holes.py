"""Free places between objects that stay: what a fork puts into them makes it copy the whole page.

They are taken before the fork, and never given back, so that what a fork makes comes to lie side by side, in pages that
are its own alone.

Sources: Objects/obmalloc.c of CPython (small objects come from pools of one size each); mallinfo(3), malloc(3).
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable

# A line of ``sys._debugmallocstats``: class, size, pools, blocks in use, blocks that are free.
_CLASS = re.compile(r"^ *\d+ +(\d+) +\d+ +\d+ +(\d+) *$", re.MULTILINE)
_MOST_SAID = 1 << 20
_SMALLEST_BYTES = sys.getsizeof(b"")
_OBJECT_BYTES, _FLOAT_BYTES = 16, 32
# Of the C library: from what may lie in a row down to the smallest there is, each a tenth less than the one before.
_LARGEST, _SMALLEST, _STEP, _UNIT = 64 << 10, 24, 1.1, 16
# A template has some MiB; anything more is a mistake about the C library.
_MOST_BYTES = 64 << 20

_kept: list[object] = []


class _Mallinfo2(ctypes.Structure):
    """``struct mallinfo2``: since glibc 2.33."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    ]  # fmt: skip


def fill() -> int:
    """Take the free places of the interpreter's pools and of the C library's heap; how many bytes.

    Where one of the two cannot be asked for what it has free, its places stay.
    """
    return _fill_pools() + _fill_heap()


def _fill_pools() -> int:
    taken = 0
    for size, free in _free_blocks():
        taken += size * free
        _kept.append(_of_size(size, free))
    return taken


def _of_size(size: int, count: int) -> list[object]:
    if size == _OBJECT_BYTES:
        return [object() for _ in range(count)]
    if size <= _SMALLEST_BYTES:
        return [number + 0.5 for number in range(count)] if size == _FLOAT_BYTES else []
    return [bytes(size - _SMALLEST_BYTES) for _ in range(count)]


def _free_blocks() -> list[tuple[int, int]]:
    """By size; the interpreter says it on standard error, and nowhere else."""
    ask = getattr(sys, "_debugmallocstats", None)
    if ask is None:
        return []
    said = os.memfd_create("preview-said", os.MFD_CLOEXEC)
    try:
        _with_standard_error(said, ask)
        text = os.pread(said, _MOST_SAID, 0).decode("ascii", "replace")
    except OSError:
        return []
    finally:
        os.close(said)
    return [(int(size), int(free)) for size, free in _CLASS.findall(text)]


def _with_standard_error(place: int, act: Callable[[], object]) -> None:
    before = os.dup(2)
    try:
        os.dup2(place, 2)
        try:
            act()
        finally:
            os.dup2(before, 2)
    finally:
        os.close(before)


def _fill_heap() -> int:
    libc = ctypes.CDLL(None)
    try:
        libc.mallinfo2.restype = _Mallinfo2
        info = libc.mallinfo2()
    except AttributeError:
        # Another C library, whose heap looks otherwise.
        return 0
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    left = min(info.fordblks - info.keepcost, _MOST_BYTES)
    libc.sbrk.restype, libc.sbrk.argtypes = ctypes.c_void_p, [ctypes.c_ssize_t]
    # What no free place is large enough for comes from there.
    end = libc.sbrk(0) - info.keepcost
    taken, size = 0, _LARGEST
    while size >= _SMALLEST:
        while taken + size <= left:
            place = libc.malloc(size)
            if place is None or place >= end:
                libc.free(place)
                break
            taken += size
        size = min(int(size / _STEP), size - _UNIT)
    return taken
