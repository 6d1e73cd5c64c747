"""Fills free gaps between the template's objects, since an object that a fork puts in a gap copies the whole page.

The gaps are filled before the fork, and never freed. So the objects that a fork creates lie together, in pages that
only the fork uses.

Sources: Objects/obmalloc.c of CPython (small objects come from pools of one size each); mallinfo(3), malloc(3).
"""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Callable

# A line of ``sys._debugmallocstats``: class, size, pools, blocks in use, free blocks.
_CLASS = re.compile(r"^ *\d+ +(\d+) +\d+ +\d+ +(\d+) *$", re.MULTILINE)
_MOST_SAID = 1 << 20
_SMALLEST_BYTES = sys.getsizeof(b"")
_OBJECT_BYTES, _FLOAT_BYTES = 16, 32
# Sizes for the C library's heap: from the largest block to the smallest, each a tenth smaller than the one before.
_LARGEST, _SMALLEST, _STEP, _UNIT = 64 << 10, 24, 1.1, 16
# A template has some MiB; a higher figure means a wrong assumption about the C library.
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
    """Fill free gaps in the interpreter's pools and the C library's heap; return the number of bytes.

    If one of the two does not report its free gaps, they remain.
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
    """Return (size, count) of free blocks; the interpreter reports these only on standard error."""
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
        # Another C library, with another heap layout.
        return 0
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
    left = min(info.fordblks - info.keepcost, _MOST_BYTES)
    libc.sbrk.restype, libc.sbrk.argtypes = ctypes.c_void_p, [ctypes.c_ssize_t]
    # A block that fits no gap comes from the top of the heap.
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
