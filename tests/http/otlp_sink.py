"""What an exporter of OTLP over HTTP sends, and a real OpenTelemetry collector before it."""

from __future__ import annotations

import gzip
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

import h11
import trio
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass
class Sink:
    """Takes all that is sent to it.

    Attributes:
        url: For ``PREVIEW_OTLP_ENDPOINT``.
        bodies: Targets and contents of the requests.
    """

    url: str
    bodies: list[tuple[str, bytes]] = field(default_factory=list)
    _arrived: trio.Event = field(default_factory=trio.Event)

    def span_names(self) -> set[str]:
        """Return the names of all spans."""
        return {
            span.name
            for target, body in self.bodies
            if target == "/v1/traces"
            for group in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        }

    def metric_names(self) -> set[str]:
        """Return the names of all metrics."""
        return {
            metric.name
            for target, body in self.bodies
            if target == "/v1/metrics"
            for group in ExportMetricsServiceRequest.FromString(body).resource_metrics
            for scope in group.scope_metrics
            for metric in scope.metrics
        }

    def log_texts(self, name: str) -> list[str]:
        """Return the texts of a scope's log records."""
        return [
            record.body.string_value
            for target, body in self.bodies
            if target == "/v1/logs"
            for group in ExportLogsServiceRequest.FromString(body).resource_logs
            for scope in group.scope_logs
            if scope.scope.name == name
            for record in scope.log_records
        ]

    async def next(self) -> None:
        """Wait for the next request."""
        await self._arrived.wait()

    async def serve(self, stream: trio.SocketStream) -> None:
        """Take one request."""
        parser, target, body, is_packed = h11.Connection(h11.SERVER), "", b"", False
        while True:
            event = parser.next_event()
            if event is h11.NEED_DATA:
                parser.receive_data(await stream.receive_some())
            elif isinstance(event, h11.Request):
                target = event.target.decode()
                is_packed = (b"content-encoding", b"gzip") in event.headers
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self.bodies.append((target, gzip.decompress(body) if is_packed else body))
                self._arrived.set()
                self._arrived = trio.Event()
                await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            else:
                return


@asynccontextmanager
async def open_sink() -> AsyncIterator[Sink]:
    """Open a sink."""
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    sink = Sink(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(trio.serve_listeners, sink.serve, listeners)
        yield sink
        nursery.cancel_scope.cancel()


@asynccontextmanager
async def open_collector(folder: Path, target: str) -> AsyncIterator[str]:
    """Run Rotel, an OpenTelemetry collector that passes all on to ``target``; yield its address for OTLP by HTTP."""
    found = find_spec("rotel")
    assert found is not None
    assert found.origin is not None
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        ports = first.getsockname()[1], second.getsockname()[1]
    options = {
        "otlp-http-endpoint": f"127.0.0.1:{ports[0]}", "otlp-grpc-endpoint": f"127.0.0.1:{ports[1]}",
        "exporter": "otlp", "otlp-exporter-endpoint": target, "otlp-exporter-protocol": "http",
        "otlp-exporter-compression": "none", "batch-timeout": "50ms", "log-file": str(folder / "rotel.log"),
        "pid-file": str(folder / "rotel.pid"),
    }  # fmt: skip
    command = [str(Path(found.origin).parent / "rotel-agent"), "start"]
    for name, value in options.items():
        command += [f"--{name}", value]
    with (folder / "rotel.out").open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, cwd=folder)  # noqa: ASYNC220  a moment
    try:
        with trio.fail_after(60):
            await _listening(ports[0])
        yield f"http://127.0.0.1:{ports[0]}"
    finally:
        process.kill()
        process.wait()


async def _listening(port: int) -> None:
    while True:
        try:
            await (await trio.open_tcp_stream("127.0.0.1", port)).aclose()
        except OSError:
            await trio.sleep(0.02)
        else:
            return
