"""How the suite talks to the service: plain requests, log streams read by hand, and connections that break off."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import h11
import httpx2
import trio
from fault_ledger import Broken, Reading
from fault_service import Service

__all__ = ["Answer", "Client", "Unanswered", "open_raw", "reset", "take_frame"]

_PATIENCE_S = 30
_GOODBYE = "stopped: the service is shutting down"
_BACK_S = 0.02
_DATABASE_BACK_S = 20.0


class Unanswered(Exception):
    """No answer: the connection could not be made, or broke off."""


class Answer:
    """A status and what came with it."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.body = body

    def __repr__(self) -> str:
        return f"<{self.status} {json.dumps(self.body)[:300]}>"

    @property
    def code(self) -> str:
        return str(self.body.get("code", "")) if isinstance(self.body, dict) else ""


def reset(stream: trio.SocketStream) -> None:
    """Vanish: the kernel sends RST instead of FIN (socket(7), SO_LINGER with zero seconds)."""
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


@asynccontextmanager
async def open_raw(service: Service, *, receive_buffer: int | None = None) -> AsyncIterator[trio.SocketStream]:
    """A bare connection, gone without a word at the end. Cancellation: likewise."""
    sock = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_buffer is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    try:
        await sock.connect(service.address)
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):
            raise Unanswered(str(error)) from error
        raise
    stream = trio.SocketStream(sock)
    try:
        yield stream
    finally:
        reset(stream)


class Client:
    """One user's view of the service, whichever process serves it now."""

    def __init__(self, service: Service, user: str = "ann") -> None:
        self.service = service
        self.headers = {"Authorization": f"Bearer {service.token(user)}"}
        # No connection is kept: each would be a descriptor and some tasks of the service.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        self._http = httpx2.AsyncClient(trust_env=False, timeout=_PATIENCE_S, limits=limits)

    async def aclose(self) -> None:
        """Give back what it holds. Cancellation: likewise."""
        await self._http.aclose()

    async def ask(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Answer:
        """One request; an answer that nobody meant to give is a broken invariant. Cancellation: it is cut."""
        try:
            answer = await self._http.request(
                method, f"{self.service.url}{path}", json=body, headers=self.headers | dict(headers or {})
            )
        except httpx2.TimeoutException as error:
            raise Broken(f"{method} {path} had no answer within {_PATIENCE_S} s") from error
        except httpx2.TransportError as error:
            raise Unanswered(f"{method} {path}: {error!r}") from error
        text = answer.text
        read = Answer(answer.status_code, answer.json() if "json" in answer.headers.get("Content-Type", "") else text)
        if read.code == "internal_error":
            raise Broken(f"{method} {path} was answered {read}")
        return read

    def head(self, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
        """A request as bytes, for connections that will not see its answer."""
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
        lines += [f"{name}: {value}" for name, value in (self.headers | headers).items()]
        return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body

    def stream_path(self, generation_id: str) -> str:
        return f"/api/v1/generations/{generation_id}/preview/logs/stream"

    # Reading a log

    async def follow(self, generation_id: str, reading: Reading, *, events: int | None = None) -> int:
        """One connection of a subscriber, until the log's end, or until so many events; the answer's status.

        Cancellation: the connection is reset; what was noted stays noted.
        """
        async with open_raw(self.service) as stream:
            parser = h11.Connection(h11.CLIENT)
            resume = {"Last-Event-ID": str(reading.last)} if reading.last else {}
            try:
                await stream.send_all(self.head("GET", self.stream_path(generation_id), b"", **resume))
                return await _read_events(stream, parser, reading, events)
            except (trio.BrokenResourceError, h11.RemoteProtocolError) as error:
                raise Unanswered(f"the stream broke off: {error!r}") from error

    async def follow_to_end(self, generation_id: str, reading: Reading) -> None:
        """A browser's way: come back right behind the last line, until the end. Cancellation: as ``follow``."""
        while reading.ended is None:
            try:
                status = await self.follow(generation_id, reading)
            except Unanswered:
                status = 0
            if status == 204:
                reading.ended = "over"
            elif status in (403, 404):
                reading.ended = f"({status})"
            elif reading.ended is None:
                await trio.sleep(_BACK_S)

    async def page(self, generation_id: str, preview_id: str) -> dict[int, str]:
        """All that is stored of a preview's log. Cancellation: nothing changes."""
        found: dict[int, str] = {}
        until = trio.current_time() + _DATABASE_BACK_S
        while True:
            after = max(found, default=0)
            path = f"/api/v1/generations/{generation_id}/preview/logs"
            answer = await self.ask("GET", f"{path}?preview_id={preview_id}&after={after}&limit=1000")
            if answer.status == 503 and trio.current_time() < until:
                # The database has come back a moment ago: its connections are made anew.
                await trio.sleep(_BACK_S)
                continue
            if answer.status != 200:
                raise Unanswered(f"the log page: {answer}")
            lines = answer.body["lines"]
            for line in lines:
                if line["seq"] in found:
                    raise Broken(f"{preview_id}: line {line['seq']} stands on two pages")
                found[line["seq"]] = line["message"]
            if len(lines) < 1000:
                return found


async def _read_events(stream: trio.SocketStream, parser: h11.Connection, reading: Reading, most: int | None) -> int:
    # The parser is only read from: the request was written by hand.
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    parser.send(h11.EndOfMessage())
    status, rest, count = 0, b"", 0
    while True:
        event = parser.next_event()
        if event is h11.NEED_DATA:
            parser.receive_data(await stream.receive_some())
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data) and status == 200:
            *frames, rest = (rest + event.data).split(b"\n\n")
            for frame in frames:
                count += 1
                take_frame(frame.decode(), reading)
                if most is not None and count >= most:
                    return status
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return status


def take_frame(frame: str, reading: Reading) -> None:
    """Note one event of a stream: a line, a gap, an end."""
    fields = dict(line.partition(": ")[::2] for line in frame.split("\n") if not line.startswith(":"))
    if "data" not in fields:
        return
    data = json.loads(fields["data"])
    kind = fields.get("event", "message")
    if kind == "message":
        reading.line(int(fields["id"]), data["message"])
    elif kind == "gap":
        reading.gap(data["first"], data["last"])
    elif kind == "end":
        reading.ended = "goodbye" if data["reason"] == _GOODBYE else data["status"]
    elif kind == "status" and data["id"] != reading.preview_id:
        reading.ended = f"another preview ({data['id']})"
