"""One request to a preview and its response, on a connection that may be reused for the next request.

Endpoint calls send and read whole messages. The ASGI path of a browser's request streams in both directions at once.
The relay forwards bytes from a buffer. All use the same strict readers (``http1``), so a response is accepted or
rejected alike on each path.

Source: RFC 9112 sections 6 (message body), 7 (transfer codings) and 9.3 (persistence); RFC 9110 section 9.2.2.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from time import monotonic

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
"""The lowest status of a final response; lower ones are interim."""

# After an unhandled exception, Uvicorn sends a 500 and then closes the connection, without announcing it.
_SERVER_ERROR = 500
_PIECE_BYTES = 64 * 1024
# RFC 9110 section 9.2.2: sending these twice has the same effect as sending them once.
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE"})


@contextmanager
def translated() -> Iterator[None]:
    """Translate connection errors to the product's errors.

    Raises:
        UpstreamFailed: The preview closed the connection early, or its response is not valid HTTP.
    """
    try:
        yield
    except UpstreamGone as error:
        raise UpstreamFailed("The preview closed the connection before its answer was complete.") from error
    except Unclean as error:
        raise UpstreamFailed(f"The preview's response is not valid HTTP (RFC 9112): {error}.") from error


@asynccontextmanager
async def alongside(task: Callable[[], Awaitable[object]]) -> AsyncIterator[None]:
    """Run a task beside the block, and cancel the task when the block ends. An error of either is raised unwrapped.

    Cancellation: cancels the task and the block.
    """
    failures: list[Exception] = []

    async def noted_task() -> None:
        try:
            await task()
        except Exception as error:  # noqa: BLE001  raised again below: the nursery would wrap it
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
    """A request and its response. One task may send while another reads.

    An idempotent request without content is repeated once if the preview closes its reused connection before answering.
    Any other request uses a connection that was in use a moment ago, or a new one.

    Waiting methods have no deadline; callers set their own. The relay's ``FastPath`` uses only the others.

    Attributes:
        connection: The connection in use; None before the start and after its return to the pool.
        unsent: Bytes that the kernel has not taken yet; None if the preview accepts no more.
        has_begun: Whether any byte of a response has arrived.
        connected_at: When a new connection was opened, by ``time.monotonic``; 0 if an idle one is used.
        answer: The head of the final response; None until it has arrived.
        body: Reader of the response's content.

    Args:
        pool: Provides idle connections and takes them back.
        key: Key of the connection in the pool.
        address: Host and port of the preview itself; the exchange connects to no other address.
        method: HTTP method of the request.
    """

    # Class attributes save work in ``__init__``: the relay makes one exchange per request.
    connection: UpstreamConnection | None = None
    unsent: memoryview | None = NOTHING
    has_begun = False
    connected_at = 0.0
    answer: Answer | None = None
    body: Body = body_of(0)
    # The whole request, while it can still be repeated on another connection.
    _again = b""
    # Bytes of content still to be sent, or ``CHUNKED``.
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
        """Take an idle connection for this request; None if there is no suitable one."""
        may_repeat = not has_content and self._method in _IDEMPOTENT
        self.connection = connection = self._pool.take(self._key, may_repeat=may_repeat)
        return connection

    def send_whole(self, message: bytes, *, has_content: bool) -> bool:
        """Send a request on the idle connection. Return False if the kernel has not taken all of it: see ``unsent``."""
        if not has_content and self._method in _IDEMPOTENT:
            self._again = message
        self._send_now((message,))
        return self.unsent is not None and not self.unsent

    async def start(
        self, head: bytes, length: int = 0, content: Sequence[Payload] = (), *, is_last: bool = True
    ) -> None:
        """Send the head and the first content, as much as the kernel takes without waiting: see ``unsent``.

        Args:
            head: See ``http1.request_head``.
            length: Bytes of content, or ``CHUNKED``.
            content: The available part of the content.
            is_last: Whether no more content follows.

        Raises:
            PreviewUnavailable, ServiceShort: No connection could be opened.
            InvalidRequest: The content does not match the length.

        Cancellation: the connection must not be used further.
        """
        self._left = length
        if self.take_idle(has_content=length != 0) is None:
            self.connection = await self._connect()
            self.connected_at = monotonic()
        elif not length and self._method in _IDEMPOTENT:
            self._again = head
        self._send_now((head, *self._framed(content, is_last=is_last)))

    def send_content(self, content: Sequence[Payload], *, is_last: bool = False) -> None:
        """Send some of the content, as much as the kernel takes without waiting: see ``unsent``.

        Raises:
            InvalidRequest: The content is longer or shorter than announced.
        """
        framed = self._framed(content, is_last=is_last)
        if framed:
            self._send_now(framed)

    async def send_more(self) -> None:
        """Wait until the kernel takes more of the unsent bytes. Cancellation: as for ``start``."""
        if self.unsent:
            try:
                self.unsent = await self._open.send_on(self.unsent)
            except UpstreamGone:
                # The preview may have answered before it closed; the reader finds out.
                self.unsent = None

    async def drain(self) -> bool:
        """Wait until nothing is unsent; return False if the preview accepts no more. Cancellation: as for ``start``."""
        while self.unsent:
            await self.send_more()
        return self.unsent is not None

    def stop_sending(self) -> None:
        """Close the sending direction early; the preview can see that the content is incomplete."""
        self._open.end()

    @property
    def is_sent(self) -> bool:
        """True if the whole request was sent."""
        return self.unsent is not None and not self.unsent and not self._left

    # Reading

    async def read_head(self, upgrade: bytes = b"") -> Answer:
        """Read the next head: each interim one (below ``FINAL``, at most ``MAX_INTERIM``), then the final one.

        Args:
            upgrade: The protocol that the preview may switch to; empty for none.

        Raises:
            PreviewUnavailable, ServiceShort: As ``start``, if the request is repeated.
            UpstreamFailed: No response arrived, or it is not valid HTTP.

        Cancellation: as for ``start``.
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
        """Store the final head, and process the bytes after it as ``take`` does."""
        self.answer, self.body = answer, body_of(answer.length)
        return self.take(came) if came or self.body.is_over else []

    def take(self, data: memoryview) -> list[memoryview]:
        """Return the content in these bytes, in parts. Empty data means the end of the connection.

        Raises:
            UpstreamGone: The content is incomplete.
            Unclean: The framing is not strictly valid.
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
        """Return the content that arrived with the head. Raises the errors of ``take``."""
        connection = self.connection
        if connection is None or self.answer is None or not (connection.rest or self.body.is_over):
            return []
        data, connection.rest = connection.rest, b""
        return self.take(memoryview(data))

    async def receive_into(self, buffer: memoryview) -> int:
        """Receive bytes of the response, for ``take``. Raises ``UpstreamGone``. Cancellation: no data is lost."""
        return await self._open.receive_into(buffer)

    async def read_piece(self) -> bytes | None:
        """Read some of the response's content; None after its end.

        Raises:
            UpstreamFailed: The response broke off.

        Cancellation: as for ``start``.
        """
        with translated():
            pieces = self.take_rest()
            while not pieces and not self.body.is_over:
                pieces = self.take(memoryview(await self._open.receive(_PIECE_BYTES)))
        return b"".join(pieces) or None

    def fields_as_written(self) -> list[Field]:
        """Return the fields of the last head, with the preview's spelling of their names."""
        _, *lines = self._raw.split(b"\r\n")
        answered = [] if self.answer is None else self.answer.fields
        return [(line.partition(b":")[0], value) for line, (_, value) in zip(lines, answered, strict=True)]

    def release(self) -> None:
        """Return the connection to the pool if it can be reused; otherwise close it."""
        if self.connection is not None:
            self._give_back()
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _give_back(self) -> None:
        """Return the connection to the pool if both messages are complete and the preview keeps it open.

        This happens at once: the consumer may be slow, or ask again before the last bytes are forwarded.
        """
        connection, answer, body = self.connection, self.answer, self.body
        if connection is None or answer is None or not answer.is_kept or self._method == b"HEAD":
            return
        # Extra bytes would be taken for the response to the next request (response queue poisoning).
        if body.is_over and not body.rest and self.is_sent and answer.status < _SERVER_ERROR:
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
            # See ``send_more``.
            self.unsent = None

    async def _connect(self) -> UpstreamConnection:
        return await connect(self._address, self._key, self._pool.connect_timeout_s)

    async def _repeat(self) -> None:
        """Send the request again after the preview closed the reused connection without a response."""
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
                raise Unclean("it switches to a protocol that was not requested")
        elif answer.status < FINAL and self._interim > MAX_INTERIM:
            raise Unclean(f"more than {MAX_INTERIM} interim answers")
        return answer


@asynccontextmanager
async def open_exchange(pool: Pool, address: Address, process: int, method: str) -> AsyncIterator[UpstreamExchange]:
    """Open one exchange with a preview's process. Tasks that send and read must end within the block.

    Args:
        pool: Provides idle connections and takes them back.
        address: Host and port of the preview itself; the exchange connects to no other address.
        process: Number of the preview's current process. An earlier process is about to close its idle connections, and
            a request on one of them would be lost.
        method: HTTP method of the request.

    Cancellation: the connection is closed at once.
    """
    key = f"{address[0]}:{address[1]}", process
    exchange = UpstreamExchange(pool, key, address, method.encode("latin-1", "replace"))
    try:
        yield exchange
    finally:
        # No checkpoint is needed: closing a socket does not wait.
        exchange.release()
