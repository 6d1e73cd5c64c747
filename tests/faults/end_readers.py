"""Readers of a log that never come back: each notes what one connection brought, and how that connection ended."""

from __future__ import annotations

import json
import ssl
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h11
import trio
import wsproto
import wsproto.events

__all__ = ["KINDS", "Place", "Seen", "read"]

_RECEIVE_BYTES = 65536
_NDJSON = "application/x-ndjson"
PROPERLY = "properly"


@dataclass(frozen=True)
class Place:
    """Where a service answers, and who asks.

    Attributes:
        address: Host and port.
        trust: For a service with a certificate, by protocol; empty for plaintext.
        authorization: The bearer header's value.
    """

    address: tuple[str, int]
    trust: Mapping[str, ssl.SSLContext]
    authorization: str

    async def connect(self, protocol: str) -> trio.abc.Stream:
        """A connection that speaks this protocol (ALPN's name). Cancellation: none is left."""
        stream: trio.abc.Stream = await trio.open_tcp_stream(*self.address)
        if not self.trust:
            return stream
        secured = trio.SSLStream(stream, self.trust[protocol], server_hostname="localhost", https_compatible=True)
        try:
            await secured.do_handshake()
            assert secured.selected_alpn_protocol() in {protocol, None}, secured.selected_alpn_protocol()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return secured


@dataclass
class Seen:
    """What one reader of one preview has received over its only connection.

    Attributes:
        last: The number of the last line or the last one of a gap.
        ends: The ``end`` events, in order.
        faults: What must not have come, in words.
        closed: How the connection ended; empty while it is open.
        opened: Set by the first event.
    """

    kind: str
    lines: dict[int, str] = field(default_factory=dict)
    gaps: list[tuple[int, int]] = field(default_factory=list)
    last: int = 0
    ends: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    closed: str = ""
    opened: trio.Event = field(default_factory=trio.Event)

    def take(self, kind: str, seq: int | None, data: Mapping[str, Any]) -> None:
        """Note one event."""
        self.opened.set()
        if self.ends:
            self.faults.append(f"{kind} after the end")
        if kind == "line":
            assert seq is not None
            self._goes_on(seq, seq, "line")
            self.lines[seq] = data["message"]
        elif kind == "gap":
            self._goes_on(data["first"], data["last"], "gap")
            self.gaps.append((data["first"], data["last"]))
        elif kind == "end":
            self.ends.append({name: data[name] for name in ("id", "status", "reason", "exit_code", "exit_signal")})
        elif kind not in {"status", "progress"}:
            self.faults.append(f"an event {kind}")

    def _goes_on(self, first: int, last: int, what: str) -> None:
        if first != self.last + 1 or last < first:
            self.faults.append(f"{what} {first} to {last} came behind line {self.last}")
        self.last = max(self.last, last)


class _Sse:
    """Blocks of Server-Sent Events, however they were cut."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *blocks, self._rest = (self._rest + data).split(b"\n\n")
        for block in blocks:
            named = [line.partition(": ")[::2] for line in block.decode().split("\n") if not line.startswith(":")]
            fields = dict(named)
            if "data" in fields:
                kind = fields.get("event", "line")
                self._seen.take(kind, int(fields["id"]) if kind == "line" else None, json.loads(fields["data"]))


class _Ndjson:
    """Objects, one a line."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if line:
                one = json.loads(line)
                self._seen.take(one["type"], one.get("seq"), one)


# By name: the protocol's ALPN name, how events are written, whether the service has a certificate.
KINDS: Mapping[str, tuple[str, str, bool]] = {
    "SSE, direct": ("http/1.1", "sse", False),
    "NDJSON, direct": ("http/1.1", "ndjson", False),
    "WebSocket": ("http/1.1", "ws", False),
    "SSE, ordinary (TLS)": ("http/1.1", "sse", True),
    "NDJSON, ordinary (TLS)": ("http/1.1", "ndjson", True),
    "WebSocket (TLS)": ("http/1.1", "ws", True),
    "SSE, HTTP/2 (TLS)": ("h2", "sse", True),
    "NDJSON, HTTP/2 (TLS)": ("h2", "ndjson", True),
}


