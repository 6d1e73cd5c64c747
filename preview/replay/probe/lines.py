"""Lines that a trial prints while it handles one request, and the error that they show."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence

import trio

from preview.logs import Batch, LogLine
from preview.replay.probe.result import ProbeLine
from preview.supervisor import LivePreview

_MOST_LINES = 200
_MOST_SHOWN = 30
_MOST_TEXT = 500
# Lines follow an answer within a moment, if the application prints any.
_WAIT_S = 0.25
_SETTLE_S = 0.005
_MOST_MISSES = 4
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}m")
_ERROR = re.compile(
    r"(?:[A-Za-z_]\w{0,80}\.){0,8}[A-Za-z_]\w{0,80}(?:Error|Exception|Exit|DoesNotExist|Failure|Timeout)\b"
)
_PYTHON_FRAME = re.compile(r'\s{1,16}File "([^"]{1,300})", line (\d{1,9})(?:, in (.{1,100}))?')
_NODE_FRAME = re.compile(r"\s{1,16}at (?:(.{1,100}) \()?([^()]{1,300}):(\d{1,9}):\d{1,9}\)?$")
_FOREIGN = ("site-packages/", "node_modules/", "<frozen", "node:", "/lib/python", "dist-packages/")


class TrialLines:
    """Lines since the last request. The probe sends one at a time, so all lines without a request's id belong to it.

    Add it to the trial's observers: ``TrialOptions(observers=(lines.observe,))``.
    """

    watchers = 0

    def __init__(self) -> None:
        self._lines: deque[LogLine] = deque(maxlen=_MOST_LINES)
        self._arrived = trio.Event()
        self._misses = 0
        self._request_id = ""
        self._has_error = False

    def observe(self, preview: LivePreview) -> None:
        """Listen to a preview's lines."""
        preview.log.broadcast.add(self)

    def offer(self, event: object) -> None:
        """Keep the lines of an event. Called by the broadcast; never waits."""
        if isinstance(event, Batch):
            for line in event.lines[-_MOST_LINES:]:
                if line.request_id in (None, self._request_id):
                    self._lines.append(line)
                    self._has_error |= _ERROR.match(line.message[:_MOST_TEXT]) is not None
            if self._has_error:
                self._arrived.set()

    def begin(self, request_id: str) -> None:
        """Forget all lines: a request follows."""
        self._lines.clear()
        self._request_id, self._has_error = request_id, False
        self._arrived = trio.Event()

    async def wait(self) -> None:
        """Wait a moment for an error's lines, unless the application seems to print none.

        Cancellation: no line is lost.
        """
        if self._misses >= _MOST_MISSES:
            return
        with trio.move_on_after(_WAIT_S) as scope:
            await self._arrived.wait()
        self._misses = self._misses + 1 if scope.cancelled_caught else 0
        # Node prints the frames after the error, and Python may print a second error.
        await trio.sleep(_SETTLE_S)

    def shown(self) -> tuple[ProbeLine, ...]:
        """Return the last lines."""
        return tuple(
            ProbeLine(line.seq, str(line.level), _COLOUR.sub("", line.message[:_MOST_TEXT]))
            for line in list(self._lines)[-_MOST_SHOWN:]
        )

    def error(self) -> tuple[str, str]:
        """Return kind and message of the error, and its deepest own place; each may be empty."""
        return error_in([_COLOUR.sub("", line.message[:_MOST_TEXT]) for line in self._lines])


def error_in(messages: Sequence[str]) -> tuple[str, str]:
    """Return the last error in some lines, and its deepest own place. Linear in the lines, each cut before.

    Python prints frames before the error, the deepest last; Node prints the error first, then the deepest frame.
    """
    error, before, after = "", "", ""
    for message in messages:
        if found := _PYTHON_FRAME.match(message):
            before = _place(found[1], found[2], found[3]) or before
        elif found := _NODE_FRAME.match(message):
            after = after or _place(found[2], found[3], found[1])
        elif _ERROR.match(message):
            error, after = message[:200], ""
    return error, after or before


def _place(file: str, line: str, function: str | None) -> str:
    """Return a frame for people; empty if it is no file of the project."""
    if file.startswith("<") or any(part in file for part in _FOREIGN):
        return ""
    return f"{file.rpartition('/')[2]}:{line}" + (f" in {function}" if function else "")
