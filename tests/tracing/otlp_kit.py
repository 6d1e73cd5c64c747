"""Messages of OTLP byte by byte, and a receiver of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio

from preview.logs import Level
from preview.logs.model.reported import ReportedLine
from preview.tracing import PreviewTraces
from preview.tracing.otlp import OtlpReceiver


def number(value: int) -> bytes:
    found = b""
    while value > 0x7F:
        found, value = found + bytes([value & 0x7F | 0x80]), value >> 7
    return found + bytes([value])


def part(field: int, value: bytes | str | int, *, fixed: bool = False) -> bytes:
    if isinstance(value, int):
        return number(field << 3 | 1) + value.to_bytes(8, "little") if fixed else number(field << 3) + number(value)
    data = value.encode() if isinstance(value, str) else value
    return number(field << 3 | 2) + number(len(data)) + data


def attribute(key: str, value: str | int) -> bytes:
    return part(9, part(1, key) + part(2, part(1 if isinstance(value, str) else 3, value)))


class Log:
    """Takes what becomes of log records."""

    def __init__(self) -> None:
        self.lines: list[ReportedLine] = []
        self.said: list[str] = []

    def report(self, lines: list[ReportedLine]) -> None:
        self.lines += lines

    def say(self, message: str, level: Level = Level.INFO) -> None:
        self.said.append(message)


@asynccontextmanager
async def receiver() -> AsyncIterator[tuple[PreviewTraces, trio.SocketStream, Log]]:
    """A receiver that serves one connection: what it keeps, the client's end, and its log."""
    log = Log()
    traces = PreviewTraces("preview_a", most_spans=20_000, most_bytes=10_000_000)
    traces.turn(on=True)
    ours, theirs = trio.socket.socketpair()
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(OtlpReceiver(traces, log).serve, trio.SocketStream(ours))
            async with trio.SocketStream(theirs) as stream:
                yield traces, stream, log


async def post(stream: trio.SocketStream, body: bytes, *fields: str, path: str = "/v1/traces") -> bytes:
    """Send a body; return the answer's first line."""
    head = "\r\n".join([f"POST {path} HTTP/1.1", "Host: a", *fields, f"Content-Length: {len(body)}", "", ""])

    async def send() -> None:
        try:
            await stream.send_all(head.encode() + body)
        except trio.BrokenResourceError:
            return  # It was refused before its end.

    async with trio.open_nursery() as nursery:
        nursery.start_soon(send)
        answer = await stream.receive_some()
        nursery.cancel_scope.cancel()
    return answer.partition(b"\r\n")[0].partition(b" ")[2][:3]


JSON, GZIP = "Content-Type: application/json", "Content-Encoding: gzip"
