"""Connections to hosts that builds may reach: names are resolved here, and each address is checked."""

from __future__ import annotations

import base64
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, unquote

import h11
import trio

from preview.environments.way_out.allowed import AllowedHosts, parse_address

LookUp = Callable[[str, int], Awaitable[Sequence[str]]]

# Per address of a host; clients wait 30 s or more in total.
_CONNECT_S: Final = 8.0
_LOOK_UP_S: Final = 15.0
_MOST_ADDRESSES: Final = 8
_ANSWER_S: Final = 20.0
_MOST_HEAD_BYTES: Final = 16 * 1024
_READ_BYTES: Final = 16 * 1024
_PROXY_PORT: Final = 80


class Refused(Exception):
    """A host that builds may not reach; the message is a sentence for a person."""


@dataclass(frozen=True, slots=True)
class Route:
    """A connection to a host.

    Attributes:
        proxy: The operator's proxy at the other end, for requests in plain HTTP; None if the host is at the other end.
        early: Bytes that the host has sent already.
    """

    stream: trio.SocketStream
    proxy: SplitResult | None = None
    early: bytes = b""


async def look_up(host: str, port: int) -> Sequence[str]:
    """Return the IP addresses of a name, the best first. Cancellation: the thread continues; its result is dropped.

    Raises:
        OSError: The name has no address.
    """
    found = await trio.socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(sockaddr[0]) for *_, sockaddr in found))


class Connector:
    """Opens connections for the requests of one program."""

    def __init__(self, allowed: AllowedHosts, look_up: LookUp = look_up) -> None:
        self._allowed = allowed
        self._look_up = look_up
        # One lookup at a time: each occupies a thread until the name server answers.
        self._turn = trio.Lock()
        self._known: dict[tuple[str, int], Sequence[str]] = {}

    async def open(self, host: str, port: int, *, scheme: str) -> Route:
        """Connect to a host.

        Args:
            host: A lower-case name, or an IP address.
            port: Port of the host.
            scheme: ``https`` for a tunnel, ``http`` for one request in plain HTTP.

        Raises:
            Refused: Builds may not reach the host.
            OSError: The host, or the operator's proxy, cannot be reached.

        Cancellation: no connection stays open.
        """
        if not self._allowed.allows(host, port):
            raise Refused(f"{host}:{port} is not a host that builds may reach")
        proxy = self._allowed.proxy_for(scheme, host)
        if proxy is None:
            return Route(await self._connect(host, port))
        if proxy.scheme != "http" or not proxy.hostname:
            raise OSError(f"the proxy of the service's environment is not an http:// one ({proxy.scheme})")
        stream = await _connect_one(proxy.hostname, proxy.port or _PROXY_PORT)
        if scheme == "http":
            return Route(stream, proxy)
        try:
            return Route(stream, early=await _open_tunnel(stream, proxy, host, port))
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise

    async def _connect(self, host: str, port: int) -> trio.SocketStream:
        error: Exception = OSError(f"{host} has no address")
        for address in await self._addresses(host, port):
            parsed = parse_address(address)
            try:
                if parsed is None or not self._allowed.allows_address(host, parsed, port):
                    error = Refused(f"{host}:{port} resolves to {address}, which is not a public address")
                    continue
                return await _connect_one(address, port)
            except OSError as failed:
                error = failed
        raise error

    async def _addresses(self, host: str, port: int) -> Sequence[str]:
        async with self._turn:
            if (host, port) not in self._known:
                with trio.move_on_after(_LOOK_UP_S) as scope:
                    self._known[host, port] = (await self._look_up(host, port))[:_MOST_ADDRESSES]
                if scope.cancelled_caught:
                    raise OSError(f"the name {host} was not looked up within {_LOOK_UP_S:g} s")
            return self._known[host, port]


def credentials_of(proxy: SplitResult) -> list[tuple[str, str]]:
    """Return the header field with the proxy's user name and password (RFC 7617); empty without a user name."""
    if proxy.username is None:
        return []
    pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}".encode()
    return [("Proxy-Authorization", f"Basic {base64.b64encode(pair).decode()}")]


async def _connect_one(address: str, port: int) -> trio.SocketStream:
    with trio.move_on_after(_CONNECT_S):
        return await trio.open_tcp_stream(address, port)
    raise OSError(f"{address}:{port} does not answer")


async def _open_tunnel(stream: trio.SocketStream, proxy: SplitResult, host: str, port: int) -> bytes:
    """Have the operator's proxy connect to the host; return the host's bytes received so far."""
    at = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_HEAD_BYTES)
    request = h11.Request(method="CONNECT", target=at, headers=[("Host", at), *credentials_of(proxy)])
    try:
        with trio.move_on_after(_ANSWER_S):
            await stream.send_all(connection.send(request) + connection.send(h11.EndOfMessage()))
            while not isinstance(event := connection.next_event(), h11.Response):
                if event is h11.NEED_DATA:
                    connection.receive_data(await stream.receive_some(_READ_BYTES))
                elif isinstance(event, h11.ConnectionClosed):
                    break
            else:
                if event.status_code // 100 == 2:
                    return connection.trailing_data[0]
                raise OSError(f"the operator's proxy answers {event.status_code}")
    except (h11.RemoteProtocolError, trio.BrokenResourceError) as error:
        raise OSError(f"the operator's proxy does not behave like a proxy: {error}") from error
    raise OSError("the operator's proxy does not answer")
