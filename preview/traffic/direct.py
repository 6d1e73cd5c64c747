"""Requests at a preview's own port, as its application reports them. Nothing in a report is verified.

The service does not see these requests. A launcher sends ``request DROPPED METHOD STATUS MICROSECONDS ID TARGET`` for
each over the control channel (``runtime/launchers/preview_requests.py``). The application may send what it likes, so a
report can only become a record of origin ``direct`` of its own preview, and few of them in a second.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from time import monotonic
from typing import Final, Protocol

from preview.core.bounded_dict import BoundedDict
from preview.core.clock import now_ms
from preview.core.ids import REQUEST_ID, REQUEST_MARK
from preview.traffic.draft import Draft
from preview.traffic.record import Origin, Who

REPORT: Final = b"request "
"""Start of each report."""
MOST_PER_S: Final = 100
"""Reports that become records in one second; launchers send no more."""

# Ids from clients, of requests that the service has carried, that no report has named yet.
_MOST_CARRIED = 1000
_MOST_DROPPED = 1_000_000
_MOST_MICROSECONDS = 10**10
_REPORT = re.compile(
    rb"request ([0-9]{1,7}) ([A-Z]{1,24}) ([0-9]{1,3}) ([0-9]{1,11}) (" + REQUEST_ID.encode() + rb") (/[!-~]{0,1023})"
)
_STATUSES = range(100, 600)
# The number of the newest line is noted this often, to tell later which line was a request's first.
_LOOK_S = 0.2
# Lines before the report among which a request's first one is sought.
_MOST_LINES = 1000


class LineNumbers(Protocol):
    """Source of the number of the newest log line."""

    last_seq: int

    async def read_on(self) -> None:
        """Read what the preview has printed until now. Cancellation: nothing changes."""


class Recorder(Protocol):
    """The preview's recorder, see ``PreviewTraffic``."""

    reload: int
    lines: LineNumbers

    @property
    def is_off(self) -> bool:
        """True if requests are not recorded."""

    def record(self, draft: Draft) -> int:
        """Queue a request for the database."""

    def lose_records(self, count: int) -> None:
        """Count lost records."""


class DirectReports:
    """The reports of one preview's processes.

    Args:
        recorder: Records the requests.

    Attributes:
        ask: Called when ``is_wanted`` may have changed; the current process's channel sets it.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.ask: Callable[[], None] = _ignore
        self._recorder = recorder
        self._mark = REQUEST_MARK.encode()
        self._carried: BoundedDict[bytes, int] = BoundedDict(_MOST_CARRIED)
        self._left = 0
        self._second_ends = 0.0
        self._lines = (0.0, 0)
        self._earlier_lines = (0.0, 0)

    @property
    def is_wanted(self) -> bool:
        """True while reports become records."""
        return not self._recorder.is_off

    def carried(self, number: bytes) -> None:
        """Note that the service carries a request with this id: the application's report of it is not a record."""
        if not number.startswith(self._mark):
            self._carried[number] = self._carried.get(number, 0) + 1

    def take(self, line: bytes) -> None:
        """Record a reported request. Never waits.

        Args:
            line: The report, without its end. Untrusted; anything else is ignored.
        """
        found = _REPORT.fullmatch(line)
        if found is None or self._recorder.is_off:
            return
        lost = min(int(found[1]), _MOST_DROPPED)
        number = found[5]
        if not number.startswith(self._mark) and not self._was_carried(number):
            now = monotonic()
            if now >= self._second_ends:
                self._second_ends, self._left = now + 1, MOST_PER_S
            if self._left:
                self._left -= 1
                self._recorder.record(self._draft(found, now))
            else:
                lost += 1
        if lost:
            self._recorder.lose_records(lost)

    def _draft(self, found: re.Match[bytes], now: float) -> Draft:
        took_s = min(int(found[4]), _MOST_MICROSECONDS) / 1e6
        status = int(found[3]) if int(found[3]) in _STATUSES else 0
        return Draft(
            found[5],
            Origin.DIRECT,
            Who.UNKNOWN,
            found[2].decode(),
            found[6],
            status,
            None if status else "no_response",
            now_ms(),
            -1.0,
            -1.0,
            -1.0,
            took_s,
            0,
            0,
            self._recorder.reload,
            self._first_line(now, took_s),
        )

    def _was_carried(self, number: bytes) -> bool:
        count = self._carried.get(number, 0)
        if count > 1:
            self._carried[number] = count - 1
        elif count:
            del self._carried[number]
        return count > 0

    def _first_line(self, now: float, took_s: float) -> int:
        """Return a line not later than the request's first one, as far as the last two looks at the log tell."""
        last = self._recorder.lines.last_seq
        first = max(1, last - _MOST_LINES)
        for looked_at, line in (self._lines, self._earlier_lines):
            if looked_at and looked_at <= now - took_s:
                first = max(first, line + 1)
                break
        if now > self._lines[0] + _LOOK_S:
            self._earlier_lines, self._lines = self._lines, (now, last)
        return first


def _ignore() -> None:
    """Do nothing."""
