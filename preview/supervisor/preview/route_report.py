"""A process's report of its application's routes, received over its control channel.

The service asks ``routes N``. The process responds with lines ``route N TEXT``, one for each route, and ends with
``routes N``. The application controls the process, so a report is data for display and nothing else. It is collected
here within fixed limits; a worker reads it (``preview.endpoints.application``).

Earns the routes that no source shows: those of libraries, of loops and of configuration.
"""

from __future__ import annotations

from typing import Final

import trio

MOST_BYTES: Final = 1024 * 1024
"""Limit of one report in bytes, with the words around it."""
MOST_LINE: Final = 2048
"""Limit of one line in bytes, without its end."""
MOST_ROUTES: Final = 10_000
MOST_REPORTS: Final = 16
"""Limit of requests to one process; the answer is kept, so one is the rule."""
WAIT_S: Final = 2.0


class RouteReport:
    """One requested report.

    Args:
        number: Number of the request; lines with another number are not part of the report.

    Attributes:
        deadline: Time on trio's clock at which nobody waits for it any more.
        over: Set when the report is complete, or cannot become so.
    """

    def __init__(self, number: int) -> None:
        self.deadline = trio.current_time() + WAIT_S
        self.over = trio.Event()
        self._line = b"route %d " % number
        self._end = b"routes %d" % number
        self._lines: list[bytes] = []
        self._is_whole = False

    def take(self, line: bytes) -> None:
        """Add a line of the process; ignore it if it is not part of this report."""
        if self.over.is_set():
            return
        if line == self._end:
            self._is_whole = True
            self.over.set()
        elif line.startswith(self._line):
            self._lines.append(line[len(self._line) :])
            if len(self._lines) > MOST_ROUTES:
                self.give_up()

    def give_up(self) -> None:
        """End the report without a result."""
        self._lines.clear()
        self.over.set()

    @property
    def text(self) -> bytes | None:
        """The lines, each with a line end; None if the report is not complete."""
        return b"".join(line + b"\n" for line in self._lines) if self._is_whole else None
