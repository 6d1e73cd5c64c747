"""The rules by which a log stream is read to its end over broken connections, without input or output."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, TypeVar

from httpx2 import ServerSentEvent

from preview.client.calls import Call
from preview.client.errors import InvalidAnswer, PreviewProblem, Unreachable

E = TypeVar("E")

# Seconds before each attempt to connect again; about a minute in total, enough for a restart of the service.
RESUME_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0)
# Seconds without a byte after which the connection counts as broken; the service sends a comment every 15 s.
_SILENCE_S = 60.0
_PASSING = frozenset({502, 503, 504})
_TOO_MANY = 429
_NO_CONTENT = 204
_NUMBER = re.compile(r"[0-9]{1,18}")


class LogFollower(Generic[E]):
    """State of one reader of ``GET …/preview/logs/stream``.

    A driver repeats: wait ``pause_s``, send ``call()``, pass the status to ``opened`` and each event to ``take``, then
    report the end of the connection to ``closed`` or ``broken``; until ``is_over``. A line is returned once, whatever
    the service sends: lines up to the last number are dropped.

    Args:
        path: Path of the stream, below ``/api/v1``.
        parse: Makes what the driver yields from an event and its data; None to leave it out.
        params: Filter and start of the stream.
        headers: Additional headers.
        follow: Whether to read on after the newest line.
        pauses_s: Seconds before each further attempt without an event in between.

    Attributes:
        is_over: No event will follow.
        must_reopen: The connection is of no use any more.
        needs_token: The token has expired.
        pause_s: Seconds to wait before the next connection.
    """

    def __init__(
        self,
        path: str,
        parse: Callable[[ServerSentEvent, dict[str, Any]], E | None],
        params: Mapping[str, str | int] = MappingProxyType({}),
        headers: Mapping[str, str] = MappingProxyType({}),
        *,
        follow: bool = True,
        pauses_s: Sequence[float] = RESUME_PAUSES_S,
    ) -> None:
        self._path = path
        self._parse = parse
        self._params = dict(params)
        self._headers = {"Accept": "text/event-stream", **headers}
        self._follow = follow
        self._pauses_s = pauses_s
        self._failures = 0
        self._was_open = False
        self._wants_end = False
        self._last_id = ""
        self._last_seq = 0
        self.is_over = False
        self.must_reopen = False
        self.needs_token = False
        self.pause_s = 0.0

    @property
    def last_seq(self) -> int:
        """Number of the last line that was returned; 0 before the first."""
        return self._last_seq

    def call(self) -> Call:
        """Return the request of the next connection."""
        self.must_reopen = self.needs_token = False
        params, headers = dict(self._params), dict(self._headers)
        if not self._follow:
            params["follow"] = "false"
        if self._last_id:
            params.pop("tail", None)
            headers["Last-Event-ID"] = self._last_id
        return Call("GET", self._path, params=params, headers=headers, timeout_s=_SILENCE_S)

    def opened(self, status: int) -> bool:
        """Accept a successful response; return false if nothing follows."""
        self._was_open = True
        if status != _NO_CONTENT:
            return True
        # The preview has ended, and no line follows: the end alone is left.
        self.is_over = self._wants_end
        self._wants_end, self._last_id, self.pause_s = True, "", 0.0
        self._params.pop("after", None)
        self._params["tail"] = 0
        return False

    def take(self, event: ServerSentEvent) -> E | None:
        """Accept an event; return what the reader gets, or None.

        Raises:
            InvalidAnswer: It is not an event of the service.
        """
        if _NUMBER.fullmatch(event.id):
            self._last_id = event.id
        if not event.data:
            # The preamble, or a number without a line: an event without data is not dispatched (WHATWG HTML, 9.2.6).
            return None
        self._failures = 0
        if event.event == "expired":
            self.must_reopen = self.needs_token = True
            return None
        if event.event == "message" and self._is_known(event.id):
            return None
        data = _object(event.data)
        if event.event == "status" and "preview_id" not in self._params and isinstance(data.get("id"), str):
            # A later launch has a log of its own: its numbers must not continue this one's.
            self._params["preview_id"] = data["id"]
        if event.event == "end":
            self.is_over = self.must_reopen = True
        return self._parse(event, data)

    def closed(self, url: str) -> None:
        """Note that the connection has ended without an error.

        Raises:
            Unreachable: This was the last attempt.
        """
        if self.is_over or self.needs_token:
            self.pause_s = 0.0
        elif not self._follow:
            self.is_over = True
        else:
            self.broken(Unreachable(url, "the stream ended before the preview did"))

    def broken(self, error: Unreachable | PreviewProblem) -> None:
        """Note that the connection has failed.

        Raises:
            Unreachable, PreviewProblem: The same error, if there is no further attempt.
        """
        if self._failures >= len(self._pauses_s) or not self._passes(error):
            raise error
        self.pause_s = self._pauses_s[self._failures]
        self._failures += 1

    def _passes(self, error: Unreachable | PreviewProblem) -> bool:
        if isinstance(error, Unreachable):
            return True
        # The service may count the broken stream among the user's for a moment.
        return error.status in _PASSING or (error.status == _TOO_MANY and self._was_open)

    def _is_known(self, number: str) -> bool:
        if not _NUMBER.fullmatch(number):
            raise InvalidAnswer("The log stream has a line without a number, so it is not from a preview service.")
        seq = int(number)
        if seq <= self._last_seq:
            return True
        self._last_seq = seq
        return False


def _object(text: str) -> dict[str, Any]:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidAnswer("The log stream has an event that is not JSON.") from error
    if not isinstance(data, dict):
        raise InvalidAnswer("The log stream has an event that is not a JSON object.")
    return data
