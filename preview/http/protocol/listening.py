"""A listener for which a machine short of descriptors is a reason to wait, not to fail."""

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
from quart_trio.asgi import TrioASGIHTTPConnection

from preview.core.clock import utc_now
from preview.errors import ConfigurationError
from preview.http.protocol.takeover import handover_in
from preview.settings import Settings

log = structlog.get_logger(__name__)

# What accept(2) says when the process or the machine has no descriptor or memory left. Trio's own ``serve_listeners``
# waits too, but writes a traceback to the log each time.
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS})
_PAUSE_S = 0.1


class PatientListener(trio.abc.Listener[trio.abc.Stream]):
    """Accepts connections; while nothing is left to accept one with, they wait in the kernel's queue.

    Args:
        inner: Closed with this one.
    """

    def __init__(self, inner: trio.abc.Listener[trio.abc.Stream]) -> None:
        self._inner = inner
        # Said once, until a connection is accepted again.
        self._told = False

    async def accept(self) -> trio.abc.Stream:
        """Return the next connection. Cancellation: none is lost."""
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
        """Close it. Cancellation: it is closed all the same."""
        await self._inner.aclose()

    def _tell(self, why: str) -> None:
        if not self._told:
            advice = "raise the service's limit of open files, or lower PREVIEW_MAX_CONNECTIONS"
            log.warning("connections wait", why=why, advice=advice)
        self._told = True


def check_certificate(cert: Path, key: Path, password: str | None = None) -> None:
    """Nothing, where both files can be used.

    Args:
        cert: The certificate, PEM, with those that have signed it behind it.
        key: Its private key, PEM.
        password: Of the key, if it has one.

    Raises:
        ConfigurationError: A file cannot be read or is no PEM, they do not belong together, or it is not the time of
            the certificate.
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
        # Without a word it would be asked for at the terminal.
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
        raise ConfigurationError(f"The certificate in {cert} has expired on {end:%Y-%m-%d}; renew it.")
    if now < begin:
        raise ConfigurationError(
            f"The certificate in {cert} is valid from {begin:%Y-%m-%d %H:%M} UTC on only; look at this machine's clock."
        )


# The last message is empty: it only waits where a reader is stalled, and then the server gives up on its own.
_LAST_MESSAGE_S = 5.0
_SCOPE_KEY = "preview.resources"


class RequestConnection(TrioASGIHTTPConnection):
    """Quart-trio's connection with two repairs.

    The last body message is sent under a bounded shield: the server answers it with ``http.disconnect``, upon which
    quart-trio cancels the task that is still closing the connection, so that ``Connection: close`` and the
    keep-alive timeout had no effect.

    What a handler enters into ``request_resources()`` is left when the request is over, also where the client went
    away between the handler's return and the first byte of the body. Where the connection was handed over it goes with
    that.
    """

    async def __call__(self, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
        """Serve the request. Cancellation: the handler is cancelled, and its resources are given back."""

        async def send_last_shielded(message: ASGISendEvent) -> None:
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                with trio.move_on_after(_LAST_MESSAGE_S, shield=True):
                    await send(message)
            else:
                await send(message)

        with ExitStack() as resources:
            cast("dict[str, object]", self.scope)[_SCOPE_KEY] = resources
            await super().__call__(receive, cast("ASGISendCallable", send_last_shielded))
            handover = handover_in(self.scope)
            if handover is not None and handover.is_taken:
                handover.give(resources.pop_all())


def request_resources() -> ExitStack:
    """Return the stack that is left at the end of the current request."""
    return cast("ExitStack", cast("dict[str, object]", request.scope)[_SCOPE_KEY])


# Descriptors that previews, the database and the listeners need beside the connections.
_RESERVED_FILES = 256
# Time to read the refusal; of so many at once, the others are just closed.
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
    """Counts connections within two bounds.

    Args:
        limit: Connections in all.
        limit_per_address: Connections from one address.
        exempt: Addresses that the second bound does not concern; None is a peer without an address.
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
        """Count one connection for as long as this is open."""
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
    """``max_connections``, or what the limit of open files leaves, whichever is less."""
    soft, _ = getrlimit(RLIMIT_NOFILE)
    left = settings.max_connections if soft == RLIM_INFINITY else max(soft - _RESERVED_FILES, soft // 2)
    if left < settings.max_connections:
        log.info("connections limited by open files", max_connections=left, open_files=soft)
    return min(settings.max_connections, left)


async def reject(stream: trio.abc.Stream, crowd: ConnectionLimiter) -> None:
    """Say that there is no space, where somebody can read it, and close. Cancellation: it is closed at once."""
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
            # Closing upon unread bytes would reset the connection, and the answer with it.
            while await stream.receive_some(4096):
                pass
    except (trio.BrokenResourceError, trio.ClosedResourceError):
        pass
    finally:
        crowd.goodbyes.release()
        await trio.aclose_forcefully(stream)
