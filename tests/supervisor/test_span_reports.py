"""Spans come over a stranger's control channel: a flood of them costs the stranger its spans, and no one anything."""

from __future__ import annotations

import json
from time import thread_time

import pytest
import trio
import trio.testing
from test_route_report import channel, send_all

from preview.runtime.waiting import wait_any
from preview.tracing import MOST_LINE, PreviewTraces


def traces() -> PreviewTraces:
    made = PreviewTraces("preview_a", most_spans=20_000, most_bytes=50_000_000)
    made.turn(on=True)
    return made


def report(number: int = 1, detail: str = "select 1") -> bytes:
    span = ["sql", f"{number:032x}", f"{number:016x}", "", 1, 5, "\x1b[2J<b>", detail, 0, "", ""]
    return b"span 0 %b\n" % json.dumps(span).encode()


FLOODS = {
    "spans": report(),
    "long spans": report(detail="x" * 2000),
    "deep JSON": b"span 0 " + b"[" * 8000 + b"\n",
    "no spans": b"span x\n",
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_of_spans_is_read_slowly_and_the_drain_is_still_heard_of(
    flood: str, autojump_clock: trio.testing.MockClock
) -> None:
    kept = traces()
    async with channel() as (control, theirs):
        control.trace_to(kept)
        sent = 0

        async def send() -> None:
            nonlocal sent
            block = FLOODS[flood] * max(1, 16_384 // len(FLOODS[flood]))
            while True:
                await send_all(theirs, block)
                sent += len(block)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            began = thread_time()
            await trio.sleep(5)
            # 5 s of the service's clock: 1.3 MiB/s, and what the socket holds.
            assert 0 < sent <= 5 * 1.4 * 1024 * 1024 + 1024 * 1024
            assert thread_time() - began < 5
            nursery.cancel_scope.cancel()
        assert not control._over.is_set()
        assert kept.dropped > 50
        assert control.ask_to_drain()
        with trio.fail_after(60):
            await send_all(theirs, b"\ndrained\n")
            await wait_any(control.drained, control._over)


@pytest.mark.parametrize("sent", [report() * 1000, b"span 0 " + b"a" * MOST_LINE + b"\n"])
async def test_spans_that_nobody_asked_for_and_endless_ones_close_the_channel(sent: bytes) -> None:
    async with channel() as (control, theirs):
        if len(sent) <= 2 * MOST_LINE:
            control.trace_to(traces())
        with trio.fail_after(10):
            await send_all(theirs, sent)
            await control._over.wait()


async def test_spans_that_are_on_their_way_when_the_drain_begins_do_not_end_it() -> None:
    kept = traces()
    async with channel() as (control, theirs):
        control.trace_to(kept)
        with trio.fail_after(20):
            await send_all(theirs, report(1))
            assert control.ask_to_drain()
            await send_all(theirs, b"".join(report(number) for number in range(2, 200)) + b"closed\ndrained\n")
            await control.drained.wait()
    assert kept.spans == 199