async def read(place: Place, generation_id: str, seen: Seen) -> None:
    """Read a log over one connection until the service closes it. Cancellation: ``seen.closed`` stays empty."""
    protocol, form, _ = KINDS[seen.kind]
    path = f"/api/v1/generations/{generation_id}/preview/logs"
    try:
        stream = await place.connect(protocol)
    except (OSError, trio.BrokenResourceError) as error:
        seen.closed = f"no connection: {error!r}"
        return
    try:
        if form == "ws":
            seen.closed = await _web_socket(stream, place, f"{path}/ws", seen)
            return
        decoder = _Sse(seen) if form == "sse" else _Ndjson(seen)
        accepted = "text/event-stream" if form == "sse" else _NDJSON
        carry = _http2 if protocol == "h2" else _http1
        async for item in carry(stream, place, f"{path}/stream", accepted):
            if isinstance(item, str):
                seen.closed = item
            else:
                decoder.feed(item)
    except trio.BrokenResourceError as error:
        seen.closed = f"broken off: {error.__cause__!r}"
    finally:
        await trio.aclose_forcefully(stream)


async def _http1(stream: trio.abc.Stream, place: Place, path: str, accepted: str) -> AsyncIterator[bytes | str]:
    """The body's bytes, and last how it ended."""
    parser = h11.Connection(h11.CLIENT)
    fields = [("Host", "localhost"), ("Authorization", place.authorization), ("Accept", accepted)]
    request = parser.send(h11.Request(method="GET", target=path, headers=fields))
    parser.send(h11.EndOfMessage())
    assert request is not None
    await stream.send_all(request)
    while True:
        try:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                parser.receive_data(bytes(await stream.receive_some(_RECEIVE_BYTES)))
                continue
        except h11.RemoteProtocolError as error:
            yield f"cut: {error}"
            return
        if isinstance(event, h11.Response) and event.status_code != 200:
            yield f"answered {event.status_code}"
            return
        if isinstance(event, h11.Data):
            yield bytes(event.data)
        elif isinstance(event, h11.EndOfMessage):
            yield PROPERLY
            return
        elif isinstance(event, h11.ConnectionClosed):
            yield "cut before the answer"
            return


async def _http2(stream: trio.abc.Stream, place: Place, path: str, accepted: str) -> AsyncIterator[bytes | str]:
    """The body's bytes, and last how it ended."""
    peer = h2.connection.H2Connection(h2.config.H2Configuration())
    peer.initiate_connection()
    number = peer.get_next_available_stream_id()
    pseudo = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
    fields = [*pseudo, ("authorization", place.authorization), ("accept", accepted)]
    peer.send_headers(number, fields, end_stream=True)
    while True:
        await stream.send_all(peer.data_to_send())
        data = await stream.receive_some(_RECEIVE_BYTES)
        if not data:
            yield "cut: the connection was closed"
            return
        for event in peer.receive_data(data):
            if isinstance(event, h2.events.ResponseReceived) and (b":status", b"200") not in event.headers:
                yield f"answered {event.headers!r}"
                return
            if isinstance(event, h2.events.DataReceived):
                peer.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                yield event.data
            elif isinstance(event, h2.events.StreamEnded):
                yield PROPERLY
                return
            elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                yield f"cut: {event!r}"
                return


async def _web_socket(stream: trio.abc.Stream, place: Place, path: str, seen: Seen) -> str:
    """Take all messages; how it ended."""
    peer = wsproto.WSConnection(wsproto.ConnectionType.CLIENT)
    extra = [(b"authorization", place.authorization.encode())]
    await stream.send_all(peer.send(wsproto.events.Request(host="localhost", target=path, extra_headers=extra)))
    text, accepted, began = "", False, trio.current_time()
    while True:
        data = await stream.receive_some(_RECEIVE_BYTES)
        if not data:
            after = f"{trio.current_time() - began:.1f} s after the request"
            return f"cut: closed without a close frame, {after}{'' if accepted else ', which had no answer'}"
        peer.receive_data(bytes(data))
        for event in peer.events():
            if isinstance(event, wsproto.events.AcceptConnection):
                accepted = True
            elif isinstance(event, wsproto.events.RejectConnection):
                return f"answered {event.status_code}"
            elif isinstance(event, wsproto.events.Ping):
                await stream.send_all(peer.send(event.response()))
            elif isinstance(event, wsproto.events.TextMessage):
                text += event.data
                if event.message_finished:
                    for one in json.loads(text):
                        seen.take(one["type"], one.get("seq"), one)
                    text = ""
            elif isinstance(event, wsproto.events.CloseConnection):
                return PROPERLY if event.code == 1000 else f"closed with {event.code}"
