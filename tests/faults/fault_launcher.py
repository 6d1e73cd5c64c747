"""Starts the real program with a page shared between it and the suite: its wall clock's error, its number of tasks.

``python fault_launcher.py PAGE ARGUMENTS…`` is ``preview ARGUMENTS…``, except that ``time.time`` is off by what the
page says, as after an operator or NTP has set the clock (the monotonic clock is not touched, as in the kernel), and
that trio's tasks are counted into the page.
"""

from __future__ import annotations

import mmap
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["OFFSET_NS", "PAGE_BYTES", "TASKS"]

PAGE_BYTES = mmap.PAGESIZE
_NUMBER = struct.Struct("q")
# Where each number stands in the page.
OFFSET_NS = 0
TASKS = _NUMBER.size


def map_page(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), PAGE_BYTES)


def read_number(page: mmap.mmap, place: int) -> int:
    value: int = _NUMBER.unpack_from(page, place)[0]
    return value


def write_number(page: mmap.mmap, place: int, value: int) -> None:
    _NUMBER.pack_into(page, place, value)


def shift_clock(page: mmap.mmap) -> None:
    """Before anything else is imported: some modules take ``time`` as a name of their own."""
    real_ns, real = time.time_ns, time.time
    time.time_ns = lambda: real_ns() + read_number(page, OFFSET_NS)
    time.time = lambda: real() + read_number(page, OFFSET_NS) / 1e9


def count_tasks(page: mmap.mmap) -> None:
    import trio

    class Counter(trio.abc.Instrument):
        tasks = 0

        def task_spawned(self, task: trio.lowlevel.Task) -> None:
            self.tasks += 1
            write_number(page, TASKS, self.tasks)

        def task_exited(self, task: trio.lowlevel.Task) -> None:
            self.tasks -= 1
            write_number(page, TASKS, self.tasks)

    run: Callable[..., Any] = trio.run
    trio.run = lambda *arguments, **options: run(*arguments, instruments=[Counter()], **options)


def main() -> None:
    page = map_page(Path(sys.argv.pop(1)))
    shift_clock(page)
    count_tasks(page)
    from preview.cli import main as preview

    preview()


if __name__ == "__main__":
    main()
