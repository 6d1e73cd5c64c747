"""The HTTP client that talks to previews and to nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import httpcore2
import httpx2
import trio

from preview.errors import PreviewUnavailable, UpstreamFailed, UpstreamTimeout
from preview.proxy.envelope import ProxyRequest
from preview.proxy.headers import returned_headers
from preview.settings import Settings

__all__ = ["PreviewClient", "ProxyResponse", "open_preview_client"]

# RFC 9110 section 9.2.1: sending these twice asks for nothing more than sending them once.
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# uvicorn closes idle connections after 5 s: let go first, so that most stale connections are never tried.
_KEEP_IDLE_S = 4.0
# A preview on this machine accepts at once or not at all; its backlog may be full for a moment.
_CONNECT_TIMEOUT_S = 5.0
# Each preview has its own address: 100 previews by default, a few connections each.
_MAX_IDLE = 256
_MAX_CONNECTIONS = 1024

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class ProxyResponse:
    """What a preview answered.

    Attributes:
        status: HTTP status.
        headers: Fields that may travel on, repeated ones repeated.
        body: Content with its coding (gzip and the like) undone.
        elapsed_ms: From sending to the last byte.
    """

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    elapsed_ms: float


class PreviewClient:
    """Sends requests to previews.

    It works on httpx2's pool of connections, below its client, on purpose: no redirect is followed, no proxy from the
    environment is used, no default header is added, and no cookie of one preview is kept for another (a cookie jar
    goes by host, and all previews share one host).
    """

    def __init__(self, settings: Settings, pool: httpcore2.AsyncConnectionPool) -> None:
        self._settings = settings
        self._pool = pool

    async def send(self, address: Address, request: ProxyRequest, *, timeout_s: float | None = None) -> ProxyResponse:
        """Send the request to the preview at ``address`` and read its whole answer.

        Args:
            address: Host and port of the preview itself; nothing else is ever connected to.
            request: Checked by ``envelope.make_request``.
            timeout_s: Seconds for the whole exchange; None means the setting.

        Raises:
            PreviewUnavailable: Nobody accepts connections there.
            UpstreamTimeout: The answer was not complete in time.
            UpstreamFailed: The connection broke, the answer is not HTTP, or it is larger than allowed.

        Cancellation: the connection is closed; the preview may have acted on the request already.
        """
        limit_s = self._settings.proxy_timeout_s if timeout_s is None else timeout_s
        begun = trio.current_time()
        try:
            with trio.fail_after(limit_s):
                status, headers, body = await self._exchange(address, request)
        except (trio.TooSlowError, httpcore2.TimeoutException) as error:
            raise UpstreamTimeout(
                f"The preview did not answer {request.method} {request.path} within {limit_s:g} s.", timeout_s=limit_s
            ) from error
        except httpcore2.ConnectError as error:
            raise PreviewUnavailable("The preview does not accept connections: it may be starting or gone.") from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, httpx2.DecodingError) as error:
            raise UpstreamFailed(
                f"The preview broke off its answer or sent something that is not HTTP ({type(error).__name__})."
            ) from error
        elapsed_ms = (trio.current_time() - begun) * 1000
        return ProxyResponse(status, headers, body, round(elapsed_ms, 1))

    async def _exchange(self, address: Address, request: ProxyRequest) -> tuple[int, list[tuple[str, str]], bytes]:
        answer = await self._head(address, request)
        parts = _Parts(answer)
        try:
            body = await self._content(httpx2.Response(answer.status, headers=answer.headers, stream=parts))
        finally:
            # Closing does not wait for the peer; the bound covers a fault in the pool.
            with trio.move_on_after(1, shield=True):
                await parts.aclose()
        fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.headers]
        return answer.status, returned_headers(fields), body

    async def _head(self, address: Address, request: ProxyRequest) -> httpcore2.Response:
        """Send, and wait for the head of the answer; once more where an idle connection had gone stale."""
        reused, message = _Reused(), _message(address, request)
        message.extensions["trace"] = reused.trace
        try:
            return await self._pool.handle_async_request(message)
        except (httpcore2.ReadError, httpcore2.WriteError, httpcore2.RemoteProtocolError):
            if request.method not in _SAFE or not reused:
                raise
        return await self._pool.handle_async_request(_message(address, request))

    async def _content(self, response: httpx2.Response) -> bytes:
        """The decoded content. Decoders yield bounded pieces, so that a small answer cannot unpack to a huge one."""
        limit = self._settings.proxy_response_bytes
        content = bytearray()
        async with aclosing(response.aiter_bytes()) as pieces:
            async for piece in pieces:
                content += piece
                if len(content) > limit:
                    raise UpstreamFailed(
                        f"The preview's answer is larger than {limit} bytes: ask it for less, or by pages.",
                        reason="response_too_large",
                        limit_bytes=limit,
                    )
        return bytes(content)


class _Parts(httpx2.AsyncByteStream):
    """The raw content as an iterator that is closed for certain.

    A generator that is dropped half read would be finished by the garbage collector, outside of any task.
    """

    def __init__(self, answer: httpcore2.Response) -> None:
        self._answer = answer
        self._parts = aiter(answer.stream)  # type: ignore[arg-type]  # of an async pool: an async iterable

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        return await anext(self._parts)

    async def aclose(self) -> None:
        """Give the connection back, or close it where content is left. Cancellation: the pool closes it."""
        await self._parts.aclose()  # type: ignore[attr-defined]  # the pool's iterator is a generator
        await self._answer.aclose()


class _Reused:
    """Whether a request went out on a connection that was there before (true until a connect is seen)."""

    def __init__(self) -> None:
        self._connected = False

    async def trace(self, event: str, _info: object) -> None:
        """Called by the transport at each of its steps. Cancellation: nothing to undo."""
        if event.startswith("connection.connect_"):
            self._connected = True

    def __bool__(self) -> bool:
        return not self._connected


def _message(address: Address, request: ProxyRequest) -> httpcore2.Request:
    host, port = address
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    fields = [("Host", authority), *request.headers]
    if not any(name.lower() == "accept-encoding" for name, _ in fields):
        # Previews are on this machine: compressing would only cost both sides.
        fields.append(("Accept-Encoding", "identity"))
    if request.body is not None:
        fields.append(("Content-Length", str(len(request.body))))
    elif request.method in {"POST", "PUT", "PATCH"}:
        fields.append(("Content-Length", "0"))  # RFC 9110 section 8.6
    return httpcore2.Request(
        request.method,
        httpcore2.URL(scheme="http", host=host, port=port, target="/"),
        headers=[(name.encode("latin-1"), value.encode()) for name, value in fields],
        content=request.body,
        # The target as it was checked, byte for byte.
        extensions={"target": request.target, "timeout": {"connect": _CONNECT_TIMEOUT_S, "pool": _CONNECT_TIMEOUT_S}},
    )


@asynccontextmanager
async def open_preview_client(settings: Settings) -> AsyncIterator[PreviewClient]:
    """A client with its pool of connections, which are closed at the end.

    Cancellation: connections are closed.
    """
    async with httpcore2.AsyncConnectionPool(
        max_connections=_MAX_CONNECTIONS, max_keepalive_connections=_MAX_IDLE, keepalive_expiry=_KEEP_IDLE_S
    ) as pool:
        yield PreviewClient(settings, pool)
