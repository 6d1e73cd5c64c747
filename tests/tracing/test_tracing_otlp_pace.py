"""Hostile bodies and heads of OTLP take a limited share of the event loop, measured by processor time."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from time import thread_time
from typing import cast

import pytest
import trio
from otlp_kit import JSON, Log, part, post, receiver
from trio.testing import MockClock, memory_stream_pair

from preview.tracing import PreviewTraces
from preview.tracing.otlp import OtlpReceiver, pacing
from preview.tracing.otlp import receiver as receiver_module
from preview.tracing.otlp.pacing import LoopShare, Pacer
from preview.tracing.otlp.wire import MOST_FIELDS, MOST_PART_FIELDS


async def longest_gap(body: bytes, *fields: str, path: str) -> float:
    """Send a body; return the longest processor time that the loop had for nothing else, in seconds."""
    gaps = [0.0]

    async def tick() -> None:
        last = thread_time()
        while True:
            await trio.lowlevel.checkpoint()
            now = thread_time()
            gaps.append(now - last)
            last = now

    async with receiver() as (_, stream, _), trio.open_nursery() as nursery:
        nursery.start_soon(tick)
        assert await post(stream, body, *fields, path=path) == b"200"
        nursery.cancel_scope.cancel()
    return max(gaps)


async def test_records_without_text_do_not_hold_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """They become no lines, so lines must not be what the pauses are counted by."""
    monkeypatch.setattr(pacing, "REST", 0)
    body = json.dumps({"resourceLogs": [{"scopeLogs": [{"logRecords": [{}] * 120_000}]}]}).encode()
    assert await longest_gap(body, JSON, path="/v1/logs") < 0.1


async def test_parts_of_many_fields_do_not_hold_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pacing, "REST", 0)
    one = part(2, part(16, 1) * (MOST_PART_FIELDS - 10))
    body = part(1, part(2, one * (MOST_FIELDS // MOST_PART_FIELDS - 1)))
    assert await longest_gap(body, path="/v1/traces") < 0.03


async def test_work_of_all_previews_has_a_fifth_of_the_loop(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    ticks = count()
    monkeypatch.setattr(pacing, "thread_time", lambda: next(ticks) * 0.001)
    share, taken, began = LoopShare(), list[int](), trio.current_time()

    def parts() -> Iterator[int | None]:
        for at in range(200):
            yield at if at % 2 else None

    async with trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(Pacer(share).take_each, parts(), taken.append)
    assert len(taken) == 300
    work_s = next(ticks) * 0.001
    assert trio.current_time() - began >= 3 * work_s


async def test_a_head_that_is_wrong_costs_a_pause() -> None:
    async with receiver() as (_, stream, _):
        began = trio.current_time()
        await stream.send_all(b"POST / HTTP/1.1\r\nno field\r\n\r\n")
        with suppress(trio.BrokenResourceError):
            assert await stream.receive_some() == b""
        assert trio.current_time() - began >= 0.05


async def test_a_body_of_many_tiny_chunks_is_refused() -> None:
    body = b"".join(b"1\r\n%c\r\n" % byte for byte in part(3, 1) * 3_000) + b"0\r\n\r\n"
    async with receiver() as (traces, stream, _):
        await stream.send_all(b"POST /v1/traces HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
        assert (await stream.receive_some()).startswith(b"HTTP/1.1 400 ")
        assert traces.dropped == 1


async def test_pauses_for_the_flood_of_others_lose_no_body(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    traces = PreviewTraces("preview_a", most_spans=100, most_bytes=100_000)
    traces.turn(on=True)
    ours, theirs = memory_stream_pair()
    monkeypatch.setattr(pacing, "SLICE_S", 0)

    async def rest(_share: LoopShare, used_s: float) -> None:
        await trio.sleep(receiver_module._IDLE_S * 2)

    monkeypatch.setattr(LoopShare, "rest", rest)
    served = OtlpReceiver(traces, Log())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(served.serve, cast("trio.SocketStream", ours))
        await theirs.send_all(b"POST /v1/traces HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n" + part(3, 1))
        assert (await theirs.receive_some()).startswith(b"HTTP/1.1 200 ")
        nursery.cancel_scope.cancel()
    assert traces.dropped == 0
