"""Receives spans, log records and metrics of one preview by OTLP/HTTP, from connections that its own sandbox hands out.

The connection is the preview's identity: no other program can reach it, and nothing in a body says whose it is. Bodies
are hostile. They are taken one at a time, of a limited size, also when unpacked, and slowly; so a flood costs the
preview its own spans, records and points.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

import h11
import trio

from preview.tracing.otlp.given import Given, NotOtlp
from preview.tracing.otlp.json_body import MOST_JSON_BYTES, read_json
from preview.tracing.otlp.points import read_json_points, read_protobuf_points
from preview.tracing.otlp.protobuf import read_protobuf
from preview.tracing.otlp.record_intake import RecordIntake, ReportsTo
from preview.tracing.otlp.records import read_json_records, read_protobuf_records
from preview.tracing.preview_metrics import MetricPoint
from preview.tracing.preview_traces import PreviewTraces

OTLP_PORT: Final = 4318
"""Port of OTLP/HTTP."""
MOST_BODY_BYTES: Final = 4 * 1024 * 1024
"""Limit of a body, packed and unpacked."""

_HEAD_BYTES = 16 * 1024
# Small, because h11 may find hundreds of chunks in it.
_CHUNK_BYTES = 8 * 1024
_BODY_S = 20.0
_IDLE_S = 120.0
# After each body: 1 MiB/s, and 20 bodies a second.
_PAUSE_S = 0.05
_BYTES_PER_S = 1024 * 1024
_PARTS_AT_ONCE = 20
_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_TRACES, _LOGS, _METRICS = b"/v1/traces", b"/v1/logs", b"/v1/metrics"


class _Refused(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class OtlpReceiver:
    """Receives the signals of one preview.

    Args:
        traces: Keeps the spans, and the series of metrics.
        log: Gets the log records as lines.
    """

    def __init__(self, traces: PreviewTraces, log: ReportsTo) -> None:
        self._traces = traces
        self._records = RecordIntake(log, traces)
        self._turn = trio.CapacityLimiter(1)

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection until its end, and close it. Errors of the client end it.

        Cancellation: the connection is closed.
        """
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
        async with stream:
            try:
                while await self._serve_one(connection, stream):
                    connection.start_next_cycle()
            except (h11.ProtocolError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError):
                return

    async def _serve_one(self, connection: h11.Connection, stream: trio.SocketStream) -> bool:
        """Answer one request; return whether another may follow."""
        with trio.fail_after(_IDLE_S):
            request = await _next(connection, stream)
        if not isinstance(request, h11.Request):
            return False
        said = next((value for name, value in request.headers if name == b"content-type"), b"")
        kind = _JSON if said.partition(b";")[0].strip().lower() == _JSON.encode() else _PROTOBUF
        status, size = 200, 0
        async with self._turn:
            try:
                with trio.fail_after(_BODY_S):
                    size = await self._take(request, kind, connection, stream)
            except _Refused as refused:
                status = refused.status
                self._lose(request)
            except NotOtlp:
                # It may have cost as much as the largest one.
                status, size = 400, MOST_JSON_BYTES
                self._lose(request)
            await trio.sleep(_PAUSE_S + size / _BYTES_PER_S)
        await _answer(connection, stream, status, kind)
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    async def _take(
        self, request: h11.Request, kind: str, connection: h11.Connection, stream: trio.SocketStream
    ) -> int:
        """Take the spans of a request's body; return its size in bytes.

        Raises:
            NotOtlp, _Refused: It is not a body of spans, or too large.
        """
        if request.method != b"POST":
            raise _Refused(405, "only POST")
        path = _path_of(request)
        if path not in {_TRACES, _LOGS, _METRICS}:
            raise _Refused(404, "no such path")
        if any(name == b"expect" for name, _ in request.headers):
            await stream.send_all(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        coding = next((value.lower() for name, value in request.headers if name == b"content-encoding"), b"")
        body = _unpacked(await _body(connection, stream), coding)
        if kind == _JSON and len(body) > MOST_JSON_BYTES:
            raise _Refused(413, "too large")
        if path == _TRACES:
            await self._take_spans(read_json(body) if kind == _JSON else read_protobuf(body))
        elif path == _LOGS:
            await self._records.take(read_json_records(body) if kind == _JSON else read_protobuf_records(body))
        else:
            await self._take_points(read_json_points(body) if kind == _JSON else read_protobuf_points(body))
        return len(body)

    async def _take_spans(self, spans: Iterator[Given | None]) -> None:
        for at, given in enumerate(spans):
            if given is not None:
                span = given.span()
                if span is None:
                    self._traces.lose(1)
                else:
                    self._traces.take(span)
            if given is None or at % _PARTS_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()

    async def _take_points(self, points: Iterator[MetricPoint | None]) -> None:
        for at, point in enumerate(points):
            if point is not None:
                self._traces.take_point(point)
            if point is None or at % _PARTS_AT_ONCE == 0:
                await trio.lowlevel.checkpoint()

    def _lose(self, request: h11.Request) -> None:
        """Count a body of which not all was taken, as one."""
        path = _path_of(request)
        if path == _LOGS:
            self._records.lose(1)
        elif path == _METRICS:
            self._traces.metrics.lose(1)
        else:
            self._traces.lose(1)


def _path_of(request: h11.Request) -> bytes:
    return request.target.partition(b"?")[0]


async def _next(connection: h11.Connection, stream: trio.SocketStream) -> object:
    while True:
        event = connection.next_event()
        if event is not h11.NEED_DATA:
            return event
        connection.receive_data(await stream.receive_some(_CHUNK_BYTES))


async def _body(connection: h11.Connection, stream: trio.SocketStream) -> bytes:
    body = bytearray()
    while isinstance(event := await _next(connection, stream), h11.Data):
        body += event.data
        if len(body) > MOST_BODY_BYTES:
            raise _Refused(413, "too large")
    return bytes(body)


def _unpacked(body: bytes, coding: bytes) -> bytes:
    if coding in {b"", b"identity"}:
        return body
    if coding not in {b"gzip", b"deflate"}:
        raise _Refused(415, "unknown Content-Encoding")
    unpacker = zlib.decompressobj(zlib.MAX_WBITS | 32)
    try:
        found = unpacker.decompress(body, MOST_BODY_BYTES + 1)
    except zlib.error as error:
        raise NotOtlp("not compressed as its Content-Encoding says") from error
    if len(found) > MOST_BODY_BYTES:
        raise _Refused(413, "too large")
    return found


async def _answer(connection: h11.Connection, stream: trio.SocketStream, status: int, kind: str) -> None:
    body = b"{}" if kind == _JSON else b""
    headers = [("content-type", kind), ("content-length", str(len(body)))]
    # After a refusal the rest of the body was not read.
    if connection.their_state is not h11.DONE:
        headers.append(("connection", "close"))
    answer = connection.send(h11.Response(status_code=status, headers=headers)) or b""
    answer += connection.send(h11.Data(data=body)) or b""
    answer += connection.send(h11.EndOfMessage()) or b""
    with trio.fail_after(_BODY_S):
        await stream.send_all(answer)
