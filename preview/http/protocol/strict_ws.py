"""WebSockets within bounds that Hypercorn leaves open.

Hypercorn says 1009 to a message that is too long, and then goes on reading it into memory. And it agrees to
``permessage-deflate`` (RFC 7692), where 64 KiB may become 64 MiB before anybody looks at the length; nothing here needs
it.
"""

from __future__ import annotations

from collections.abc import Iterable

from hypercorn.protocol.events import Event, StreamClosed
from hypercorn.protocol.ws_stream import WSStream

EXTENSIONS = b"sec-websocket-extensions"
"""The field in which a client offers them."""


def without_extensions(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """The fields of a handshake, as of a client that offers no extension."""
    return [(name, value) for name, value in fields if name.lower() != EXTENSIONS]


class StrictWSStream(WSStream):
    """Hypercorn's WebSocket, which ends with a message that is too long."""

    @classmethod
    def take_over(cls, other: WSStream) -> None:
        """Let it be one of these: its handshake came, and nothing else yet."""
        # Hypercorn has no place where another class could be named, and has given the object away by now.
        other.__class__ = cls

    def bound_messages(self, characters: int) -> None:
        """Take no longer messages than this from now on."""
        self.buffer.max_length = min(self.buffer.max_length, characters)

    async def handle(self, event: Event) -> None:
        """Take what came. Cancellation: as Hypercorn does it."""
        await super().handle(event)
        if not self.closed and self.buffer.length > self.buffer.max_length:
            self.buffer.clear()
            await self.send(StreamClosed(stream_id=self.stream_id))
