"""Reports of requests at the preview's own port come from a stranger's process: everything about them has a bound."""

from __future__ import annotations

from time import thread_time

import pytest
import trio
import trio.testing
from test_route_report import channel, send_all

from preview.core.ids import REQUEST_MARK
from preview.runtime.waiting import wait_any
from preview.traffic import Capture, Draft, PreviewTraffic
from preview.traffic.preview_traffic import Bounds


class Lines:
    last_seq = 7

    async def read_on(self) -> None: ...


def recorder(capture: Capture = Capture.META) -> tuple[PreviewTraffic, list[Draft]]:
    bounds = Bounds(100_000, 100_000_000)
    traffic = PreviewTraffic("preview_a", capture=capture, lines=Lines(), bounds=bounds, wake=lambda: None)
    drafts: list[Draft] = []
    traffic.listeners.append(lambda _, draft: drafts.append(draft))
    return traffic, drafts


def report(name: str = "r1", *, dropped: int = 0, target: str = "/books?x=1", method: str = "GET") -> bytes:
    return f"request {dropped} {method} 404 1500 {name} {target}".encode()


async def test_reports_are_asked_for_while_requests_are_recorded() -> None:
    traffic, drafts = recorder(Capture.OFF)
    with trio.fail_after(10):
        async with channel() as (control, theirs):
            control.report_to(traffic.direct)
            traffic.set_capture(Capture.META)
            await trio.lowlevel.wait_readable(theirs)
            assert theirs.recv(64) == b"requests on %b\n" % REQUEST_MARK.encode()
            await send_all(theirs, report() + b"\nclosed\n")
            await control.closed.wait()
            traffic.set_capture(Capture.OFF)
            await trio.lowlevel.wait_readable(theirs)
            assert theirs.recv(64) == b"requests off\n"
            await send_all(theirs, report() + b"\ndrained\n")
            await control.drained.wait()
    assert [(draft.method, draft.target, draft.status, draft.ended) for draft in drafts] == [
        ("GET", b"/books?x=1", 404, 0.0015)
    ]
    assert drafts[0].first_line == 1


async def test_reports_that_nobody_asked_for_close_the_channel() -> None:
    async with channel() as (control, theirs):
        await send_all(theirs, (report() + b"\n") * 1000)
        with trio.fail_after(10):
            await control._over.wait()


FLOODS = {
    "reports": report() + b"\n",
    "bad reports": b"request x\n",
    "long reports": report(target="/" + "a" * 1000) + b"\n",
}


@pytest.mark.parametrize("flood", FLOODS)
async def test_a_flood_is_read_slowly_and_the_drain_is_still_heard_of(
    flood: str, autojump_clock: trio.testing.MockClock
) -> None:
    traffic, _ = recorder()
    async with channel() as (control, theirs):
        control.report_to(traffic.direct)
        sent = 0

        async def send() -> None:
            nonlocal sent
            block = FLOODS[flood] * (16_384 // len(FLOODS[flood]))
            while True:
                await send_all(theirs, block)
                sent += len(block)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(send)
            began = thread_time()
            await trio.sleep(10)
            # 10 s of the service's clock: 320 KiB/s, and what the socket holds.
            assert sent <= 10 * 320 * 1024 + 1024 * 1024
            assert thread_time() - began < 2
            nursery.cancel_scope.cancel()
        assert not control._over.is_set()
        assert control.ask_to_drain()
        # A whole line first: the flood was cut anywhere.
        with trio.fail_after(60):
            await send_all(theirs, b"\ndrained\n")
            await wait_any(control.drained, control._over)
        assert control.drained.is_set() or control._over.is_set()


@pytest.mark.parametrize("garbage", [b"\0" * 4096, b"x\n" * 4096, b"request " + b"a" * 4096])
async def test_garbage_closes_the_channel_though_reports_are_wanted(garbage: bytes) -> None:
    traffic, drafts = recorder()
    async with channel() as (control, theirs):
        control.report_to(traffic.direct)
        with trio.fail_after(10):
            await send_all(theirs, garbage)
            await control._over.wait()
    assert drafts == []


async def test_a_flood_after_the_order_to_drain_ends_the_channel() -> None:
    traffic, _ = recorder()
    async with channel() as (control, theirs):
        control.report_to(traffic.direct)
        assert control.ask_to_drain()
        with trio.fail_after(10):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(send_all, theirs, (report() + b"\n") * 100_000)
                await control._over.wait()
                nursery.cancel_scope.cancel()
