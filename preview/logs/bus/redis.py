"""A connection to Redis whose replies are bounded, and whose server is not trusted.

Libraries read a reply of any size into memory; here a server, or somebody who writes into it, must not decide that.

Source: redis.io, "Redis serialization protocol specification" (RESP2).
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from functools import cache

import trio

from preview.settings_address import RedisAddress

_PIECE_BYTES = 64 * 1024
# A line of a reply that is no string: a number, a state, an error.
_MOST_LINE_BYTES = 64 * 1024
_MOST_DEPTH = 8
# Of one reply, at all depths. Replies to our own commands have far fewer.
_MOST_ITEMS = 1000
_MOST_REFUSAL_CHARACTERS = 200
# Redis since 7.2, and before.
_DENIED_IN_SCRIPT = ("ACL failure in script", "The user executing the script can't")

Reply = bytes | int | list["Reply"] | None


class RedisFault(Exception):
    """Redis did not respond in time, refused a command, or sent something that is no reply."""


class RedisRefusal(RedisFault):
    """Redis refused a command."""

    @property
    def is_denial(self) -> bool:
        """True if the user has no right to the command, or to one that a script runs."""
        text = str(self)
        return text.startswith("NOPERM") or any(one in text for one in _DENIED_IN_SCRIPT)


def encode_command(words: Sequence[bytes | str | int]) -> bytes:
    """Return a command as an array of strings."""
    made = [b"*%d\r\n" % len(words)]
    for word in words:
        data = word if isinstance(word, bytes) else str(word).encode()
        made.append(b"$%d\r\n%b\r\n" % (len(data), data))
    return b"".join(made)


class ReplyReader:
    """Reads replies from pieces. Pure.

    Args:
        most_bytes: Most bytes of one reply.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._data = bytearray()
        # Nothing is complete before this many bytes have come: large replies are not parsed again for each piece.
        self._wanted = 1
        self._items = 0

    def feed(self, piece: bytes) -> None:
        """Add bytes."""
        self._data += piece

    def next(self) -> tuple[Reply | RedisRefusal] | None:
        """Return the next complete reply in a tuple, or None. A refusal is returned, not raised.

        Raises:
            RedisFault: The bytes are no reply, or one that is too long.
        """
        if len(self._data) < self._wanted:
            return None
        self._items = 0
        try:
            found, at = self._parse(0, 0)
        except _Incomplete as incomplete:
            self._wanted = max(incomplete.wanted, len(self._data) + 1)
            if self._wanted > self._most_bytes:
                raise RedisFault("a reply is too long") from None
            return None
        if at > self._most_bytes:
            raise RedisFault("a reply is too long")
        del self._data[:at]
        self._wanted = 1
        return (found,)

    def _parse(self, at: int, depth: int) -> tuple[Reply | RedisRefusal, int]:
        end = self._data.find(b"\r\n", at, at + _MOST_LINE_BYTES)
        if end < 0:
            if len(self._data) - at >= _MOST_LINE_BYTES:
                raise RedisFault("a line of a reply is too long")
            raise _Incomplete(len(self._data) + 1)
        kind, line, at = bytes(self._data[at : at + 1]), bytes(self._data[at + 1 : end]), end + 2
        if kind == b"+":
            return line, at
        if kind == b"-":
            return RedisRefusal(line[:_MOST_REFUSAL_CHARACTERS].decode("utf-8", "replace")), at
        try:
            number = int(line)
        except ValueError:
            raise RedisFault("a reply without a number") from None
        if kind == b":":
            return number, at
        if number == -1 and kind in (b"$", b"*"):
            return None, at
        if kind == b"$" and 0 <= number <= self._most_bytes:
            if len(self._data) < at + number + 2:
                raise _Incomplete(at + number + 2)
            return bytes(self._data[at : at + number]), at + number + 2
        self._items += max(number, 0) if kind == b"*" else 0
        if kind == b"*" and number >= 0 and self._items <= _MOST_ITEMS and depth < _MOST_DEPTH:
            items: list[Reply] = []
            for _ in range(number):
                item, at = self._parse(at, depth + 1)
                if isinstance(item, RedisRefusal):
                    raise RedisFault("an error inside a reply")
                items.append(item)
            return items, at
        raise RedisFault("a reply of an unknown kind, or one that is too long")


class _Incomplete(Exception):
    def __init__(self, wanted: int) -> None:
        self.wanted = wanted


class Redis:
    """An open connection; one task uses it at a time. Made by ``open_redis``. After a fault it is useless."""

    def __init__(self, stream: trio.abc.Stream, most_bytes: int) -> None:
        self._stream = stream
        self._reader = ReplyReader(most_bytes)

    async def call(self, *words: bytes | str | int, within_s: float) -> Reply:
        """Run one command.

        Raises:
            RedisFault: It was refused, or no reply came in time.

        Cancellation: the connection is useless.
        """
        (reply,) = await self.call_all([words], within_s=within_s)
        if isinstance(reply, RedisRefusal):
            raise reply
        return reply

    async def call_all(
        self, commands: Sequence[Sequence[bytes | str | int]], *, within_s: float
    ) -> list[Reply | RedisRefusal]:
        """Run commands in one round trip; those that are refused have a refusal in place of their reply.

        Raises:
            RedisFault: Not all replies came in time.

        Cancellation: the connection is useless.
        """
        replies: list[Reply | RedisRefusal] = []
        try:
            with trio.fail_after(within_s):
                # Replies are short, so Redis can write them while it reads.
                await self._stream.send_all(b"".join(map(encode_command, commands)))
                while len(replies) < len(commands):
                    replies.append(await self._next())
        except (trio.TooSlowError, trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise RedisFault("Redis does not respond") from error
        return replies

    async def _next(self) -> Reply | RedisRefusal:
        while (found := self._reader.next()) is None:
            piece = await self._stream.receive_some(_PIECE_BYTES)
            if not piece:
                raise RedisFault("Redis has closed the connection")
            self._reader.feed(bytes(piece))
        return found[0]


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


@asynccontextmanager
async def open_redis(address: RedisAddress, *, most_bytes: int, within_s: float) -> AsyncIterator[Redis]:
    """Connect and log in.

    Raises:
        RedisFault: Redis does not accept in time.

    Cancellation: no connection is left.
    """
    try:
        with trio.fail_after(within_s):
            stream: trio.abc.Stream = await trio.open_tcp_stream(address.host, address.port)
            if address.is_tls:
                stream = trio.SSLStream(stream, _tls(), server_hostname=address.host, https_compatible=True)
    except (trio.TooSlowError, OSError, UnicodeError) as error:
        raise RedisFault("Redis does not accept connections") from error
    try:
        redis = Redis(stream, most_bytes)
        if address.password is not None:
            login = [address.user or "default", address.password] if address.user else [address.password]
            try:
                await redis.call("AUTH", *login, within_s=within_s)
            except RedisRefusal:
                # The server's text may repeat the password.
                raise RedisFault("Redis refused the user or the password") from None
        if address.database:
            await redis.call("SELECT", address.database, within_s=within_s)
        yield redis
    finally:
        with suppress(trio.BrokenResourceError):
            await trio.aclose_forcefully(stream)
