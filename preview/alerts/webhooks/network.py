"""The network side of webhooks: names are resolved here, and only checked addresses are connected to."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final, cast

import httpcore2
import trio

from preview.alerts.webhooks.addresses import AddressPolicy
from preview.core.bounded_dict import BoundedDict

LookUp = Callable[[str, int, str], Awaitable[Sequence[str]]]
"""Resolves a host and port, for a user, to numeric addresses. Raises ``OSError``."""

# Enough for a host with both protocols; all attempts to connect share the total time.
_MOST_ADDRESSES: Final = 4
_CONNECT_S: Final = 4.0
# A slow name server keeps a thread for half a minute; these threads are no other work's.
_LOOK_UPS: Final = 16
_LOOK_UPS_PER_USER: Final = 2
_MOST_USERS: Final = 4096
# More than any response of a webhook needs, head and first bytes of the content.
_MOST_RECEIVED_BYTES: Final = 32 * 1024


class AddressRefused(Exception):
    """The host has no address that webhooks may reach; the message is a sentence."""


class _TwoLimiters:
    """A limiter for ``trio.to_thread`` that takes a slot of the user and one of all users."""

    def __init__(self, mine: trio.CapacityLimiter, shared: trio.CapacityLimiter) -> None:
        self._mine = mine
        self._shared = shared

    async def acquire_on_behalf_of(self, borrower: object) -> None:
        """Take both slots. Cancellation: none is taken."""
        await self._mine.acquire_on_behalf_of(borrower)
        try:
            await self._shared.acquire_on_behalf_of(borrower)
        except BaseException:
            self._mine.release_on_behalf_of(borrower)
            raise

    def release_on_behalf_of(self, borrower: object) -> None:
        """Free both slots."""
        self._shared.release_on_behalf_of(borrower)
        self._mine.release_on_behalf_of(borrower)


class Resolver:
    """Resolves names with the machine's resolver, in threads of its own.

    A name server can be the attacker's, and slow. A user has few of these threads at a time: a thread counts until it
    has really ended.
    """

    def __init__(self) -> None:
        self._shared = trio.CapacityLimiter(_LOOK_UPS)
        self._users: BoundedDict[str, trio.CapacityLimiter] = BoundedDict(_MOST_USERS)

    async def __call__(self, host: str, port: int, user_id: str) -> Sequence[str]:
        """Return the host's addresses, numeric.

        Raises:
            OSError: The name does not resolve.

        Cancellation: the thread is abandoned.
        """
        mine = self._users.use(user_id)
        if mine is None:
            mine = self._users[user_id] = trio.CapacityLimiter(_LOOK_UPS_PER_USER)

        def look_up() -> list[str]:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
            return list(dict.fromkeys(str(one[4][0]) for one in found))

        limiter = cast("trio.CapacityLimiter", _TwoLimiters(mine, self._shared))
        try:
            return await trio.to_thread.run_sync(look_up, abandon_on_cancel=True, limiter=limiter)
        except UnicodeError as error:
            raise OSError("the name is not a valid one") from error


class PinnedBackend(httpcore2.AsyncNetworkBackend):
    """Connects to the given addresses only, whatever host the HTTP client names.

    The client keeps the host for its ``Host`` field, for SNI and for the check of the certificate.

    Args:
        addresses: Checked numeric addresses.
    """

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    async def connect_tcp(
        self,
        host: str,  # noqa: ARG002  deliberately not resolved again
        port: int,
        timeout: float | None = None,  # noqa: ARG002  the sender bounds the whole attempt
        local_address: str | None = None,  # noqa: ARG002
        socket_options: Iterable[Any] | None = None,  # noqa: ARG002
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first address that accepts.

        Raises:
            httpcore2.ConnectError: No address accepts.

        Cancellation: the socket is closed.
        """
        why: object = "it has no address"
        for address in self._addresses:
            try:
                with trio.fail_after(_CONNECT_S):
                    return BoundedStream(await _connect(address, port))
            except (OSError, trio.TooSlowError) as error:
                why = getattr(error, "strerror", None) or "it does not accept connections in time"
        raise httpcore2.ConnectError(str(why))


async def _connect(address: str, port: int) -> trio.SocketStream:
    sock = trio.socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        await sock.connect((address, port))
    except BaseException:
        sock.close()
        raise
    return trio.SocketStream(sock)


class BoundedStream(httpcore2.AsyncNetworkStream):
    """A connection that ends when the peer has sent too much.

    Args:
        stream: The connection.
    """

    def __init__(self, stream: trio.abc.Stream) -> None:
        self._stream = stream
        self._left_bytes = _MOST_RECEIVED_BYTES

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ARG002  see ``connect_tcp``
        """Read some bytes.

        Raises:
            httpcore2.ReadError: The connection broke, or too much arrived.

        Cancellation: the connection is unusable.
        """
        if self._left_bytes <= 0:
            raise httpcore2.ReadError("it sent too much")
        try:
            data = bytes(await self._stream.receive_some(min(max_bytes, self._left_bytes)))
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore2.ReadError("it closed the connection") from error
        self._left_bytes -= len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ARG002
        """Send the bytes.

        Raises:
            httpcore2.WriteError: The connection broke.

        Cancellation: a part was sent.
        """
        try:
            await self._stream.send_all(buffer)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            raise httpcore2.WriteError("it closed the connection") from error

    async def aclose(self) -> None:
        """Close the connection at once, without a TLS goodbye, for which a peer could let us wait.

        Cancellation: it is closed.
        """
        await trio.aclose_forcefully(self._stream)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ARG002
    ) -> httpcore2.AsyncNetworkStream:
        """Secure the connection; the certificate must be the host's.

        Raises:
            httpcore2.ConnectError: The handshake failed.

        Cancellation: the connection is closed.
        """
        stream = trio.SSLStream(
            self._stream, ssl_context, server_hostname=server_hostname, https_compatible=True, server_side=False
        )
        try:
            await stream.do_handshake()
        except trio.BrokenResourceError as error:
            await trio.aclose_forcefully(self._stream)
            raise httpcore2.ConnectError(_tls_problem(error.__cause__)) from error
        except BaseException:
            await trio.aclose_forcefully(self._stream)
            raise
        return BoundedStream(stream)


def _tls_problem(error: BaseException | None) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not accepted: {error.verify_message}"
    return "it does not speak TLS"


async def checked_addresses(
    look_up: LookUp, policy: AddressPolicy, host: str, port: int, user_id: str
) -> Sequence[str]:
    """Resolve a host once and return the addresses that webhooks may reach.

    Raises:
        AddressRefused: There is none.
        OSError: The name does not resolve.

    Cancellation: nothing changes.
    """
    found = await look_up(host, port, user_id)
    problems = {one: policy.problem(one, port) for one in found}
    allowed = [one for one, problem in problems.items() if problem is None]
    if not allowed:
        why = next((problem for problem in problems.values() if problem), "has no address")
        raise AddressRefused(
            f"{host} {why}; the operator can allow networks with PREVIEW_WEBHOOK_NETWORKS."
            if "public" in why
            else f"{host} {why}."
        )
    return allowed[:_MOST_ADDRESSES]
