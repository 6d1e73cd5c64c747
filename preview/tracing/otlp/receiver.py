"""Receives spans, log records and metrics of one preview by OTLP/HTTP, from connections that its own sandbox hands out.

The connection is the preview's identity: no other program can reach it, and nothing in a body says whose it is. Bodies
are hostile. They are taken one at a time, of a limited size, also when unpacked, and slowly; so a flood costs the
preview its own spans, records and points. Reading costs the event loop a limited share: see ``pacing``.
"""

from __future__ import annotations

import zlib
from typing import Final

import h11
import trio

from preview.tracing.otlp.given import Given, NotOtlp
from preview.tracing.otlp.json_body import MOST_JSON_BYTES, read_json
from preview.tracing.otlp.pacing import Pacer
from preview.tracing.otlp.points import read_json_points, read_protobuf_points
from preview.tracing.otlp.protobuf import read_protobuf
from preview.tracing.otlp.record_intake import RecordIntake, ReportsTo
from preview.tracing.otlp.records import read_json_records, read_protobuf_records
from preview.tracing.preview_traces import PreviewTraces

OTLP_PORT: Final = 4318
"""Port of OTLP/HTTP."""
MOST_BODY_BYTES: Final = 4 * 1024 * 1024
"""Limit of a body, packed and unpacked."""

_HEAD_BYTES = 16 * 1024
# Small, because h11 may find hundreds of chunks in it.
_CHUNK_BYTES = 8 * 1024
# So long a client may let the service wait for its bytes. The service's own pauses do not count: other previews make
# them longer.
_BODY_S = 20.0
_IDLE_S = 120.0
# After each body: 1 MiB/s, and 20 bodies a second.
_PAUSE_S = 0.05
_BYTES_PER_S = 1024 * 1024
# Chunks of a body. Programs send some hundred at most; some hundred thousand are slow to read.
_MOST_CHUNKS = 5_000
_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_TRACES, _LOGS, _METRICS = b"/v1/traces", b"/v1/logs", b"/v1/metrics"


class _Refused(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class _Patience:
    """Receives bytes, and limits how long the client may let the service wait for all of them."""

    def __init__(self, stream: trio.SocketStream, left_s: float) -> None:
        self._stream = stream
        self._left_s = left_s

    async def receive(self) -> bytes:
        """Return some bytes. Raises ``trio.TooSlowError``. Cancellation: nothing is lost."""
        began = trio.current_time()
        with trio.fail_after(max(0.0, self._left_s)):
            data = await self._stream.receive_some(_CHUNK_BYTES)
        self._left_s -= trio.current_time() - began
        return bytes(data)


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
        self._pacer = Pacer()

    async def serve(self, stream: trio.SocketStream) -> None:
        """Serve one connection until its end, and close it. Errors of the client end it.

        Cancellation: the connection is closed.
        """
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD_BYTES)
        async with stream:
            try:
                while await self._serve_one(connection, stream):
                    connection.start_next_cycle()
            except (h11.ProtocolError, trio.TooSlowError):
                # Who comes again at once has paid nothing else.
                await trio.sleep(_PAUSE_S)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

    async def _serve_one(self, connection: h11.Connection, stream: trio.SocketStream) -> bool:
        """Answer one request; return whether another may follow."""
        request = await self._next(connection, _Patience(stream, _IDLE_S))
        if not isinstance(request, h11.Request):
            return False
        said = next((value for name, value in request.headers if name == b"content-type"), b"")
        kind = _JSON if said.partition(b";")[0].strip().lower() == _JSON.encode() else _PROTOBUF
        status, size = 200, 0
        async with self._turn:
            try:
                size = await self._take(request, kind, connection, stream)
            except _Refused as refused:
                status = refused.status
                self._lose(request)
            except NotOtlp:
                # It may have cost as much as the largest one.
                status, size = 400, MOST_JSON_BYTES
                self._lose(request)
            except trio.TooSlowError:
                self._lose(request)
                raise
            size, self._pacer.received_bytes = max(size, self._pacer.received_bytes), 0
            await trio.sleep(_PAUSE_S + size / _BYTES_PER_S)
        await _answer(connection, stream, status, kind)
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    async def _take(
        self, request: h11.Request, kind: str, connection: h11.Connection, stream: trio.SocketStream
    ) -> int:
        """Take the spans of a request's body; return its size in bytes.

        Raises:
            NotOtlp, _Refused: It is not a body of spans, or too large.
            trio.TooSlowError: The client is slow.
        """
        if request.method != b"POST":
            raise _Refused(405, "only POST")
        path = _path_of(request)
        if path not in {_TRACES, _LOGS, _METRICS}:
            raise _Refused(404, "no such path")
        if any(name == b"expect" for name, _ in request.headers):
            with trio.fail_after(_BODY_S):
                await stream.send_all(connection.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        coding = next((value.lower() for name, value in request.headers if name == b"content-encoding"), b"")
        packed = await self._body(connection, stream)
        with self._pacer.counted():
            body = _unpacked(packed, coding)
        if kind == _PROTOBUF:
            await self._take_protobuf(path, body)
        elif len(body) > MOST_JSON_BYTES:
            raise _Refused(413, "too large")
        else:
            async with self._pacer.share.json_bodies:
                await self._take_json(path, body)
        return len(body)

    async def _take_protobuf(self, path: bytes, body: bytes) -> None:
        if path == _TRACES:
            await self._pacer.take_each(read_protobuf(body), self._take_span)
        elif path == _LOGS:
            await self._records.take(read_protobuf_records(body), self._pacer)
        else:
            await self._pacer.take_each(read_protobuf_points(body), self._traces.take_point)

    async def _take_json(self, path: bytes, body: bytes) -> None:
        if path == _TRACES:
            await self._pacer.take_each(read_json(body), self._take_span)
        elif path == _LOGS:
            await self._records.take(read_json_records(body), self._pacer)
        else:
            await self._pacer.take_each(read_json_points(body), self._traces.take_point)

    def _take_span(self, given: Given) -> None:
        span = given.span()
        if span is None:
            self._traces.lose(1)
        else:
            self._traces.take(span)

    async def _next(self, connection: h11.Connection, patience: _Patience) -> object:
        while True:
            async with self._pacer.turn:
                with self._pacer.counted():
                    event = _event(connection)
                await self._pacer.rest()
            if isinstance(event, h11.ProtocolError):
                raise event
            if event is not h11.NEED_DATA:
                return event
            data = await patience.receive()
            self._pacer.received_bytes += len(data)
            connection.receive_data(data)

    async def _body(self, connection: h11.Connection, stream: trio.SocketStream) -> bytes:
        body, chunks, patience = bytearray(), 0, _Patience(stream, _BODY_S)
        while isinstance(event := await self._next(connection, patience), h11.Data):
            body += event.data
            chunks += 1
            if len(body) > MOST_BODY_BYTES:
                raise _Refused(413, "too large")
            if chunks > _MOST_CHUNKS:
                raise _Refused(400, "too many chunks")
        return bytes(body)

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


def _event(connection: h11.Connection) -> object:
    try:
        return connection.next_event()
    except h11.ProtocolError as error:
        return error


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
