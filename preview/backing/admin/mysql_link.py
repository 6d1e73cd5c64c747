"""A connection to a MySQL server that has greeted: its session may begin, encrypted if the server's address says so."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import trio

from preview.backing.streams import read_exactly
from preview.backing.wire.mysql import (
    HEAD_BYTES,
    Answer,
    ask_for_tls,
    frame,
    log_in,
    prove,
    read_greeting,
    read_head,
    read_switch,
)

# Returns the encrypted connection in place of the plain one.
Encrypt = Callable[[trio.SocketStream], Awaitable[trio.SocketStream]]


@dataclass(frozen=True, slots=True)
class Link:
    """A connection whose server has sent its first packet.

    Attributes:
        stream: The connection; plain until ``log_in``.
        sequence: Sequence number of this packet.
        greeting: Its content: a greeting, or an error.
        encrypt: Encrypts the connection once the server was asked to; None if it stays plain.
    """

    stream: trio.SocketStream
    sequence: int
    greeting: bytes
    encrypt: Encrypt | None = None

    def close(self) -> None:
        """Close the connection at once."""
        self.stream.socket.close()


async def open_link(stream: trio.SocketStream) -> Link:
    """Read the server's first packet.

    Raises:
        SessionEnded, NotMysql: There is none; the connection is closed.

    Cancellation: the connection is closed.
    """
    is_open = False
    try:
        sequence, greeting = await read_packet(stream)
        is_open = True
    finally:
        if not is_open:
            stream.socket.close()
    return Link(stream, sequence, greeting)


def linked(connect: Callable[[], Awaitable[trio.SocketStream]]) -> Callable[[], Awaitable[Link]]:
    """Return what connects, and reads the server's first packet. The link stays plain."""

    async def connect_link() -> Link:
        return await open_link(await connect())

    return connect_link


async def log_in_to(
    link: Link, answer: Answer, user: str, password: str, database: str
) -> tuple[trio.SocketStream, bytes]:
    """Log in; return the connection, and what the server says.

    Args:
        link: The connection. It is closed if this fails, and must not be used any more.
        answer: Wishes for the session.
        user: User.
        password: Its password, which is proved, never sent.
        database: Database; none if it is empty.

    Raises:
        SessionEnded, NotMysql, ServerUnavailable, trio.BrokenResourceError: There is no session.

    Cancellation: the connection is closed.
    """
    stream, sequence = link.stream, link.sequence + 1
    is_answered = False
    try:
        content = log_in(answer, read_greeting(link.greeting).salt, user, password, database)
        if link.encrypt is not None:
            request, content = ask_for_tls(content)
            await stream.send_all(frame(sequence, request))
            stream, sequence = await link.encrypt(stream), sequence + 1
        await stream.send_all(frame(sequence, content))
        sequence, said = await read_packet(stream)
        salt = read_switch(said)
        if salt is not None:
            await stream.send_all(frame(sequence + 1, prove(password, salt)))
            _, said = await read_packet(stream)
        is_answered = True
    finally:
        if not is_answered:
            stream.socket.close()
    return stream, said


async def read_packet(stream: trio.SocketStream) -> tuple[int, bytes]:
    """Return a packet's sequence number and content, of at least one byte.

    Raises:
        SessionEnded, NotMysql: There is none, or it is too long.

    Cancellation: what was read is lost.
    """
    size, sequence = read_head(await read_exactly(stream, HEAD_BYTES))
    return sequence, await read_exactly(stream, size)
