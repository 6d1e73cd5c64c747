"""What the service itself says on a relayed connection."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

import trio

from preview.http.relay.heads import own_answer
from preview.http.relay.reading import RECEIVE_BYTES
from preview.proxy.admission import OwnAnswer
from preview.proxy.relay import Ask, Link, Unclean, body_of

if TYPE_CHECKING:
    from preview.http.relay.connection import Connection

# For an answer of the service's own, and for a client to read it before the connection is closed on its bytes.
_LAST_WORDS_S = 5.0
_LINGER_S = 1.0


async def answer_instead(connection: Connection, ask: Ask, own: OwnAnswer) -> bool:
    """Answer in the preview's place; whether the next request may come.

    Raises:
        ClientGone: Nobody takes it.

    Cancellation: part of it may have been sent.
    """
    link = connection.link
    body = body_of(ask.length)
    came, link.rest = link.rest, b""
    try:
        if body.is_over:
            body.rest = came
        elif came:
            body.feed(memoryview(came))
    except Unclean:
        body = body_of(1)
    closes = ask.closes or not body.is_over or connection.relay.is_draining
    link.rest = body.rest
    await say(connection, own, is_head=ask.method == b"HEAD", closes=closes)
    return not closes


async def say(connection: Connection, own: OwnAnswer, *, is_head: bool, closes: bool) -> None:
    """Send an answer of the service's own.

    Args:
        connection: To whom.
        own: The answer.
        is_head: Whether the method was HEAD.
        closes: Whether the connection ends behind it.

    Raises:
        ClientGone: Nobody takes it.

    Cancellation: part of it may have been sent.
    """
    connection.deadline = monotonic() + _LAST_WORDS_S
    date = connection.relay.dates.now()
    await connection.link.send(own_answer(own, is_head=is_head, closes=closes, date=date))
    if closes:
        await linger(connection.link)


async def say_at_last(connection: Connection, own: OwnAnswer, *, is_head: bool) -> None:
    """As ``say``, on a connection that nobody looks after any more. As there, also when cancelled."""
    with trio.move_on_after(_LAST_WORDS_S):
        await say(connection, own, is_head=is_head, closes=True)


async def linger(link: Link) -> None:
    """Say that it is over, and read on for a moment: closing upon unread bytes would reset the answer.

    Raises:
        ClientGone: The client does not wait for it.

    Cancellation: it is not waited for.
    """
    link.end()
    with trio.move_on_after(_LINGER_S):
        while await link.receive(RECEIVE_BYTES):
            pass
