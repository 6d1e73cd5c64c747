"""One request to a preview and its answer, on a connection that may carry the next one.

Endpoint calls send and read whole messages here, the ordinary way of a browser streams both ways at once, and the relay
passes bytes on from one buffer. Heads and contents are read by the same strict readers (``http1``), so that a preview's
answer is one, or none, on whichever way it comes.

Source: RFC 9112 sections 6 (message body), 7 (transfer codings) and 9.3 (persistence); RFC 9110 section 9.2.2.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import trio

from preview.errors import InvalidRequest, UpstreamFailed
from preview.proxy.http1 import (
    CHUNKED,
    HEAD_END,
    LAST_CHUNK,
    MAX_ANSWER_HEAD,
    MAX_INTERIM,
    Answer,
    Body,
    Field,
    Payload,
    Unclean,
    body_of,
    chunk,
    read_answer,
)
from preview.proxy.network_stream import NOTHING, UpstreamGone
from preview.proxy.pool import Address, Key, Pool, UpstreamConnection, connect

SWITCHING = 101
FINAL = 200
"""The first status that is not that of an interim answer."""

_PIECE_BYTES = 64 * 1024
# RFC 9110 section 9.2.2: sending these twice asks for nothing more than sending them once.
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})


@contextmanager
def translated() -> Iterator[None]:
    """Errors of the connection as those of the product.

    Raises:
        UpstreamFailed: The preview broke off, or its answer is not HTTP.
    """
    try:
        yield
    except UpstreamGone as error:
        raise UpstreamFailed("The preview closed the connection before its answer was complete.") from error
    except Unclean as error:
        raise UpstreamFailed(
            f"The preview's answer is not HTTP, or not written by its rules (RFC 9112): {error}."
        ) from error


@asynccontextmanager
async def alongside(task: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Run a task beside the block, until that ends at the latest. An error of either ends both, and comes out as it is.

    Cancellation: of both.
    """
    failures: list[Exception] = []

    async def noted_task() -> None:
        try:
            await task()
        except Exception as error:  # noqa: BLE001  is raised again below: the nursery would wrap it
            failures.append(error)
            nursery.cancel_scope.cancel()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(noted_task)
        try:
            yield
        except Exception as error:  # noqa: BLE001  as above
            failures.append(error)
        nursery.cancel_scope.cancel()
    if failures:
        raise failures[0]


