"""Connections to a server of the operator's: TCP or a unix socket, with TLS if its address asks for it.

TLS ends here: everything else gets one end of a pair of sockets, whose other end a task joins with the encrypted
connection. So sessions are carried as those of the service's own servers are.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial

import trio

from preview.backing.server import ServerUnavailable
from preview.settings_address import ServerAddress, Tls

CONNECT_S = 10.0
_CHUNK_BYTES = 64 * 1024
# Connections whose task is not started yet.
_MOST_WAITING = 100
# Asks the server, on a new connection, to encrypt it; returns false if it does not.
Ask = Callable[[trio.SocketStream], Awaitable[bool]]


class Connector:
    """Connects to one server. Encrypted connections work while ``run`` runs.

    Args:
        name: The server's name for people.
        address: Its address.
        file: The unix socket, if the address names one.
    """

    def __init__(self, name: str, address: ServerAddress, file: str) -> None:
        self._name = name
        self._address = address
        self._file = file if address.host.startswith("/") else ""
        self._has_ended = False
        self._send, self._receive = trio.open_memory_channel[tuple[trio.SSLStream[trio.SocketStream], socket.socket]](
            _MOST_WAITING
        )

    async def run(self) -> None:
        """Carry encrypted connections. Cancellation: all of them end."""
        try:
            async with trio.open_nursery() as nursery:
                async for encrypted, end in self._receive:
                    nursery.start_soon(_carry, encrypted, trio.SocketStream(trio.socket.from_stdlib_socket(end)))
        finally:
            self._has_ended = True
            with suppress(trio.WouldBlock):
                while True:
                    encrypted, end = self._receive.receive_nowait()
                    encrypted.transport_stream.socket.close()
                    end.close()

    async def connect(self, ask: Ask | None = None) -> trio.SocketStream:
        """Connect to the server.

        Args:
            ask: Asks for encryption; without it the connection is plain, and ``encrypt`` may follow.

        Raises:
            ServerUnavailable: It does not answer in time, or does not encrypt, or is another one.

        Cancellation: no connection is left.
        """
        return await self._within_time(partial(self._connect, ask))

    async def encrypt(self, plain: trio.SocketStream) -> trio.SocketStream:
        """Encrypt a connection whose server expects it now. The plain one must not be used any more.

        Raises:
            ServerUnavailable: No encryption begins, or nobody carries it: ``run`` has ended, or has too much to do.

        Cancellation: no connection is left.
        """
        is_used = False
        try:
            encrypted = await self._within_time(partial(self._encrypt, plain))
            is_used = True
        finally:
            if not is_used:
                plain.socket.close()
        return encrypted

    def wants_tls(self, *, is_offered: bool) -> bool:
        """Return whether a connection is encrypted.

        Args:
            is_offered: Whether the server can.

        Raises:
            ServerUnavailable: The address asks for encryption, which the server does not offer.
        """
        if self._file or self._address.tls is Tls.OFF:
            return False
        if not is_offered and self._address.tls is not Tls.PREFERRED:
            raise ServerUnavailable(f"{self._name} does not offer encryption, which its address asks for")
        return is_offered

    async def _within_time(self, open_stream: Callable[[], Awaitable[trio.SocketStream]]) -> trio.SocketStream:
        try:
            with trio.fail_after(CONNECT_S):
                return await open_stream()
        except (trio.BrokenResourceError, ssl.SSLError) as error:
            cause = error.__cause__ or error
            why = "TLS could not be started"
            if isinstance(cause, ssl.SSLCertVerificationError):
                why = f"its certificate is not accepted: {cause.verify_message}"
        except OSError as error:
            why = _reason(error)
        except trio.TooSlowError:
            why = f"within {CONNECT_S:g} s"
        raise ServerUnavailable(f"{self._name} does not answer ({why})")

    async def _connect(self, ask: Ask | None) -> trio.SocketStream:
        if self._file:
            return await trio.open_unix_socket(self._file)
        plain = await trio.open_tcp_stream(self._address.host, self._address.port)
        is_used = False
        try:
            if ask is None or self._address.tls is Tls.OFF or not self.wants_tls(is_offered=await ask(plain)):
                is_used = True
                return plain
            encrypted = await self._encrypt(plain)
            is_used = True
            return encrypted
        finally:
            if not is_used:
                plain.socket.close()

    async def _encrypt(self, plain: trio.SocketStream) -> trio.SocketStream:
        context = await trio.to_thread.run_sync(_context, self._address)
        encrypted = trio.SSLStream(plain, context, server_hostname=self._address.host, https_compatible=True)
        await encrypted.do_handshake()
        if self._has_ended:
            raise ServerUnavailable(f"{self._name} was closed: the service is shutting down")
        ours, theirs = socket.socketpair()
        try:
            self._send.send_nowait((encrypted, theirs))
        except trio.WouldBlock:
            ours.close()
            theirs.close()
            raise ServerUnavailable(f"{self._name} has too many connections being opened") from None
        return trio.SocketStream(trio.socket.from_stdlib_socket(ours))


def _reason(error: OSError) -> str:
    """Return why a connection failed; one to several addresses fails with a group of errors."""
    cause = error.__cause__
    while isinstance(cause, BaseExceptionGroup):
        cause = cause.exceptions[0]
    found = cause if isinstance(cause, OSError) else error
    # A name that is not found has no number of the system's.
    return os.strerror(found.errno) if found.errno and found.errno > 0 else "its host name cannot be resolved"


def _context(address: ServerAddress) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=address.roots)
    if address.tls is not Tls.HOST:
        context.check_hostname = False
    if address.tls in (Tls.PREFERRED, Tls.REQUIRED):
        context.verify_mode = ssl.CERT_NONE
    return context


async def _carry(encrypted: trio.SSLStream[trio.SocketStream], end: trio.SocketStream) -> None:
    """Forward bytes until one side has ended: TLS cannot end one direction alone."""

    async def pump(source: trio.abc.ReceiveStream, sink: trio.abc.SendStream) -> None:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            while chunk := await source.receive_some(_CHUNK_BYTES):
                await sink.send_all(chunk)
        nursery.cancel_scope.cancel()

    try:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pump, encrypted, end)
            nursery.start_soon(pump, end, encrypted)
    finally:
        # Both, also when this is cancelled.
        encrypted.transport_stream.socket.close()
        end.socket.close()
