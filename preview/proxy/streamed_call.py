"""Endpoint calls whose response is read piece by piece, while the preview is still writing it."""

from __future__ import annotations

import zlib

import trio

from preview.errors import UpstreamFailed, UpstreamTimeout
from preview.proxy.call_fields import Header, returned_headers
from preview.proxy.envelope import ProxyRequest
from preview.proxy.exchange import FINAL, UpstreamExchange, alongside, translated

_PIECE_BYTES = 64 * 1024
# zlib's value for "one of both, see the header".
_GZIP_OR_ZLIB = zlib.MAX_WBITS + 32


class StreamedCall:
    """One request, and its response as it arrives. Its connection belongs to the caller: see ``close``.

    Content in ``gzip`` or ``deflate`` is decoded; ``headers`` name any other coding.

    Attributes:
        status: HTTP status; 0 before the head has arrived.
        headers: Fields for the caller; a repeated field appears repeatedly.
        pending: Content that has arrived and was not taken.

    Args:
        upstream: The exchange, not started yet.
        request: Checked by ``envelope.make_request``.
        head: Head of the request, as sent.
        content: Content of the request; may be empty.
        limit_bytes: Most content of the response that is wanted; of decoded content, a byte more is kept.
    """

    def __init__(
        self, upstream: UpstreamExchange, request: ProxyRequest, head: bytes, content: bytes, limit_bytes: int
    ) -> None:
        self.status = 0
        self.headers: list[Header] = []
        self.pending = bytearray()
        self._upstream = upstream
        self._request = request
        self._head = head
        self._content = content
        self._decoder: Decoder | None = None
        self._limit_bytes = limit_bytes
        self._buffer = memoryview(bytearray(_PIECE_BYTES))

    async def start(self, timeout_s: float) -> None:
        """Send the request, and wait for the response's head.

        Raises:
            PreviewUnavailable: The address does not accept connections.
            UpstreamTimeout: The head did not arrive within ``timeout_s`` seconds.
            UpstreamFailed: The connection broke, or the response is not valid HTTP.

        Cancellation: the call must be closed; the preview may already have acted on the request.
        """
        upstream, content = self._upstream, self._content
        try:
            with trio.fail_after(timeout_s):
                await upstream.start(self._head, len(content), [content] if content else [])
                async with alongside(upstream.drain):
                    while (answer := await upstream.read_head()).status < FINAL:
                        pass
        except trio.TooSlowError as error:
            raise UpstreamTimeout(
                f"The preview did not answer {self._request.method} {self._request.path} within {timeout_s:g} s.",
                timeout_s=timeout_s,
            ) from error
        self.status = answer.status
        fields = [(name.decode(), value.decode("latin-1")) for name, value in upstream.fields_as_written()]
        self.headers = returned_headers(fields)
        codings = [(name, value) for name, value in fields if name.lower() == "content-encoding"]
        if len(codings) == 1 and codings[0][1].strip().lower() in {"gzip", "deflate"}:
            self._decoder = Decoder(self._limit_bytes + 1)
        else:
            self.headers += codings

    @property
    def is_over(self) -> bool:
        """True if all the content is in ``pending`` or was taken."""
        return self._upstream.body.is_over

    async def read(self) -> None:
        """Wait until ``pending`` has more content than now, or the response is over.

        Raises:
            UpstreamFailed: The response broke off.

        Cancellation: no data is lost.
        """
        if self._upstream.unsent:
            # A preview may respond before it has read the whole request.
            async with alongside(self._upstream.drain):
                await self._read()
        else:
            await self._read()

    def take(self, most: int) -> bytes:
        """Take up to ``most`` bytes from ``pending``."""
        piece = bytes(self.pending[:most])
        del self.pending[:most]
        return piece

    def close(self) -> None:
        """Return the connection to the pool if it can be reused; otherwise close it."""
        self._upstream.release()

    async def _read(self) -> None:
        upstream = self._upstream
        await trio.lowlevel.checkpoint()
        with translated():
            pieces = upstream.take_rest()
            while not pieces and not upstream.body.is_over:
                size = await upstream.receive_into(self._buffer)
                pieces = upstream.take(self._buffer[:size])
        for piece in pieces:
            self.pending += piece if self._decoder is None else self._decoder.decode(piece)


class Decoder:
    """Decodes content in ``gzip`` or ``deflate``, up to a size, so that a small response cannot unpack to a huge one.

    Args:
        most_bytes: Most decoded bytes in total; the rest is ignored.
    """

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes
        self._zlib = zlib.decompressobj(wbits=_GZIP_OR_ZLIB)
        self._is_first = True

    def decode(self, data: bytes | memoryview) -> bytes:
        """Return the decoded content of the next bytes; may be empty.

        Raises:
            UpstreamFailed: The content is not coded so.
        """
        if self._left <= 0 or self._zlib.eof:
            return b""
        try:
            try:
                found = self._zlib.decompress(data, self._left)
            except zlib.error:
                if not self._is_first:
                    raise
                # Some servers leave out the header of ``deflate`` (RFC 9110 section 8.4.1.2).
                self._zlib = zlib.decompressobj(wbits=-zlib.MAX_WBITS)
                found = self._zlib.decompress(data, self._left)
        except zlib.error as error:
            raise UpstreamFailed("The preview's response is not encoded as its Content-Encoding says.") from error
        self._is_first = False
        self._left -= len(found)
        return found
