"""A line every few seconds while a part of a launch takes long and prints nothing itself."""

from __future__ import annotations

import trio

from preview.logs import PreviewLog

# As long as for builds: people who read nothing for longer take the launch for dead.
_SILENCE_S = 4.0


async def tell_while_silent(log: PreviewLog, doing: str) -> None:
    """Say ``<doing>: 8 s so far`` after each few seconds without a line. Runs until cancelled."""
    began = trio.current_time()
    while True:
        seen = log.last_seq
        await trio.sleep(_SILENCE_S)
        if log.last_seq == seen:
            log.say(f"{doing}: {trio.current_time() - began:.0f} s so far")
