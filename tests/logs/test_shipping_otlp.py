"""Lines by OTLP: collectors that refuse, fail or answer garbage, and bytes that OTLP's own types decode."""

from __future__ import annotations

from pathlib import Path

import pytest
import trio
from log_room import make_settings
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsPartialSuccess,
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)

from preview.errors import ConfigurationError
from preview.logs import Batch
from preview.logs.shipping import otlp
from preview.logs.shipping import shipper as shipper_module
from preview.logs.shipping.shipper import Shipper, open_shipping

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
PARTIAL = ExportLogsServiceResponse(
    partial_success=ExportLogsPartialSuccess(rejected_log_records=2)
).SerializeToString()


def batch(*messages: str, first: int = 1) -> Batch:
    return Batch(
        "preview_a", first, [1_795_857_220_123] * len(messages), bytes([3]) * len(messages), messages, {0: "r1"}
    )


def answer(status: int, body: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (status, len(body), body)


class Collector:
    """A collector that answers each request with the next of some answers, and the last one from then on."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.requests: list[bytes] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        async with stream:
            data = b""
            while b"\r\n\r\n" not in data:
                data += await stream.receive_some()
            head, _, body = data.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            while len(body) < length:
                body += await stream.receive_some()
            assert head.startswith(b"POST /v1/logs HTTP/1.1")
            assert b"x-key: s3cr3t" in head.lower()
            self.requests.append(body)
            said = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
            try:
                await stream.send_all(said)
                while said.endswith(b"without end"):
                    await stream.send_all(b"x" * 65536)
            except trio.BrokenResourceError:
                pass

    @property
    def records(self) -> list[tuple[str, str, int]]:
        """The resource's preview, the text and the number of all lines."""
        return [
            (
                {one.key: one.value.string_value for one in group.resource.attributes}["preview.id"],
                record.body.string_value,
                {one.key: one.value.int_value for one in record.attributes}["preview.seq"],
            )
            for body in self.requests
            for group in ExportLogsServiceRequest.FromString(body).resource_logs
            for scope in group.scope_logs
            for record in scope.log_records
        ]


async def ship(tmp_path: Path, collector: Collector, *batches: Batch, lines: int) -> Shipper:
    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    configured = make_settings(
        tmp_path, log_shipping="otlp:", otlp_headers="x-key=s3cr3t",
        otlp_endpoint=f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/",
    )  # fmt: skip
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.serve_listeners, collector.serve, listeners)
            async with open_shipping(configured) as made:
                assert made is not None
                for one in batches:
                    made.offer(one)
                while made.shipped_lines + made.lost_lines < lines:
                    await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
    return made


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shipper_module, "_RETRY_FIRST_S", 0.01)


async def test_lines_that_are_refused_for_ever_hold_up_no_others_and_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipper_module, "_SENT_BATCHES", 1)
    collector = Collector(answer(400), answer(200, PARTIAL), OK)
    made = await ship(tmp_path, collector, batch("a"), batch("b", "c", "d", first=2), batch("e", first=5), lines=5)
    assert (made.shipped_lines, made.lost_lines) == (2, 3)


@pytest.mark.parametrize("trouble", [answer(503), answer(401), b"garbage", b"", answer(302), b"HTTP/1.1 200 OK\r\n"])
async def test_lines_are_sent_again_after_a_collector_failed(tmp_path: Path, trouble: bytes) -> None:
    collector = Collector(trouble, trouble, OK)
    made = await ship(tmp_path, collector, batch("hello"), lines=1)
    assert (made.shipped_lines, made.lost_lines) == (1, 0)
    assert collector.records == [("preview_a", "hello", 1)] * 3


@pytest.mark.parametrize(
    "body",
    [
        b"\xff" * 1000,
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\nnot packed",
        b"HTTP/1.1 200 OK\r\n\r\nwithout end",
    ],
)
async def test_a_response_of_garbage_or_without_an_end_costs_neither_memory_nor_time(
    tmp_path: Path, body: bytes
) -> None:
    said = body if body.startswith(b"HTTP") else answer(200, body)
    made = await ship(tmp_path, Collector(said), batch("hello"), lines=1)
    assert (made.shipped_lines, made.lost_lines) == (1, 0)


async def test_lines_of_several_previews_are_one_request(tmp_path: Path) -> None:
    other = Batch("preview_b", 7, [1_795_857_220_124], bytes([0]), ["lone \ud800 surrogate"])
    collector = Collector(OK)
    await ship(tmp_path, collector, batch("a", "b"), other, lines=3)
    assert len(collector.requests) == 1
    assert collector.records == [("preview_a", "a", 1), ("preview_a", "b", 2), ("preview_b", "lone ? surrogate", 7)]
    group = ExportLogsServiceRequest.FromString(collector.requests[0]).resource_logs[0]
    record = group.scope_logs[0].log_records[0]
    assert group.scope_logs[0].scope.name == "preview.output"
    assert (record.severity_text, record.severity_number) == ("ERROR", 17)
    assert record.time_unix_nano == 1_795_857_220_123_000_000
    assert {one.key: one.value.string_value for one in record.attributes}["preview.request_id"] == "r1"


def test_the_setting_needs_a_collector(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="PREVIEW_OTLP_ENDPOINT"):
        otlp.otlp_target(make_settings(tmp_path))
