"""Requests to an identity provider: bounded in size, without redirects and without a proxy."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

import httpcore2
import httpx2
import structlog
import trio

# Identity providers publish two to ten keys of a few KB, certificates included.
MAX_ANSWER_BYTES = 256 * 1024
# Bounds the time that a request, or a shutdown, waits for a provider.
ANSWER_TIMEOUT_S = 5.0
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

NO_ANSWER = (httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException)
"""Errors of httpcore2 without an answer: they have no common base class."""

_log = structlog.get_logger(__name__)


class BadAddress(ValueError):
    """Not an HTTP address, or one with a password."""


class BadStatus(ValueError):
    """The answer's status is not 200. The message continues a sentence: '... answered 404'.

    Attributes:
        content: The start of the answer.
    """

    def __init__(self, status: int, content: bytes) -> None:
        super().__init__(f"answered {status}")
        self.content = content


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address of a provider.

    Attributes:
        url: The address.
        name: The address for the log: without user, password and query.
    """

    url: httpx2.URL
    name: str

    @classmethod
    def at(cls, address: str) -> Endpoint:
        """Return the endpoint at an address.

        Raises:
            BadAddress: It is not an HTTP address, or has a password.
        """
        try:
            url = httpx2.URL(address)
        except httpx2.InvalidURL:
            raise BadAddress from None
        if url.scheme not in {"http", "https"} or not url.host or url.userinfo:
            raise BadAddress
        return cls(url, f"{url.scheme}://{url.netloc.decode('ascii')}{url.path}")

    @property
    def is_private(self) -> bool:
        """True if nobody on the way can read or change a request: it is encrypted, or stays on this machine."""
        return self.url.scheme == "https" or self.url.host in _LOOPBACK

    async def ask(self, body: bytes | None = None, headers: Mapping[str, str] | None = None) -> bytes:
        """Return the answer's content, to ``GET``, or to ``POST`` if there is a body.

        At most slightly more than ``MAX_ANSWER_BYTES`` are read. The caller bounds the time.

        Raises:
            BadStatus: The status is not 200.
            OSError: There is no answer; likewise each of ``NO_ANSWER``.

        Cancellation: the connection is closed; the provider may have acted.
        """
        url = self.url
        target = httpcore2.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        # Uncompressed, so the content cannot become larger than the bytes that were read.
        sent = {"Host": url.netloc.decode("ascii"), "Accept": "application/json", "Accept-Encoding": "identity"}
        method, content = "GET", bytearray()
        if body is not None:
            method = "POST"
            sent |= {"Content-Type": "application/x-www-form-urlencoded", "Content-Length": str(len(body))}
        pairs = [(name.encode("ascii"), value.encode("ascii")) for name, value in (sent | dict(headers or {})).items()]
        # A bare pool follows no redirects (the operator named the trusted address) and uses no proxy. Unlike httpx2's
        # streams, its streams can be abandoned halfway when a response is too large.
        async with (
            httpcore2.AsyncConnectionPool(max_connections=1) as pool,
            pool.stream(method, target, headers=pairs, content=body) as response,
            aclosing(response.aiter_stream()) as pieces,
        ):
            async for piece in pieces:
                content += piece
                if len(content) > MAX_ANSWER_BYTES:
                    break
        if response.status != 200:
            raise BadStatus(response.status, bytes(content[:1000]))
        return bytes(content)


class AddressTurns:
    """A number of requests at a time for each address of clients.

    Args:
        most: Most requests of one address at a time; its others wait.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # Limiters of the addresses that have a request now.
        self._limiters: dict[str, trio.CapacityLimiter] = {}

    @asynccontextmanager
    async def of(self, address: str, patience_s: float) -> AsyncIterator[bool]:
        """Wait for this address' turn, and have it in the body; yields False if it took longer than the patience.

        Cancellation: the turn is given back.
        """
        key = _block_of(address)
        limiter = self._limiters.setdefault(key, trio.CapacityLimiter(self._most))
        has_turn = False
        try:
            with trio.move_on_after(patience_s):
                await limiter.acquire()
                has_turn = True
            yield has_turn
        finally:
            if has_turn:
                limiter.release()
            counts = limiter.statistics()
            if not counts.borrowed_tokens and not counts.tasks_waiting:
                self._limiters.pop(key, None)


def _block_of(address: str) -> str:
    """Return the part of an address that one person has: all of version 4, a /64 of version 6."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Address(int(found) >> 64 << 64))
    return str(found)
