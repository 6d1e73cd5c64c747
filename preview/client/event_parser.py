"""Server-Sent Events from bytes, in bounded memory, without input or output.

Source: WHATWG HTML, section 9.2.6.
"""

from __future__ import annotations

import httpx2
from httpx2 import ServerSentEvent

from preview.client.errors import InvalidAnswer

# Most bytes of one event. A line has 64 KiB at most, and JSON may take six bytes for one.
MAX_EVENT_BYTES = 1024 * 1024


class EventParser:
    """Parser of one stream.

    Raises:
        InvalidAnswer: The response is no event stream.
    """

    def __init__(self, response: httpx2.Response, max_bytes: int | None = None) -> None:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != "text/event-stream":
            raise InvalidAnswer("The response is not an event stream, so it is not from a preview service.")
        self._max_bytes = max_bytes or MAX_EVENT_BYTES
        self._pieces: list[bytes] = []
        self._after_return = False
        # Bytes of the event so far, those of the incomplete line included.
        self._size = 0
        self._name, self._data, self._id = "", list[str](), ""

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Take bytes; return the events that are complete.

        Raises:
            InvalidAnswer: An event is too large.
        """
        if self._after_return and piece.startswith(b"\n"):
            piece = piece[1:]
        self._after_return = piece.endswith(b"\r")
        *lines, rest = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        found = []
        for line in lines:
            event = self._line(b"".join((*self._pieces, line)), len(line))
            self._pieces.clear()
            if event is not None:
                found.append(event)
        if rest:
            self._count(len(rest))
            self._pieces.append(rest)
        return found

    def _count(self, size: int) -> None:
        self._size += size
        if self._size > self._max_bytes:
            raise InvalidAnswer(f"An event of the stream is larger than {self._max_bytes} bytes.")

    def _line(self, line: bytes, new_bytes: int) -> ServerSentEvent | None:
        if not line:
            return self._dispatch()
        # One byte for the end of the line: also short lines count.
        self._count(new_bytes + 1)
        name, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
        elif name == "":
            # A comment is complete; it must not count for ever where no event comes.
            self._size -= len(line) + 1
        return None

    def _dispatch(self) -> ServerSentEvent:
        event = ServerSentEvent(self._name or "message", "\n".join(self._data), self._id)
        self._name, self._data, self._size = "", [], 0
        return event
