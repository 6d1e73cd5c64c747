"""A line every few seconds while a part of a launch takes long and prints nothing itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import trio

from preview.logs import PreviewLog

# As long as for builds: people who read nothing for longer take the launch for dead.
_SILENCE_S: Final = 4.0
# A builder tells its own silence, with more than a step's name: it goes first.
_BESIDE_S: Final = 4.5
# Lines wake no task, so their number is read this often.
_LOOK_S: Final = 0.25


async def tell_while_silent(log: PreviewLog, doing: str) -> None:
    """Say ``<doing>: 8 s so far`` after each few seconds without a line. Runs until cancelled."""
    await _tell(log, lambda: doing, _SILENCE_S)


async def tell_long_silence(log: PreviewLog, doing: Callable[[], str | None]) -> None:
    """Do the same for what ``doing`` names at the time, whichever part works; None says nothing. Runs until cancelled.

    It waits a little longer than the parts that tell their own silence.
    """
    await _tell(log, doing, _BESIDE_S)


async def _tell(log: PreviewLog, doing: Callable[[], str | None], silence_s: float) -> None:
    began = since = trio.current_time()
    seen, what = log.last_seq, doing()
    while True:
        await trio.sleep(_LOOK_S)
        now = trio.current_time()
        if doing() != what:
            what, began = doing(), now
        if log.last_seq != seen:
            seen, since = log.last_seq, now
        elif what is not None and now >= since + silence_s:
            log.say(f"{what}: {now - began:.0f} s so far")
            seen, since = log.last_seq, now
