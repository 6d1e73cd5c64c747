"""Accepting connections: a patient listener, certificate checks, request resources, and connection limits."""

from __future__ import annotations

import errno
import os
import ssl
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit
from typing import cast

import structlog
import trio
from cryptography import x509
from hypercorn.typing import ASGIReceiveCallable, ASGISendCallable, ASGISendEvent
from quart import request
from quart_trio.asgi import TrioASGIHTTPConnection, TrioASGIWebsocketConnection

from preview.core.clock import utc_now
from preview.errors import ConfigurationError
from preview.http.core.live_requests import cancellable
from preview.http.protocol.takeover import handover_in
from preview.settings import Settings

log = structlog.get_logger(__name__)

# Errors of accept(2) if the process or the machine has no descriptor or memory left. Trio's own ``serve_listeners``
# waits too, but logs a traceback each time.
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_PAUSE_S = 0.1


class PatientListener(trio.abc.Listener[trio.abc.Stream]):
    """Accepts connections; without a free descriptor or memory, they wait in the kernel's queue.

    Args:
        inner: The wrapped listener, closed with this one.
    """

    def __init__(self, inner: trio.abc.Listener[trio.abc.Stream]) -> None:
        self._inner = inner
        # Logged once, until a connection is accepted again.
        self._told = False

    async def accept(self) -> trio.abc.Stream:
        """Return the next connection. Cancellation: no connection is lost."""
        while True:
            try:
                stream = await self._inner.accept()
            except OSError as error:
                if error.errno not in _SHORT:
                    raise
                self._tell(os.strerror(error.errno))
                await trio.sleep(_PAUSE_S)
            else:
                self._told = False
                return stream

    async def aclose(self) -> None:
        """Close the listener. Cancellation: it is closed all the same."""
        await self._inner.aclose()

    def _tell(self, why: str) -> None:
        if not self._told:
            advice = "raise the service's limit of open files, or lower PREVIEW_MAX_CONNECTIONS"
            log.warning("connections wait", why=why, advice=advice)
        self._told = True


def check_certificate(cert: Path, key: Path, password: str | None = None) -> None:
    """Check that a certificate and its key can be used.

    Args:
        cert: The certificate in PEM, followed by its chain.
        key: The private key in PEM.
        password: Password of the key, if it has one.

    Raises:
        ConfigurationError: A file is unreadable or not PEM, the files do not match, or the certificate is expired or
            not yet valid.
    """
    try:
        text = cert.read_bytes()
        key.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{error.filename} cannot be read for TLS ({error.strerror}); name another file."
        ) from error
    try:
        shown = x509.load_pem_x509_certificate(text)
    except ValueError as error:
        raise ConfigurationError(f"{cert} holds no certificate in PEM form; name the file with the chain.") from error
    try:
        # Without a password, OpenSSL would prompt at the terminal.
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(cert, key, password or "")
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigurationError(f"{key} is not the key of {cert}; name the one it was issued for.") from error
        raise ConfigurationError(
            f"{cert} and {key} cannot be used for TLS ({error.reason or 'no PEM, or a wrong password'})."
        ) from error
    _check_time(cert, shown.not_valid_before_utc, shown.not_valid_after_utc)


def _check_time(cert: Path, begin: datetime, end: datetime) -> None:
    now = utc_now()
    if now >= end:
        raise ConfigurationError(f"The certificate in {cert} expired on {end:%Y-%m-%d}; renew it.")
    if now < begin:
        raise ConfigurationError(
            f"The certificate in {cert} is not valid until {begin:%Y-%m-%d %H:%M} UTC; check this machine's clock."
        )


# The last message is empty: it waits only for a stalled reader, and then the server gives up on its own.
_LAST_MESSAGE_S = 5.0
_SCOPE_KEY = "preview.resources"


