"""HTTP/1.1 as strict as RFC 9112 lets a server be.

Two readers of one byte stream who disagree about where a request ends let somebody smuggle a request past the first
one, usually a proxy. h11 is lenient where the RFC allows it; here what another reader might take differently is
refused, and the connection is closed behind the answer.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus
from typing import NoReturn

import h11
from h11._receivebuffer import ReceiveBuffer
from hypercorn.config import Config
from hypercorn.events import Closed, Event, Updated
from hypercorn.protocol.events import Event as StreamEvent
from hypercorn.protocol.events import Response
from hypercorn.protocol.h11 import H11Protocol
from hypercorn.typing import AppWrapper, ConnectionState, TaskGroup, WorkerContext

from preview.http.core.answers import EarlyProblem
from preview.http.core.guard import MAX_FIELDS
from preview.http.protocol.strict_ws import EXTENSIONS, PEER_KEY, Peer, end_overlong, without_extensions

Address = tuple[str, int] | None
Send = Callable[[Event], Awaitable[None]]
ConnectionArguments = tuple[AppWrapper, Config, WorkerContext, TaskGroup, ConnectionState, bool, Address, Address, Send]
"""Arguments of Hypercorn's protocols: see ``H11Protocol``."""

_HEAD_END = b"\r\n\r\n"
_BARE_LF = re.compile(rb"(?<!\r)\n")
# Bare CR or LF, a folded line, and control characters (RFC 9110 section 5.5).
_BAD = re.compile(rb"(?<!\r)\n|\r(?!\n)|\n[ \t]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

_SENTENCES = {
    400: "The request is not written by the rules of HTTP (RFC 9112); the connection is closed.",
    431: f"The request's head has more than {MAX_FIELDS} fields or is too long; send less.",
    501: "The only Transfer-Encoding that is understood is 'chunked'; the connection is closed.",
}
_CODES = {431: "head_too_large"}


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _StrictBuffer(ReceiveBuffer):
    """h11's buffer, whose heads and trailers end their lines with CR LF, hold no folded line, and are bounded.

    Args:
        limit_bytes: The longest head.
    """

    def __init__(self, limit_bytes: int) -> None:
        super().__init__()
        self._limit_bytes = limit_bytes

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Return the lines up to the first empty one; None if it has not come yet.

        Raises:
            LocalProtocolError: They are not written strictly, or are too long.
        """
        if self._data.startswith(b"\r\n"):
            self._extract(2)
            return []
        begin = max(0, self._multiple_lines_search - len(_HEAD_END))
        end = self._data.find(_HEAD_END, begin)
        if end > self._limit_bytes:
            _refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if end < 0:
            # h11 bounds what is not complete; a head that will never be right need not be waited for.
            if _BARE_LF.search(self._data, begin) or self._data.startswith(b"\n"):
                _refuse(HTTPStatus.BAD_REQUEST)
            self._multiple_lines_search = len(self._data)
            return None
        head = self._extract(end + len(_HEAD_END))
        if _BAD.search(head):
            _refuse(HTTPStatus.BAD_REQUEST)
        return head[: -len(_HEAD_END)].split(b"\r\n")


def _refuse(status: HTTPStatus) -> NoReturn:
    raise h11.LocalProtocolError("the head is not written strictly or too long", error_status_hint=status)


def problem_answer(status: int, code: str, sentence: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Write the fields and the content of an answer in place of the application's, which never saw the request."""
    body = EarlyProblem.body(HTTPStatus(status), code, sentence)
    fields = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    return fields, body


class StrictH11Protocol(H11Protocol):
    """Hypercorn's HTTP/1.1 with strict heads, no upgrade to clear-text HTTP/2, and errors that say something.

    The upgrade (``h2c``) is gone from HTTP (RFC 9113 section 3.1); a proxy that passes it on loses sight of every
    request that follows.
    """

    def __init__(self, *connection: *ConnectionArguments) -> None:
        super().__init__(*connection)
        limit_bytes = self.config.h11_max_incomplete_size
        self.connection = h11.Connection(h11.SERVER, max_incomplete_event_size=limit_bytes)
        # h11 has no other way in; it is pinned, and tests/http/test_http_edge_smuggling.py would tell.
        self.connection._receive_buffer = _StrictBuffer(limit_bytes)  # noqa: SLF001
        self._peer = Peer(self)
        # Each request's scope gets a copy of this.
        self.connection_state = ConnectionState({**self.connection_state, PEER_KEY: self._peer})

    async def handle(self, event: Event) -> None:
        """Take what came. Cancellation: as Hypercorn does it."""
        self._peer.heard()
        await super().handle(event)
        await end_overlong(self.stream)

    async def stream_send(self, event: StreamEvent) -> None:
        """Send a part of an answer. Cancellation: as Hypercorn does it."""
        is_early = self.connection.their_state is h11.SEND_BODY
        if is_early and isinstance(event, Response) and event.status_code >= HTTPStatus.OK:
            # Hypercorn closes a connection whose request was not read to its end: a client that is not told sends its
            # next one there (RFC 9112 section 9.6).
            event = replace(event, headers=[*event.headers, (b"connection", b"close")])
        await super().stream_send(event)

    async def _handle_events(self) -> None:
        try:
            await super()._handle_events()
        except _Refused as refused:
            await self._send_error_response(refused.status)
            await self.send(Closed())

    async def _create_stream(self, request: h11.Request) -> None:
        if any(name == EXTENSIONS for name, _ in request.headers):
            fields = without_extensions(request.headers.raw_items())
            request = h11.Request(
                method=request.method, target=request.target, headers=fields, http_version=request.http_version
            )
        await super()._create_stream(request)

    async def _check_protocol(self, event: h11.Request) -> None:
        if event.method == b"PRI" and event.http_version == b"2.0":
            # Else hypercorn's HTTP/2, which the request line has told that it is busy, would wait for ever for more.
            await self.send(Updated(idle=True))
            await super()._check_protocol(event)
        if event.http_version not in {b"1.0", b"1.1"}:
            raise _Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        names = [name for name, _ in event.headers]
        if len(names) > MAX_FIELDS:
            raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        # RFC 9112 section 6.1: with both lengths, or chunked before chunks were invented, somebody is being deceived.
        if b"transfer-encoding" in names and (b"content-length" in names or event.http_version < b"1.1"):
            raise _Refused(HTTPStatus.BAD_REQUEST)

    async def _send_error_response(self, status_code: int) -> None:
        """Respond in place of the application, which never saw the request."""
        sentence = _SENTENCES.get(status_code, f"{HTTPStatus(status_code).phrase}.")
        fields, body = problem_answer(status_code, _CODES.get(status_code, "invalid_request"), sentence)
        fields += [(b"connection", b"close"), *self.config.response_headers("h11")]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=fields))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())
