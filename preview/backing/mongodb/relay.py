"""A preview's connection to its own database: each command is executed there, whatever database it names."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

import trio

from preview.backing.mongodb.wire import (
    BODY_AT,
    CHECKSUM,
    CHECKSUM_BYTES,
    HEAD_BYTES,
    HELLOS,
    LOGINS,
    MESSAGE,
    QUERY,
    REPLY,
    Head,
    NotMongodb,
    as_one_server,
    command_of,
    read_head,
    redirect,
    redirect_query,
    refusal,
    split_start,
    write_head,
)
from preview.backing.streams import Reader, SessionEnded

_CHUNK_BYTES = 64 * 1024
# The first command of a client, and its answer.
_MOST_HELLO_BYTES = 64 * 1024
# First commands whose answer has not come: clients wait for it.
_MOST_WAITING = 16
# Commands of this size are kept in memory one after the other: each may have 17 MiB.
_LARGE_BYTES = 1024 * 1024
_LARGE_AT_ONCE = 4
# Time to carry one, so that a client that stops in its middle does not keep other previews' commands waiting.
_LARGE_S = 15.0
_FAILED = 18
_NO_LOGIN = (
    "this preview's MongoDB accepts no user name or password: remove them from the address (mongodb://mongo:27017/shop)"
)


class Relay:
    """Carries one connection.

    Args:
        client: The preview's end.
        server: The server's end, logged in as the preview's user.
        database: Name of the preview's own database.
        large: Limits how many large commands of all previews are in memory.
        own_large: The same for this preview: it never has all places.
    """

    def __init__(
        self,
        client: trio.SocketStream,
        server: trio.SocketStream,
        database: str,
        large: trio.CapacityLimiter,
        own_large: trio.CapacityLimiter,
    ) -> None:
        self._client = client
        self._server = server
        self._database = database
        self._large = large
        self._own_large = own_large
        self._from_client = Reader(client)
        self._from_server = Reader(server)
        # One message at a time: the service answers some commands itself.
        self._to_client = trio.Lock()
        # Numbers of first commands whose answer is rewritten.
        self._hellos: set[int] = set()

    async def run(self) -> None:
        """Carry messages until one side has ended. Cancellation: nothing is closed; the caller does."""
        async with trio.open_nursery() as nursery:

            async def carry(is_answers: bool) -> None:
                with suppress(SessionEnded, NotMongodb, trio.BrokenResourceError, trio.ClosedResourceError):
                    while True:
                        await (self._carry_answer() if is_answers else self._carry_command())
                nursery.cancel_scope.cancel()

            nursery.start_soon(carry, True)
            nursery.start_soon(carry, False)

    async def _carry_command(self) -> None:
        head = read_head(await self._from_client.read(HEAD_BYTES))
        if head.code == MESSAGE:
            await self._carry_message(head)
        elif head.code == QUERY and head.left <= _MOST_HELLO_BYTES:
            content = redirect_query(await self._from_client.read(head.left))
            self._expect_hello(head)
            await self._server.send_all(write_head(head, len(content)) + content)
        else:
            raise NotMongodb("an unsupported message format")

    async def _carry_message(self, head: Head) -> None:
        if head.left < BODY_AT + CHECKSUM_BYTES:
            raise NotMongodb("a message that is too short")
        start = await self._from_client.read(BODY_AT + 4)
        flags, size = split_start(start)
        left = head.left - BODY_AT - size
        if left < 0:
            raise NotMongodb("a command of a wrong size")
        if size > _LARGE_BYTES:
            async with self._own_large, self._large:
                is_sent = False
                with trio.move_on_after(_LARGE_S) as scope:
                    is_sent = await self._carry_body(head, start, size, left, flags)
                if scope.cancelled_caught:
                    raise SessionEnded
        else:
            is_sent = await self._carry_body(head, start, size, left, flags)
        if is_sent:
            left -= CHECKSUM_BYTES if flags & CHECKSUM else 0
            async for chunk in self._read_rest(left):
                await self._server.send_all(chunk)
            await self._from_client.skip(CHECKSUM_BYTES if flags & CHECKSUM else 0)
        else:
            await self._from_client.skip(left)

    async def _carry_body(self, head: Head, start: bytes, size: int, left: int, flags: int) -> bool:
        """Pass a command on; return false if the service has answered it."""
        body = start[BODY_AT:] + await self._from_client.read(size - 4)
        name = command_of(body)
        if name in LOGINS:
            async with self._to_client:
                await self._client.send_all(refusal(head, _NO_LOGIN, _FAILED))
            return False
        body = redirect(body, self._database)
        if name in HELLOS:
            self._expect_hello(head)
        has_checksum = bool(flags & CHECKSUM)
        left -= CHECKSUM_BYTES if has_checksum else 0
        if left < 0:
            raise NotMongodb("a checksum that is too short")
        kept = (flags & ~CHECKSUM).to_bytes(4, "little") + b"\0"
        await self._server.send_all(write_head(head, BODY_AT + len(body) + left) + kept + body)
        return True

    def _expect_hello(self, head: Head) -> None:
        if len(self._hellos) >= _MOST_WAITING:
            raise NotMongodb("too many first commands")
        self._hellos.add(head.number)

    async def _read_rest(self, left: int) -> AsyncIterator[bytes]:
        while left:
            chunk = await self._from_client.read(min(left, _CHUNK_BYTES))
            left -= len(chunk)
            yield chunk

    async def _carry_answer(self) -> None:
        head = read_head(await self._from_server.read(HEAD_BYTES))
        if head.answers in self._hellos:
            self._hellos.discard(head.answers)
            if head.left > _MOST_HELLO_BYTES or head.code not in (MESSAGE, REPLY):
                raise NotMongodb("no answer to a first command")
            content = as_one_server(head.code, await self._from_server.read(head.left))
            async with self._to_client:
                await self._client.send_all(write_head(head, len(content)) + content)
            return
        async with self._to_client:
            await self._client.send_all(write_head(head, head.left))
            left = head.left
            while left:
                chunk = await self._from_server.read(min(left, _CHUNK_BYTES))
                left -= len(chunk)
                await self._client.send_all(chunk)


def large_commands() -> trio.CapacityLimiter:
    """Return a limit for the large commands of all previews."""
    return trio.CapacityLimiter(_LARGE_AT_ONCE)


def own_large_commands() -> trio.CapacityLimiter:
    """Return a limit for the large commands of one preview."""
    return trio.CapacityLimiter(1)


async def refuse(client: trio.SocketStream, sentence: str) -> None:
    """Answer the client's first command with a sentence.

    Raises:
        SessionEnded, NotMongodb, trio.BrokenResourceError: The client has gone.

    Cancellation: it may have no answer.
    """
    head = read_head(await Reader(client).read(HEAD_BYTES))
    await client.send_all(refusal(head, sentence, _FAILED))
