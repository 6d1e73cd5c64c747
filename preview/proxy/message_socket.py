"""A WebSocket connection to a preview, read and written message by message.

It uses wsproto, which reads and writes the frames (RFC 6455), instead of a full client. So this module can limit the
size of messages and of refused handshakes, whatever the preview sends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from preview.errors import UpstreamFailed
from preview.proxy.http1 import Field
from preview.proxy.network_stream import UpstreamGone
from preview.proxy.pool import Address, UpstreamConnection, connect

# The smallest frame has two bytes, and each takes some 10 µs of the service: other tasks run after each piece.
_PIECE_BYTES = 8 * 1024
# Most bytes of a refusal's content: a sentence or a small page.
_MAX_REFUSAL_BYTES = 64 * 1024
_TOO_BIG = 1009
# Registered with IANA: a gateway received an invalid response.
_BAD_GATEWAY = 1014
_NO_CODE = 1005
_NORMAL = 1000


@dataclass(frozen=True, slots=True)
class Accepted:
    """The preview accepted the handshake.

    Attributes:
        subprotocol: The subprotocol that the preview chose; None for none.
        fields: Header fields of the response.
    """

    subprotocol: str | None
    fields: list[Field]


@dataclass(frozen=True, slots=True)
class Rejected:
    """The preview refused the handshake with an ordinary response.

    Attributes:
        status: HTTP status.
        fields: All header fields.
        body: Content up to the size limit.
    """

    status: int
    fields: list[Field]
    body: bytes


@dataclass(frozen=True, slots=True)
class Closed:
    """The preview has closed the WebSocket, or its connection broke.

    Attributes:
        code: A code that may be forwarded (RFC 6455 section 7.4).
        reason: Up to 123 bytes.
    """

    code: int
    reason: str


class MessageSocket:
    """One WebSocket. One task may read, any number may write. Made by ``open_message_socket``."""

    def __init__(self, link: UpstreamConnection, max_message_bytes: int) -> None:
        self._link = link
        self._max_bytes = max_message_bytes
        self._frames = WSConnection(ConnectionType.CLIENT)
        self._events: deque[Event] = deque()
        self._lock = trio.Lock()

    async def shake_hands(
        self, host: bytes, target: bytes, fields: Sequence[Field], subprotocols: Sequence[str]
    ) -> Accepted | Rejected:
        """Perform the opening handshake.

        Raises:
            UpstreamFailed: The preview gave no valid response.

        Cancellation: the connection must not be used further.
        """
        request = Request(
            host=host.decode("latin-1"),
            target=target.decode("latin-1"),
            subprotocols=list(subprotocols),
            extra_headers=list(fields),
        )
        await self._send(request)
        event = await self._next()
        if isinstance(event, AcceptConnection):
            return Accepted(event.subprotocol, list(event.extra_headers))
        if not isinstance(event, RejectConnection):
            raise UpstreamFailed("The preview closed the connection without an answer.")
        body = bytearray()
        while event.has_body and len(body) < _MAX_REFUSAL_BYTES:
            more = await self._next()
            if not isinstance(more, RejectData):
                break
            body += more.data
            if more.body_finished:
                break
        return Rejected(event.status_code, list(event.headers), bytes(body[:_MAX_REFUSAL_BYTES]))

    async def send(self, message: str | bytes) -> None:
        """Send one message, unless the preview has closed. Cancellation: as for ``shake_hands``."""
        await self._send(TextMessage(data=message) if isinstance(message, str) else BytesMessage(data=message))

    async def close(self, code: int, reason: str = "") -> None:
        """Send a close frame; the connection stays open. Cancellation: as for ``shake_hands``."""
        await self._send(CloseConnection(code=code, reason=reason or None))

    async def receive(self) -> str | bytes | Closed:
        """Return the next message or the end; answer pings. Cancellation: a partial message is lost."""
        parts: list[str | bytes] = []
        size = 0
        while True:
            try:
                event = await self._next()
            except UpstreamFailed:
                return Closed(_BAD_GATEWAY, "the preview broke the connection")
            if isinstance(event, Ping):
                await self._send(event.response())
            elif isinstance(event, CloseConnection):
                await self._send(event.response())
                return Closed(_NORMAL if event.code == _NO_CODE else int(event.code), event.reason or "")
            elif isinstance(event, Message):
                size += len(event.data)
                if size > self._max_bytes:
                    await self.close(_TOO_BIG, "the message is too long")
                    return Closed(_TOO_BIG, "the preview's message is too long")
                # Empty parts without end would fill the memory all the same.
                if event.data or not parts:
                    parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
                if event.message_finished:
                    return _joined(parts)

    async def _send(self, event: Event) -> None:
        try:
            data = self._frames.send(event)
        except LocalProtocolError:
            # The preview has closed meanwhile; the reader finds out.
            return
        async with self._lock:
            try:
                await self._link.send(data)
            except UpstreamGone:
                return

    async def _next(self) -> Event:
        while not self._events:
            try:
                data = await self._link.receive(_PIECE_BYTES)
            except UpstreamGone as error:
                raise UpstreamFailed("The preview broke the connection.") from error
            if not data:
                raise UpstreamFailed("The preview broke the connection.")
            await self._understand(data)
        return self._events.popleft()

    async def _understand(self, data: bytes) -> None:
        wrong: RemoteProtocolError | None = None
        try:
            self._frames.receive_data(data)
            self._events.extend(self._frames.events())
        except RemoteProtocolError as error:
            wrong = error
        if wrong is None:
            return
        if wrong.event_hint is not None:
            await self._send(wrong.event_hint)
        raise UpstreamFailed(f"The preview violates the WebSocket protocol ({wrong}).") from wrong


def _joined(parts: list[str | bytes]) -> str | bytes:
    if isinstance(parts[0], str):
        return "".join(part for part in parts if isinstance(part, str))
    return b"".join(part for part in parts if isinstance(part, bytes))


@asynccontextmanager
async def open_message_socket(address: Address, max_message_bytes: int) -> AsyncIterator[MessageSocket]:
    """Provide a connection for one WebSocket, closed at the end.

    Raises:
        PreviewUnavailable: The address does not accept connections.

    Cancellation: the connection is closed at once.
    """
    link = await connect(address)
    try:
        yield MessageSocket(link, max_message_bytes)
    finally:
        link.close()
