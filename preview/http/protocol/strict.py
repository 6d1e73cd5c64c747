"""HTTP/1.1, parsed as strictly as RFC 9112 allows a server to be.

If two readers of one byte stream disagree about the end of a request, an attacker can smuggle a request past the first,
usually a proxy. h11 is lenient where the RFC allows it. This module refuses everything that another reader might read
differently, and closes the connection after the response.
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
    400: "The request is not valid HTTP (RFC 9112); the connection is closed.",
    431: f"The request's head has more than {MAX_FIELDS} fields or is too long; send less.",
    501: "The only Transfer-Encoding that is understood is 'chunked'; the connection is closed.",
}
_CODES = {431: "head_too_large"}


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class _StrictBuffer(ReceiveBuffer):
    """h11's buffer with bounded heads and trailers, whose lines end with CR LF and are not folded.

    Args:
        limit_bytes: Most bytes of a head.
    """

    def __init__(self, limit_bytes: int) -> None:
        super().__init__()
        self._limit_bytes = limit_bytes

    def maybe_extract_lines(self) -> list[bytearray] | None:
        """Return the lines before the first empty line; None if it has not arrived yet.

        Raises:
            LocalProtocolError: The lines are too long or not strictly written.
        """
        if self._data.startswith(b"\r\n"):
            self._extract(2)
            return []
        begin = max(0, self._multiple_lines_search - len(_HEAD_END))
        end = self._data.find(_HEAD_END, begin)
        if end > self._limit_bytes:
            _refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        if end < 0:
            # h11 bounds incomplete heads; one that is already malformed is refused at once.
            if _BARE_LF.search(self._data, begin) or self._data.startswith(b"\n"):
                _refuse(HTTPStatus.BAD_REQUEST)
            self._multiple_lines_search = len(self._data)
            return None
        head = self._extract(end + len(_HEAD_END))
        if _BAD.search(head):
            _refuse(HTTPStatus.BAD_REQUEST)
        return head[: -len(_HEAD_END)].split(b"\r\n")


def _refuse(status: HTTPStatus) -> NoReturn:
    raise h11.LocalProtocolError("the head is malformed or too long", error_status_hint=status)


def problem_answer(status: int, code: str, sentence: str) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Return the fields and content of a response to a request that never reached the application."""
    body = EarlyProblem.body(HTTPStatus(status), code, sentence)
    fields = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
        (b"x-content-type-options", b"nosniff"),
    ]
    return fields, body


class StrictH11Protocol(H11Protocol):
    """Hypercorn's HTTP/1.1 with strict heads, without upgrade to clear-text HTTP/2, and with descriptive errors.

    The upgrade (``h2c``) was removed from HTTP (RFC 9113 section 3.1). A proxy that forwards it no longer sees the
    following requests.
    """

    def __init__(self, *connection: *ConnectionArguments) -> None:
        super().__init__(*connection)
        limit_bytes = self.config.h11_max_incomplete_size
        self.connection = h11.Connection(h11.SERVER, max_incomplete_event_size=limit_bytes)
        # h11 offers no public way; it is pinned, and tests/http/test_http_edge_smuggling.py would detect a change.
        self.connection._receive_buffer = _StrictBuffer(limit_bytes)  # noqa: SLF001
        self._peer = Peer(self)
        # Each request's scope gets a copy of this.
        self.connection_state = ConnectionState({**self.connection_state, PEER_KEY: self._peer})

    async def handle(self, event: Event) -> None:
        """Handle received data. Cancellation: as in Hypercorn."""
        self._peer.heard()
        await super().handle(event)
        await end_overlong(self.stream)

    async def stream_send(self, event: StreamEvent) -> None:
        """Send a part of a response. Cancellation: as in Hypercorn."""
        is_early = self.connection.their_state is h11.SEND_BODY
        if is_early and isinstance(event, Response) and event.status_code >= HTTPStatus.OK:
            # Hypercorn closes a connection whose request was not fully read. A client that is not informed would send
            # its next request there (RFC 9112 section 9.6).
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
            # Otherwise Hypercorn's HTTP/2 would wait forever: the request line has marked the connection as busy.
            await self.send(Updated(idle=True))
            await super()._check_protocol(event)
        if event.http_version not in {b"1.0", b"1.1"}:
            raise _Refused(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
        names = [name for name, _ in event.headers]
        if len(names) > MAX_FIELDS:
            raise _Refused(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        # RFC 9112 section 6.1: both lengths, or chunks in HTTP/1.0, are a sign of request smuggling.
        if b"transfer-encoding" in names and (b"content-length" in names or event.http_version < b"1.1"):
            raise _Refused(HTTPStatus.BAD_REQUEST)

    async def _send_error_response(self, status_code: int) -> None:
        """Respond to a request that never reached the application."""
        sentence = _SENTENCES.get(status_code, f"{HTTPStatus(status_code).phrase}.")
        fields, body = problem_answer(status_code, _CODES.get(status_code, "invalid_request"), sentence)
        fields += [(b"connection", b"close"), *self.config.response_headers("h11")]
        await self._send_h11_event(h11.Response(status_code=status_code, headers=fields))
        await self._send_h11_event(h11.Data(data=body))
        await self._send_h11_event(h11.EndOfMessage())