class RequestConnection(TrioASGIHTTPConnection):
    """Quart-trio's connection with two fixes.

    1. The last body message is sent under a bounded shield. The server answers it with ``http.disconnect``, upon which
       quart-trio cancels the task that is still closing the connection. Without the shield, ``Connection: close`` and
       the keep-alive timeout had no effect.
    2. The stack ``request_resources()`` is closed at the end of the request, even if the client disconnects between the
       handler's return and the first byte of the body. After a takeover, the taken connection closes the stack.
    """

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve the request. Cancellation: the handler is cancelled, and its resources are released."""

        async def send_last_shielded(message: ASGISendEvent) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                with trio.move_on_after(_LAST_MESSAGE_S, shield=True):
                    await send(message)
            else:
                await send(message)

        with cancellable(cast("dict[str, object]", self.scope)), ExitStack() as resources:
            cast("dict[str, object]", self.scope)[_SCOPE_KEY] = resources
            await super().__call__(receive, cast("ASGISendCallable", send_last_shielded))
            handover = handover_in(self.scope)
            if handover is not None and handover.is_taken:
                handover.give(resources.pop_all())


class SocketConnection(TrioASGIWebsocketConnection):
    """Quart-trio's WebSocket, which a revocation of its user's access can cut off."""

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve the WebSocket. Cancellation: the connection is closed at once."""
        with cancellable(cast("dict[str, object]", self.scope)):
            await super().__call__(receive, send)


def request_resources() -> ExitStack:
    """Return the stack that is closed at the end of the current request."""
    return cast("ExitStack", cast("dict[str, object]", request.scope)[_SCOPE_KEY])


# Descriptors for previews, the database and the listeners, in addition to the connections.
_RESERVED_FILES = 256
# Seconds for a client to read its refusal, and most refusals at a time; further connections are just closed.
_GOODBYE_S = 1.0
_GOODBYES = 64
_REFUSAL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
    b"Retry-After: 2\r\nConnection: close\r\n\r\n"
    b'{"type":"urn:preview:problem:too_many_connections","title":"Too many connections","status":503,'
    b'"detail":"Too many connections are open; close some, or come back in a moment.",'
    b'"code":"too_many_connections"}'
)


class ConnectionLimiter:
    """Counts connections against two limits.

    Args:
        limit: Most connections in total.
        limit_per_address: Most connections from one address.
        exempt: Returns whether the second limit does not apply to an address; None is a peer without an address.
    """

    def __init__(
        self, limit: int, limit_per_address: int, *, exempt: Callable[[str | None], bool] = lambda _: False
    ) -> None:
        self._limit = limit
        self._limit_per_address = limit_per_address
        self._exempt = exempt
        self._by_address: Counter[str | None] = Counter()
        self._total = 0
        self.goodbyes = trio.CapacityLimiter(_GOODBYES)

    def has_room_for(self, address: str | None) -> bool:
        """Return whether one more connection from this address may be served."""
        if self._total >= self._limit:
            return False
        return self._exempt(address) or self._by_address[address] < self._limit_per_address

    @contextmanager
    def counted(self, address: str | None) -> Iterator[None]:
        """Count one connection while this context is open."""
        self._total += 1
        self._by_address[address] += 1
        try:
            yield
        finally:
            self._total -= 1
            self._by_address[address] -= 1
            if not self._by_address[address]:
                del self._by_address[address]


def connection_limit(settings: Settings) -> int:
    """Return ``max_connections``, or fewer if the limit of open files requires it."""
    soft, _ = getrlimit(RLIMIT_NOFILE)
    left = settings.max_connections if soft == RLIM_INFINITY else max(soft - _RESERVED_FILES, soft // 2)
    if left < settings.max_connections:
        log.info("connections limited by open files", max_connections=left, open_files=soft)
    return min(settings.max_connections, left)


async def reject(stream: trio.abc.Stream, crowd: ConnectionLimiter) -> None:
    """Refuse the connection with a 503, if a reply is still affordable, and close. Cancellation: closed at once."""
    try:
        crowd.goodbyes.acquire_nowait()
    except trio.WouldBlock:
        await trio.aclose_forcefully(stream)
        return
    try:
        with trio.move_on_after(_GOODBYE_S):
            await stream.send_all(_REFUSAL)
            if isinstance(stream, trio.abc.HalfCloseableStream):
                await stream.send_eof()
            # Closing with unread bytes would reset the connection, and the response would be lost.
            while await stream.receive_some(4096):
                pass
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    finally:
        crowd.goodbyes.release()
        await trio.aclose_forcefully(stream)
