"""A small HTTP forward proxy for one build: tunnels (CONNECT), and requests in plain HTTP (RFC 9112, section 3.2).

The client may be untrusted code. h11 parses each request strictly, so a request has one meaning. Only the request's
target determines the destination; the proxy replaces the client's ``Host`` field.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

import h11
import trio

from preview.environments.way_out.allowed import parse_address
from preview.environments.way_out.connecting import Connector, Refused, Route, credentials_of
from preview.runtime.sandbox import join

# From the end of one request to the end of the next request's header.
_HEAD_S: Final = 10.0
_MOST_HEAD_BYTES: Final = 16 * 1024
# Header of an index's response: simple pages have long fields (Content-Security-Policy, Link).
_MOST_ANSWER_HEAD_BYTES: Final = 64 * 1024
_READ_BYTES: Final = 64 * 1024
_MOST_TOLD: Final = 20
_HOST: Final = r"(?P<host>\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9_.-]{1,253})"
_AUTHORITY: Final = re.compile(rf"{_HOST}:(?P<port>[0-9]{{1,5}})")
_ABSOLUTE: Final = re.compile(rf"http://{_HOST}(?::(?P<port>[0-9]{{1,5}}))?(?P<path>[/?][!-\"$-~]*)?", re.IGNORECASE)
# RFC 9110, section 7.6.1: valid for one connection only.
_HOP_BY_HOP: Final = frozenset(
    {"connection", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection",
     "te", "trailer", "transfer-encoding", "upgrade"}
)  # fmt: skip
_LENGTHS: Final = frozenset({b"content-length", b"transfer-encoding"})
_VERSIONS: Final = frozenset({b"1.0", b"1.1"})
_HTTP_PORT: Final = 80
_LAST_PORT: Final = 65535


class _Malformed(Exception):
    """A request that gets a 400 response; the message is a sentence."""


class ForwardProxy:
    """Serves the connections of one program.

    Attributes:
        refused: One sentence for each of the first twenty hosts that were refused.
    """

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self.refused: list[str] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        """Answer the requests of one connection, and close it.

        Cancellation: the connection is closed.
        """
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_HEAD_BYTES)
        async with stream:
            try:
                while (request := await _read_request(stream, connection)) is not None:
                    await self._serve_one(stream, connection, request)
                    if (connection.our_state, connection.their_state) != (h11.DONE, h11.DONE):
                        return
                    connection.start_next_cycle()
            except _Malformed as error:
                await _answer(stream, connection, 400, str(error))
            except h11.RemoteProtocolError as error:
                await _answer(stream, connection, error.error_status_hint, "This is not a request to a proxy.")
            except (trio.BrokenResourceError, trio.ClosedResourceError, h11.LocalProtocolError, OSError):
                # One side has closed its connection during a message: close the other connection too.
                return

    async def _serve_one(self, stream: trio.SocketStream, connection: h11.Connection, request: h11.Request) -> None:
        host, port, path = _destination(request)
        try:
            route = await self._connector.open(host, port, scheme="https" if path is None else "http")
        except Refused as error:
            self._note(str(error))
            await _answer(stream, connection, 403, f"{error} (PREVIEW_BUILD_HOSTS).")
            return
        except OSError as error:
            await _answer(stream, connection, 502, f"{host}:{port} cannot be reached: {error}.")
            return
        async with route.stream:
            if path is None:
                await _tunnel(stream, connection, route)
            else:
                await _forward(stream, connection, request, route, (_written(host, port), path))

    def _note(self, sentence: str) -> None:
        if sentence not in self.refused and len(self.refused) < _MOST_TOLD:
            self.refused.append(sentence)


def _destination(request: h11.Request) -> tuple[str, int, str | None]:
    """Return host, port, and the path of a request in plain HTTP (None for a tunnel).

    Raises:
        _Malformed: The target is not valid for a proxy.
    """
    target = request.target.decode("ascii")
    is_tunnel = request.method == b"CONNECT"
    match = (_AUTHORITY if is_tunnel else _ABSOLUTE).fullmatch(target)
    if match is None:
        raise _Malformed("The target of a request to a proxy is HOST:PORT after CONNECT, else http://HOST/PATH.")
    lengths = [name for name, _ in request.headers if name in _LENGTHS]
    if len(lengths) > (0 if is_tunnel else 1):
        raise _Malformed("A CONNECT request must not have a body, and a request must not have two lengths.")
    if request.http_version not in _VERSIONS:
        raise _Malformed("The version is not HTTP/1.0 or HTTP/1.1.")
    host = match["host"].strip("[]").lower().rstrip(".")
    port = int(match["port"] or _HTTP_PORT)
    if not host or not 0 < port <= _LAST_PORT:
        raise _Malformed("The target names no host, or no port.")
    address = parse_address(host)
    path = None if is_tunnel else match["path"] or "/"
    return str(address) if address is not None else host, port, path if path is None else f"/{path.removeprefix('/')}"


async def _tunnel(stream: trio.SocketStream, connection: h11.Connection, route: Route) -> None:
    while connection.next_event() is not h11.PAUSED:
        pass
    await stream.send_all(connection.send(h11.Response(status_code=200, headers=[])) + route.early)
    if connection.trailing_data[0]:
        await route.stream.send_all(connection.trailing_data[0])
    await join(stream, route.stream)


async def _forward(
    stream: trio.SocketStream, connection: h11.Connection, request: h11.Request, route: Route, target: tuple[str, str]
) -> None:
    """Forward one request and its response; ``target`` is the host as written in the request, and the path."""
    host, path = target
    onward = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MOST_ANSWER_HEAD_BYTES)
    fields = [("Host", host), *_end_to_end(request.headers), ("Connection", "close")]
    if route.proxy is not None:
        path, fields = f"http://{host}{path}", [*fields, *credentials_of(route.proxy)]
    far = route.stream
    await far.send_all(onward.send(h11.Request(method=request.method, target=path, headers=fields)))
    if connection.they_are_waiting_for_100_continue:
        await stream.send_all(connection.send(h11.InformationalResponse(status_code=100, headers=[])))
    while isinstance(event := await _next(stream, connection), h11.Data):
        await far.send_all(onward.send(h11.Data(data=event.data)))
    if not isinstance(event, h11.EndOfMessage):
        return
    await far.send_all(onward.send(h11.EndOfMessage()))
    try:
        await _carry_answer(far, onward, stream, connection)
    except h11.RemoteProtocolError as error:
        raise OSError(str(error)) from error


async def _carry_answer(
    far: trio.SocketStream, onward: h11.Connection, stream: trio.SocketStream, connection: h11.Connection
) -> None:
    while isinstance(event := await _next(far, onward), h11.InformationalResponse):
        pass
    if not isinstance(event, h11.Response):
        raise OSError("the host has closed the connection")
    answer = h11.Response(status_code=event.status_code, headers=_end_to_end(event.headers), reason=event.reason)
    await stream.send_all(connection.send(answer))
    while isinstance(event := await _next(far, onward), h11.Data):
        await stream.send_all(connection.send(h11.Data(data=event.data)))
    if isinstance(event, h11.EndOfMessage):
        await stream.send_all(connection.send(event))


def _end_to_end(fields: Iterable[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Return end-to-end fields; h11 derives the body's length on the next connection from them."""
    kept = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
    named = {word.strip().lower() for name, value in kept if name == "connection" for word in value.split(",")}
    dropped = _HOP_BY_HOP | named
    chunked: list[tuple[str, str]] = []
    if any(name == "transfer-encoding" for name, _ in kept):
        # Transfer-Encoding overrides Content-Length (RFC 9112, section 6.3).
        dropped, chunked = dropped | {"content-length"}, [("Transfer-Encoding", "chunked")]
    return [(name, value) for name, value in kept if name not in dropped] + chunked


async def _read_request(stream: trio.SocketStream, connection: h11.Connection) -> h11.Request | None:
    """Return the next request's header; None if none arrives in time."""
    with trio.move_on_after(_HEAD_S):
        event = await _next(stream, connection)
        return event if isinstance(event, h11.Request) else None
    return None


async def _next(stream: trio.SocketStream, connection: h11.Connection) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(await stream.receive_some(_READ_BYTES))
    return event


async def _answer(stream: trio.SocketStream, connection: h11.Connection, status: int, sentence: str) -> None:
    """Send an error response and end the connection; do nothing if a response has started already."""
    body = sentence.encode("utf-8", "replace") + b"\n"
    fields = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Connection", "close"),
    ]
    with suppress(h11.LocalProtocolError, trio.BrokenResourceError, trio.ClosedResourceError):
        head = connection.send(h11.Response(status_code=status, headers=fields))
        await stream.send_all(head + connection.send(h11.Data(data=body)) + connection.send(h11.EndOfMessage()))


def _written(host: str, port: int) -> str:
    name = f"[{host}]" if ":" in host else host
    return name if port == _HTTP_PORT else f"{name}:{port}"