class UpstreamExchange:
    """A request and its answer. Sending and reading may go on in two tasks at once.

    A request without content that may be sent twice is, once, where it went out on a kept connection that the preview
    has closed meanwhile. Any other goes on one that was in use a moment ago, or on a new one.

    What waits has no deadline here: callers have their own. What does not wait is for the relay's ``FastPath`` too.

    Attributes:
        connection: On which it is under way; None before, and once it was given back.
        unsent: Bytes that the kernel has not taken; None where the preview takes none any more.
        has_begun: Whether anything of an answer has come.
        answer: The head of the final answer; None until it has come.
        body: The answer's content, as it comes.

    Args:
        pool: Where a connection may be idle, and where it is given back to.
        key: Under which it is kept.
        address: Host and port of the preview itself; nothing else is ever connected to.
        method: Of the request.
    """

    # Not in ``__init__``: the relay makes one for each request.
    connection: UpstreamConnection | None = None
    unsent: memoryview | None = NOTHING
    has_begun = False
    answer: Answer | None = None
    body: Body = body_of(0)
    # All of the request, as long as it can be sent on another connection.
    _again = b""
    # Content that is still to be sent: bytes, or ``CHUNKED``.
    _left = 0
    _interim = 0
    _raw = b""

    def __init__(self, pool: Pool, key: Key, address: Address, method: bytes) -> None:
        self._pool = pool
        self._key = key
        self._address = address
        self._method = method

    # Sending

    def take_idle(self, *, has_content: bool) -> UpstreamConnection | None:
        """Take an idle connection for this request; None where none may be used."""
        may_repeat = not has_content and self._method in _IDEMPOTENT
        self.connection = connection = self._pool.take(self._key, may_repeat=may_repeat)
        return connection

    def send_whole(self, message: bytes, *, has_content: bool) -> bool:
        """Send a request on the connection that was idle; False where the kernel has not taken all: see ``unsent``."""
        if not has_content and self._method in _IDEMPOTENT:
            self._again = message
        self._send_now((message,))
        return self.unsent is not None and not self.unsent

    async def start(
        self, head: bytes, length: int = 0, content: Sequence[Payload] = (), *, is_last: bool = True
    ) -> None:
        """Send the head and the first of the content, as far as the kernel takes it: see ``unsent``.

        Args:
            head: See ``http1.request_head``.
            length: Bytes of content, or ``CHUNKED``.
            content: What of it is there.
            is_last: Whether that is all.

        Raises:
            PreviewUnavailable, ServiceShort: There is no connection.
            InvalidRequest: The content is not of this length.

        Cancellation: the connection is of no more use.
        """
        self._left = length
        if self.take_idle(has_content=length != 0) is None:
            self.connection = await self._connect()
        elif not length and self._method in _IDEMPOTENT:
            self._again = head
        self._send_now((head, *self._framed(content, is_last=is_last)))

    def send_content(self, content: Sequence[Payload], *, is_last: bool = False) -> None:
        """Send some of the content, as far as the kernel takes it: see ``unsent``.

        Raises:
            InvalidRequest: It is more than was said ahead, or less.
        """
        framed = self._framed(content, is_last=is_last)
        if framed:
            self._send_now(framed)

    async def send_more(self) -> None:
        """Wait until the kernel takes more of what is unsent. Cancellation: as ``start``."""
        if self.unsent:
            try:
                self.unsent = await self._open.send_on(self.unsent)
            except UpstreamGone:
                # It may have answered before it closed; reading tells.
                self.unsent = None

    async def drain(self) -> bool:
        """Wait until nothing is unsent; whether the preview still takes any. Cancellation: as ``start``."""
        while self.unsent:
            await self.send_more()
        return self.unsent is not None

    def stop_sending(self) -> None:
        """No more of the content comes; the preview can see that it is not whole."""
        self._open.end()

    @property
    def is_sent(self) -> bool:
        """Return whether all of the request was sent."""
        return self.unsent is not None and not self.unsent and not self._left

    # Reading

    async def read_head(self, upgrade: bytes = b"") -> Answer:
        """Read the next head: interim ones (below ``FINAL``), within bounds, and then the final one.

        Args:
            upgrade: The protocol that the preview may switch to; empty for none.

        Raises:
            PreviewUnavailable, ServiceShort: As ``start``, where the request is sent again.
            UpstreamFailed: None came, or it is not HTTP.

        Cancellation: as ``start``.
        """
        with translated():
            try:
                answer = await self._next_head(upgrade)
            except UpstreamGone:
                if not self._again or self.has_begun:
                    raise
                await self._repeat()
                answer = await self._next_head(upgrade)
        if answer.status >= FINAL:
            self.answer, self.body = answer, body_of(answer.length)
            if self.body.is_over:
                self.take_rest()
        return answer

    def begin_answer(self, answer: Answer, came: memoryview) -> list[memoryview]:
        """Note the final head, and the bytes after it: see ``take``."""
        self.answer, self.body = answer, body_of(answer.length)
        return self.take(came) if came or self.body.is_over else []

    def take(self, data: memoryview) -> list[memoryview]:
        """Return the content in these bytes, in parts; no bytes are the end of the connection.

        Raises:
            UpstreamGone: The content is not whole.
            Unclean: It is not framed strictly.
        """
        body = self.body
        if data and not body.is_over:
            pieces = body.feed(data)
        elif data or body.end():
            body.rest += data
            pieces = []
        else:
            raise UpstreamGone
        if body.is_over:
            self._give_back()
        return pieces

    def take_rest(self) -> list[memoryview]:
        """Return the content that came with the head. Raises as ``take``."""
        connection = self.connection
        if connection is None or self.answer is None or not (connection.rest or self.body.is_over):
            return []
        data, connection.rest = connection.rest, b""
        return self.take(memoryview(data))

    async def receive_into(self, buffer: memoryview) -> int:
        """Receive some of the answer, for ``take``. Raises ``UpstreamGone``. Cancellation: nothing is lost."""
        return await self._open.receive_into(buffer)

    async def read_piece(self) -> bytes | None:
        """Read some of the answer's content; None after its end.

        Raises:
            UpstreamFailed: It broke off.

        Cancellation: as ``start``.
        """
        with translated():
            pieces = self.take_rest()
            while not pieces and not self.body.is_over:
                pieces = self.take(memoryview(await self._open.receive(_PIECE_BYTES)))
        return b"".join(pieces) or None

    def fields_as_written(self) -> list[Field]:
        """Return the fields of the last head, their names spelled as by the preview."""
        _, *lines = self._raw.split(b"\r\n")
        answered = [] if self.answer is None else self.answer.fields
        return [(line.partition(b":")[0], value) for line, (_, value) in zip(lines, answered, strict=True)]

    def release(self) -> None:
        """Release the connection: it is closed where it was not given back."""
        if self.connection is not None:
            self._give_back()
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _give_back(self) -> None:
        """Give the connection back, if nothing is left on it and the preview would have another request.

        At once when the answer has been read: its reader may be slow, or ask again while the last of it is passed on.
        """
        connection, answer, body = self.connection, self.answer, self.body
        if connection is None or answer is None or not answer.is_kept or self._method == b"HEAD":
            return
        # More than one answer would be taken for that of the next request (response queue poisoning).
        if body.is_over and not body.rest and self.is_sent:
            self.connection = None
            self._pool.give(connection)

    @property
    def _open(self) -> UpstreamConnection:
        if self.connection is None:
            raise RuntimeError("nothing was sent")
        return self.connection

    def _framed(self, content: Sequence[Payload], *, is_last: bool) -> list[Payload]:
        if self._left == CHUNKED:
            self._left = 0 if is_last else CHUNKED
            return [*chunk(content), LAST_CHUNK] if is_last else chunk(content)
        left = self._left - sum(map(len, content))
        if left < 0:
            raise InvalidRequest("The request's content is longer than its Content-Length says.")
        if is_last and left:
            raise InvalidRequest("The request's content is shorter than its Content-Length says.")
        self._left = left
        return list(content)

    def _send_now(self, pieces: Sequence[Payload]) -> None:
        connection = self.connection or self._open
        try:
            self.unsent = connection.send_now(pieces)
        except UpstreamGone:
            # As in ``send_more``.
            self.unsent = None

    async def _connect(self) -> UpstreamConnection:
        return await connect(self._address, self._key, self._pool.connect_timeout_s)

    async def _repeat(self) -> None:
        """Send it again: it met a connection that was being closed, and nobody has answered it."""
        self._open.close()
        self.connection = None
        message, self._again = self._again, b""
        self.connection = await self._connect()
        self._send_now((message,))
        await self.drain()

    async def _next_head(self, upgrade: bytes) -> Answer:
        connection = self._open
        came: bytes | bytearray = connection.rest
        looked = 0
        while (end := came.find(HEAD_END, looked, MAX_ANSWER_HEAD)) < 0:
            if len(came) >= MAX_ANSWER_HEAD:
                raise Unclean(f"its head is longer than {MAX_ANSWER_HEAD} bytes")
            looked = max(0, len(came) - len(HEAD_END) + 1)
            data = await connection.receive(_PIECE_BYTES)
            if not data:
                raise UpstreamGone
            self.has_begun = True
            if came:
                came = came if isinstance(came, bytearray) else bytearray(came)
                came += data
            else:
                came = data
        self._raw, connection.rest = bytes(came[:end]), bytes(came[end + len(HEAD_END) :])
        answer = read_answer(self._raw, is_head=self._method == b"HEAD")
        self._interim += 1
        if answer.status == SWITCHING:
            protocols = [value.lower() for name, value in answer.fields if name == b"upgrade"]
            if not upgrade or protocols != [upgrade]:
                raise Unclean("it switches to a protocol that nobody asked for")
        elif answer.status < FINAL and self._interim > MAX_INTERIM:
            raise Unclean(f"more than {MAX_INTERIM} interim answers")
        return answer


@asynccontextmanager
async def open_exchange(pool: Pool, address: Address, process: int, method: str) -> AsyncIterator[UpstreamExchange]:
    """One request to the process that serves at an address; tasks that send and read are within.

    Args:
        pool: Where a connection may be idle, and where it is given back to.
        address: Host and port of the preview itself; nothing else is ever connected to.
        process: Which process serves there now: idle connections to the one before are about to be closed by it, and a
            request that is on such a connection then is lost.
        method: Of the request.

    Cancellation: its connection is closed at once.
    """
    key = f"{address[0]}:{address[1]}", process
    exchange = UpstreamExchange(pool, key, address, method.encode("latin-1", "replace"))
    try:
        yield exchange
    finally:
        # Nothing is left to say: closing a socket does not wait.
        exchange.release()
