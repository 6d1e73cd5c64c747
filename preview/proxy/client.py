"""Endpoint calls: send a whole request to a preview and read its whole response.

``exchange`` handles the connection, for calls as for a browser's requests. This module adds one time limit for the
exchange, a size limit for the response, and decoding. It follows no redirects, uses no proxy from the environment, and
adds no default header except ``Accept-Encoding``. It keeps no cookies, because all previews share one host.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import httpx2
import trio

from preview.errors import UpstreamFailed, UpstreamTimeout
from preview.proxy.call_fields import Header, returned_headers
from preview.proxy.envelope import ProxyRequest
from preview.proxy.exchange import FINAL, UpstreamExchange, alongside, open_exchange
from preview.proxy.http1 import Answer, Field, request_head
from preview.proxy.pool import Address, Pool, open_pool
from preview.proxy.streamed_call import StreamedCall
from preview.settings import Settings

# Bytes that a coding may add to incompressible content.
_CODING_BYTES = 64 * 1024
# Other codings would need optional libraries.
_UNDONE = frozenset({b"gzip", b"deflate"})

_Whole = tuple[int, list[Header], bytes]


@dataclass(frozen=True, slots=True)
class ProxyResponse:
    """Response of a preview.

    Attributes:
        status: HTTP status.
        headers: Fields for the caller; a repeated field appears repeatedly.
        body: Decoded content if the coding is gzip or deflate; for other codings, ``headers`` name the coding.
        elapsed_ms: Milliseconds from sending to the last byte.
    """

    status: int
    headers: list[Header]
    body: bytes
    elapsed_ms: float


class PreviewClient:
    """Sends requests to previews. Made by ``open_preview_client``.

    Attributes:
        pool: Connections to previews, shared with the ASGI path of browsers' requests.
    """

    def __init__(self, settings: Settings, pool: Pool) -> None:
        self.pool = pool
        self._settings = settings

    async def send(
        self, address: Address, request: ProxyRequest, *, process: int | None = None, timeout_s: float | None = None
    ) -> ProxyResponse:
        """Send the request to the preview at ``address`` and read its whole response.

        Args:
            address: Host and port of the preview itself; the client connects to no other address.
            request: Checked by ``envelope.make_request``.
            process: Number of the preview's current process (see ``exchange.open_exchange``).
            timeout_s: Seconds for the whole exchange; None means the setting.

        Raises:
            PreviewUnavailable: The address does not accept connections.
            UpstreamTimeout: The response was not complete in time.
            UpstreamFailed: The connection broke, the response is not valid HTTP, or it is larger than allowed.

        Cancellation: the connection is closed; the preview may already have acted on the request.
        """
        limit_s = self._settings.proxy_timeout_s if timeout_s is None else timeout_s
        begun = trio.current_time()
        try:
            with trio.fail_after(limit_s):
                async with open_exchange(self.pool, address, process or 0, request.method) as upstream:
                    status, headers, body = await self._exchange(upstream, address, request)
        except trio.TooSlowError as error:
            raise UpstreamTimeout(
                f"The preview did not answer {request.method} {request.path} within {limit_s:g} s.", timeout_s=limit_s
            ) from error
        except httpx2.DecodingError as error:
            raise UpstreamFailed("The preview's response is not encoded as its Content-Encoding says.") from error
        elapsed_ms = (trio.current_time() - begun) * 1000
        return ProxyResponse(status, headers, body, round(elapsed_ms, 1))

    def stream(self, address: Address, request: ProxyRequest, *, process: int | None = None) -> StreamedCall:
        """Prepare a request whose response is read piece by piece. The caller starts and closes it.

        Args:
            address: As for ``send``; as are the others.
            request: Checked by ``envelope.make_request``.
            process: Number of the preview's current process.
        """
        key = f"{address[0]}:{address[1]}", process or 0
        upstream = UpstreamExchange(self.pool, key, address, request.method.encode("latin-1", "replace"))
        return StreamedCall(upstream, request, *_message(address, request), self._settings.proxy_response_bytes)

    async def _exchange(self, upstream: UpstreamExchange, address: Address, request: ProxyRequest) -> _Whole:
        head, content = _message(address, request)
        await upstream.start(head, len(content), [content] if content else [])
        if not upstream.unsent:
            return await self._read(upstream)
        # A preview may respond before it has read the whole request.
        async with alongside(upstream.drain):
            return await self._read(upstream)

    async def _read(self, upstream: UpstreamExchange) -> _Whole:
        while (answer := await upstream.read_head()).status < FINAL:
            pass
        fields = upstream.fields_as_written()
        coding = _coding(answer) if answer.length else b""
        pieces = _Pieces(upstream, self._settings.proxy_response_bytes)
        body = await self._content(
            httpx2.Response(answer.status, headers=fields if coding in _UNDONE else [], stream=pieces)
        )
        headers = returned_headers([(name.decode(), value.decode("latin-1")) for name, value in fields])
        if coding and coding not in _UNDONE:
            headers.append(("Content-Encoding", coding.decode("latin-1")))
        return answer.status, headers, body

    async def _content(self, response: httpx2.Response) -> bytes:
        """Return the decoded content; pieces are limited, so that a small response cannot unpack to a huge one."""
        limit = self._settings.proxy_response_bytes
        content = bytearray()
        async with aclosing(response.aiter_bytes()) as pieces:
            async for piece in pieces:
                content += piece
                if len(content) > limit:
                    raise _too_large(limit)
        return bytes(content)


class _Pieces(httpx2.AsyncByteStream):
    """Undecoded content for the decoders. Not a generator, which the garbage collector might have to finish.

    The size is limited here too, because decoders ignore and keep bytes after the end of coded content.
    """

    def __init__(self, upstream: UpstreamExchange, limit: int) -> None:
        self._upstream = upstream
        self._limit = limit
        self._size = 0

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._upstream.read_piece()
        if piece is None:
            raise StopAsyncIteration
        self._size += len(piece)
        if self._size > self._limit + _CODING_BYTES:
            raise _too_large(self._limit)
        return piece


def _too_large(limit: int) -> UpstreamFailed:
    return UpstreamFailed(
        f"The preview's response is larger than {limit} bytes: request less, or use paging.",
        reason="response_too_large",
        limit_bytes=limit,
    )


def _coding(answer: Answer) -> bytes:
    """Return the content's coding in lower case; empty for none. Two codings could multiply the unpacked size.

    Raises:
        UpstreamFailed: There is more than one coding.
    """
    said = b",".join(value for name, value in answer.fields if name == b"content-encoding").lower()
    stripped = (coding.strip(b" \t") for coding in said.split(b","))
    codings = [coding for coding in stripped if coding not in {b"", b"identity"}]
    if len(codings) > 1:
        raise UpstreamFailed("The preview's answer has more than one Content-Encoding: use one, or none.")
    return codings[0] if codings else b""


def _message(address: Address, request: ProxyRequest) -> tuple[bytes, bytes]:
    """Return the head and the content, as sent."""
    content = request.body
    if content is None and request.method in {"POST", "PUT", "PATCH"}:
        content = b""  # RFC 9110 section 8.6: these methods announce empty content, too
    length = None if content is None else len(content)
    return request_head(request.method, request.target, _fields(address, request), length), content or b""


def _fields(address: Address, request: ProxyRequest) -> list[Field]:
    """Return the caller's fields, with the preview's address and the request's id."""
    host, port = address
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    fields = [("Host", authority), *request.headers]
    if request.request_id:
        fields.append(("X-Request-Id", request.request_id))
    if not any(name.lower() == "accept-encoding" for name, _ in fields):
        # Previews are on this machine, so compression would only cost both sides.
        fields.append(("Accept-Encoding", "identity"))
    return [(name.encode("latin-1"), value.encode()) for name, value in fields]


@asynccontextmanager
async def open_preview_client(settings: Settings) -> AsyncIterator[PreviewClient]:
    """Provide a client with its connections, which are closed at the end.

    Cancellation: connections are closed.
    """
    async with open_pool() as pool:
        yield PreviewClient(settings, pool)
