"""Sentences about a build that takes long: at least one line every few seconds, which says what is being done."""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Final

import trio

# People who read nothing for longer take the build for dead. Less than 5 s, for a loaded machine.
_SILENCE_S: Final = 4.0
# A name in what installers print comes from a package: nothing else is repeated in a sentence.
_BEGIN: Final = (
    # uv
    re.compile(r"\s{1,20}Building (?P<name>[A-Za-z0-9._~-]{1,100})(?:==| @ |$)"),
    # npm
    re.compile(
        r"npm info run (?P<name>(?:@[a-z0-9._~-]{1,100}/)?[A-Za-z0-9._~-]{1,100})@\S+ (?:pre|post)?install "
        r"node_modules/(?!.* { code: )"
    ),
)
_END: Final = (
    re.compile(r"\s{1,20}Built (?P<name>[A-Za-z0-9._~-]{1,100})(?:==| @ |$)"),
    re.compile(
        r"npm info run (?P<name>(?:@[a-z0-9._~-]{1,100}/)?[A-Za-z0-9._~-]{1,100})@\S+ (?:pre|post)?install { code: "
    ),
)
_SHOWN: Final = 3

_heard: ContextVar[Progress | None] = ContextVar("heard", default=None)


class Progress:
    """Progress of one build.

    Args:
        report: Called with a sentence after each few seconds without a line.
    """

    def __init__(self, report: Callable[[str, int], None]) -> None:
        self._report = report
        self._started = self._last = trio.current_time()
        self._doing, self._doing_since = "preparing the environment", self._started
        # Packages that are being built, and since when.
        self._building: dict[str, float] = {}

    def __call__(self, line: str, severity: int) -> None:
        """Forward one line, like any ``Report``; callable from any thread."""
        self._report(line, severity)
        self._last = trio.current_time() if trio.lowlevel.in_trio_run() else self._last

    def begin(self, doing: str) -> None:
        """Note the start of a program; ``doing`` is the beginning of a sentence."""
        self._building.clear()
        if doing != self._doing:
            self._doing, self._doing_since = doing, trio.current_time()

    def hear(self, line: str) -> None:
        """Note a line that the installer has printed."""
        for pattern in _BEGIN:
            if match := pattern.match(line):
                self._building.setdefault(match["name"], trio.current_time())
        for pattern in _END:
            if match := pattern.match(line):
                self._building.pop(match["name"], None)

    @property
    def sentence(self) -> str:
        """The current activity and its duration."""
        if not self._building:
            return f"{self._doing}: {trio.current_time() - self._doing_since:.0f} s so far"
        names = list(self._building)
        shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        return f"building {shown} from source: {trio.current_time() - min(self._building.values()):.0f} s so far"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Report until cancelled. Cancellation: nothing changes."""
        task_status.started()
        while True:
            await trio.sleep_until(self._last + _SILENCE_S)
            if trio.current_time() >= self._last + _SILENCE_S:
                self(self.sentence, logging.INFO)


@asynccontextmanager
async def open_progress(report: Callable[[str, int], None]) -> AsyncIterator[Progress]:
    """Provide a report that is never silent for long; ``run_program`` tells it what it runs. Errors stay unwrapped.

    Cancellation: the block is cancelled, and no further line is reported.
    """
    progress = Progress(report)
    failure: Exception | None = None
    token = _heard.set(progress)
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(progress.run)
            try:
                yield progress
            except Exception as error:  # noqa: BLE001  raised again below: the nursery would wrap it
                failure = error
            nursery.cancel_scope.cancel()
    finally:
        _heard.reset(token)
    if failure is not None:
        raise failure


def current_progress() -> Progress | None:
    """Return the progress of the build that this task belongs to; None outside of ``open_progress``."""
    return _heard.get()
