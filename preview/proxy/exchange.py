"""One request to a preview and its answer, on a connection that may carry the next one.

Endpoint calls send and read whole messages here, the ordinary way of a browser streams both ways at once. Heads and
contents are read by the relay's strict readers (``http1``), so that a preview's answer is one,
or none, on whichever way it comes.

Source: RFC 9112 sections 6 (message body), 7 (transfer codings) and 9.3 (persistence); RFC 9110 section 9.2.2.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

from preview.errors import InvalidRequest, UpstreamFailed
from preview.proxy.connections import Address, Connections, connect
from preview.proxy.http1 import (
    CHUNKED,
    HEAD_END,
    LAST_CHUNK,
    MAX_ANSWER_HEAD,
    MAX_INTERIM,
    Answer,
    Field,
    Payload,
    Unclean,
    body_of,
    chunk,
    read_answer,
    request_head,
)
from preview.proxy.network_stream import UpstreamGone
from preview.proxy.pool import UpstreamConnection


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


FINAL = 200
"""The first status that is not that of an interim answer."""

_PIECE_BYTES = 64 * 1024
_SWITCHING = 101
# Sending these twice asks for nothing more than sending them once.
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class UpstreamExchange:
    """A request and its answer. Sending and reading may go on in two tasks at once; made by ``open_exchange``.

    A request without content that may be sent twice is, once, where it went out on a kept connection that the preview
    has closed meanwhile. Any other goes on one that was in use a moment ago, or on a new one.
    """

    def __init__(self, connections: Connections, address: Address, process: int) -> None:
        self._connections = connections
        self._address = address
        self._process = process
        self._kept: UpstreamConnection | None = None
        # All of the request, as long as it can be sent on another connection.
        self._again = b""
        self._is_head = False
        # Content that is still to be sent: bytes, or ``CHUNKED``.
        self._left = 0
        # Bytes that the kernel has not taken; None where the preview takes none any more.
        self._unsent: memoryview | None = None
        self._is_sent = False
        self._head = b""
        self._answer: Answer | None = None
        self._body = body_of(0)
        self._interim = 0

    async def send(self, method: str, target: bytes, fields: Sequence[Field], content: bytes | None) -> None:
        """Send a whole request, as far as it goes out at once: see ``is_stuck``.

        Nothing is said of a length where the content is None.

        Raises:
            PreviewUnavailable: Nobody accepts connections there.
            UpstreamFailed: It cannot be written as HTTP.

        Cancellation: the connection is of no more use.
        """
        head = request_head(method, target, fields, None if content is None else len(content))
        self._unsent = await self._begin(method, head, content or b"")
        self._is_sent = self._unsent is not None and not self._unsent

    @property
    def is_stuck(self) -> bool:
        """Whether some of what ``send`` was given is left for ``send_rest``."""
        return bool(self._unsent)

    async def send_rest(self) -> None:
        """Send what is left, while another task reads: a preview may answer and take no more of it.

        Cancellation: as ``send``.
        """
        self._is_sent = await self._write_on(self._unsent)

    async def send_head(
        self, method: str, target: bytes, fields: Sequence[Field], length: int | None, *, takes_trailers: bool = False
    ) -> None:
        """Send the request up to its content; see ``request_head``. What has none is sent.

        Raises:
            PreviewUnavailable, UpstreamFailed: As ``send``.

        Cancellation: as ``send``.
        """
        head = request_head(method, target, fields, length, takes_trailers=takes_trailers)
        self._left = length or 0
        went = await self._write_on(await self._begin(method, head, b""))
        self._is_sent = went and not self._left

    async def send_piece(self, piece: bytes) -> bool:
        """Send some of the content; whether the preview still takes any.

        Raises:
            InvalidRequest: It is more than was said ahead.

        Cancellation: as ``send``.
        """
        if self._left == CHUNKED:
            return await self._write(chunk([memoryview(piece)]))
        if len(piece) > self._left:
            raise InvalidRequest("The request's content is longer than its Content-Length says.")
        self._left -= len(piece)
        went = await self._write((piece,))
        # The answer may come before the end of the content is known.
        self._is_sent = went and not self._left
        return went

    async def send_end(self) -> bool:
        """Say that this was all; whether the preview still listens.

        Raises:
            InvalidRequest: It is less than was said ahead.

        Cancellation: as ``send``.
        """
        if self._left > 0:
            raise InvalidRequest("The request's content is shorter than its Content-Length says.")
        if self._left == CHUNKED:
            self._left = 0
            self._is_sent = await self._write((LAST_CHUNK,))
        return self._is_sent

    def stop_sending(self) -> None:
        """No more of the content comes; the preview can see that it is not whole."""
        self._link.end()

    async def read_head(self) -> Answer:
        """The next head of an answer: any number of interim ones (below ``FINAL``) within bounds, and the final one.

        Raises:
            PreviewUnavailable: As ``send``.
            UpstreamFailed: None came, or it is not HTTP.

        Cancellation: as ``send``.
        """
        with translated():
            try:
                answer = await self._next_head()
            except UpstreamGone:
                if not self._again:
                    raise
                await self._repeat()
                answer = await self._next_head()
        if answer.status >= FINAL:
            self._answer, self._body = answer, body_of(answer.length)
            if self._body.is_over:
                self._body.rest, self._link.rest = self._link.rest, b""
                self._give()
        return answer

    def fields_as_written(self) -> list[Field]:
        """The fields of the head that was read last, their names spelled as the preview does."""
        _, *lines = self._head.split(b"\r\n")
        answered = [] if self._answer is None else self._answer.fields
        return [(line.partition(b":")[0], value) for line, (_, value) in zip(lines, answered, strict=True)]

    async def read_piece(self) -> bytes | None:
        """Some of the answer's content; None behind its end.

        Raises:
            UpstreamFailed: It broke off.

        Cancellation: as ``send``.
        """
        body, piece = self._body, b""
        with translated():
            while not piece and not body.is_over:
                link = self._link
                data, link.rest = link.rest, b""
                data = data or await link.receive(_PIECE_BYTES)
                if data:
                    piece = b"".join(body.feed(memoryview(data)))
                elif not body.end():
                    raise UpstreamGone
        self._give()
        return piece or None

    @property
    def trailers(self) -> list[Field]:
        """The fields that came behind the content."""
        return self._body.trailers

    def release(self) -> None:
        """Release the connection: it is closed where it was not given back."""
        self._give()
        link, self._kept = self._kept, None
        if link is not None:
            link.close()

    def _give(self) -> None:
        """Give the connection back, if nothing is left on it and the preview would have another request.

        At once when the answer has been read: its reader may be slow, or ask again while the last of it is passed on.
        """
        link, answer, body = self._kept, self._answer, self._body
        # More than one answer would be taken for that of the next request (response queue poisoning).
        is_over = answer is not None and answer.is_kept and body.is_over and not body.rest
        if link is not None and is_over and self._is_sent and not self._is_head:
            self._kept = None
            self._connections.give(link)

    @property
    def _link(self) -> UpstreamConnection:
        if self._kept is None:
            raise RuntimeError("nothing was sent")
        return self._kept

    async def _begin(self, method: str, head: bytes, content: bytes) -> memoryview | None:
        self._is_head = method == "HEAD"
        may_repeat = method in _IDEMPOTENT and not content and not self._left
        self._kept = self._connections.take(self._address, self._process, may_repeat=may_repeat)
        if self._kept is None:
            self._kept = await connect(self._address, self._process)
        elif may_repeat:
            self._again = head
        return self._write_now((head, content) if content else (head,))

    async def _repeat(self) -> None:
        """Send it again: it met a connection that was being closed, and nobody has answered it."""
        self._link.close()
        self._kept = None
        message, self._again = self._again, b""
        self._kept = await connect(self._address, self._process)
        self._is_sent = await self._write((message,))

    async def _write(self, pieces: Sequence[Payload]) -> bool:
        return await self._write_on(self._write_now(pieces))

    def _write_now(self, pieces: Sequence[Payload]) -> memoryview | None:
        try:
            return self._link.send_now(pieces)
        except UpstreamGone:
            # It may have answered before it closed; reading tells.
            return None

    async def _write_on(self, rest: memoryview | None) -> bool:
        link = self._link
        try:
            while rest:
                rest = await link.send_on(rest)
        except UpstreamGone:
            return False
        return rest is not None

    async def _next_head(self) -> Answer:
        link = self._link
        came, looked = bytearray(link.rest), 0
        while (end := came.find(HEAD_END, looked, MAX_ANSWER_HEAD)) < 0:
            if len(came) >= MAX_ANSWER_HEAD:
                raise Unclean(f"its head is longer than {MAX_ANSWER_HEAD} bytes")
            looked = max(0, len(came) - len(HEAD_END) + 1)
            data = await link.receive(_PIECE_BYTES)
            if not data:
                raise UpstreamGone
            self._again = b""
            came += data
        self._head, link.rest = bytes(came[:end]), bytes(came[end + len(HEAD_END) :])
        answer = read_answer(self._head, is_head=self._is_head)
        self._interim += 1
        if answer.status == _SWITCHING:
            raise Unclean("it switches to a protocol that nobody asked for")
        if answer.status < FINAL and self._interim > MAX_INTERIM:
            raise Unclean(f"more than {MAX_INTERIM} interim answers")
        return answer


@asynccontextmanager
async def open_exchange(connections: Connections, address: Address, process: int) -> AsyncIterator[UpstreamExchange]:
    """One request to the process that serves at an address; tasks that send and read are within.

    Args:
        connections: Where one may be idle, and where it is given back to.
        address: Host and port of the preview itself; nothing else is ever connected to.
        process: Which process serves there now: idle connections to the one before are about to be closed by it, and a
            request that is on such a connection then is lost.

    Cancellation: its connection is closed at once.
    """
    upstream = UpstreamExchange(connections, address, process)
    try:
        yield upstream
    finally:
        # Nothing is left to say: closing a socket does not wait.
        upstream.release()
