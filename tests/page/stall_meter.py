"""How long the machine had no time for anybody: a page that was not served meanwhile is not to blame."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Self

__all__ = ["Stalls", "open_stall_meter"]

_TICK_S = 0.005


class _Meter:
    """Sleeps on one processor, and notes how late it is woken."""

    def __init__(self, processors: set[int]) -> None:
        self._processors = processors
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.longest_ms = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        # Of this thread alone.
        os.sched_setaffinity(0, self._processors)
        begun = time.monotonic()
        while not self._over.wait(_TICK_S):
            late_s = time.monotonic() - begun - _TICK_S
            self.longest_ms = max(self.longest_ms, late_s * 1000)
            begun = time.monotonic()


class Stalls:
    """Of all processors together."""

    def __init__(self, meters: list[_Meter]) -> None:
        self._meters = meters

    @property
    def longest_ms(self) -> float:
        return max(meter.longest_ms for meter in self._meters)

    def __str__(self) -> str:
        return f"{self.longest_ms:.0f} ms"


@contextmanager
def open_stall_meter() -> Iterator[Stalls]:
    """Watch every processor: one of them may be withheld alone."""
    with ExitStack() as watching:
        yield Stalls([watching.enter_context(_Meter({one})) for one in sorted(os.sched_getaffinity(0))])
