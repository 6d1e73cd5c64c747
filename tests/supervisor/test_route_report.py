"""The report of an application's routes comes from a stranger's process: everything about it has a bound."""

from __future__ import annotations

import socket
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from preview.supervisor.preview import route_report
from preview.supervisor.preview.control import Control, open_control

MIB = 1024 * 1024


@asynccontextmanager
async def channel(*, ready: bool = True) -> AsyncIterator[tuple[Control, socket.socket]]:
    """The service's end, which listens, and the process's end."""
    with open_control() as control, control.theirs.dup() as theirs:
        control.has_started()
        theirs.setblocking(False)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(control.listen)
            if ready:
                theirs.send(b"ready\n")
                await control.ready.wait()
            yield control, theirs
            nursery.cancel_scope.cancel()


async def send_all(theirs: socket.socket, data: bytes) -> None:
    """Send until all is taken, or the channel is closed."""
    left = memoryview(data)
    while left:
        try:
            left = left[theirs.send(left) :]
        except BlockingIOError:
            await trio.lowlevel.wait_writable(theirs)
        except OSError:
            return


async def answered(respond: Callable[[socket.socket, bytes], bytes]) -> tuple[bytes | None, Control]:
    """What comes of one request, to which the process sends what ``respond`` returns for its number."""
    async with channel() as (control, theirs):

        async def answer() -> None:
            await trio.lowlevel.wait_readable(theirs)
            asked = theirs.recv(64)
            assert asked.startswith(b"routes ")
            await send_all(theirs, respond(theirs, asked.split()[1]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            found = await control.ask_routes()
            nursery.cancel_scope.cancel()
        return found, control


HOSTILE = {
    "garbage": lambda _, n: bytes(range(256)) * 4096,
    "silence": lambda _, n: b"",
    "half a line": lambda _, n: b"route " + n + b" GET /half",
    "no end": lambda _, n: (b"route " + n + b" GET\tp/\n") * 100,
    "another request's": lambda _, n: b"route 7 GET\tp/\nroutes 7\n",
    "a longer number": lambda _, n: b"route " + n + b"1 GET\tp/\nroutes " + n + b"1\n",
    "a line of 10 MB": lambda _, n: b"route " + n + b" GET\tp/" + b"a" * 10 * MIB + b"\nroutes " + n + b"\n",
    "megabytes": lambda _, n: (b"route " + n + b" GET\tp/" + b"a" * 1000 + b"\n") * 10_000 + b"routes " + n + b"\n",
    "a million routes": lambda _, n: (b"route " + n + b" G\tp/\n") * 1_000_000 + b"routes " + n + b"\n",
    "nul and no text": lambda _, n: b"\0" * 5 * MIB,
}


@pytest.mark.parametrize("attack", HOSTILE)
async def test_an_abused_channel_gives_no_routes_in_bounded_time_and_memory(
    attack: str, autojump_clock: trio.testing.MockClock
) -> None:
    began = trio.current_time()
    tracemalloc.start()
    try:
        found, _ = await answered(HOSTILE[attack])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found is None
    assert trio.current_time() - began <= route_report.WAIT_S + 0.1
    # The attack itself has up to 17 MiB and is in memory too.
    assert most < 30 * MIB


async def test_one_byte_at_a_time_does_not_hold_the_caller_up(autojump_clock: trio.testing.MockClock) -> None:
    async with channel() as (control, theirs):

        async def dribble() -> None:
            for byte in b"route 1 GET\tp/slow\nroutes 1\n":
                await trio.sleep(0.2)
                theirs.send(bytes([byte]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(dribble)
            began = trio.current_time()
            assert await control.ask_routes() is None
            assert trio.current_time() - began == pytest.approx(route_report.WAIT_S)


async def test_a_late_report_is_no_later_requests_answer(autojump_clock: trio.testing.MockClock) -> None:
    async with channel() as (control, theirs):
        assert await control.ask_routes() is None
        theirs.send(b"route 1 GET\tp/old\nroutes 1\n")
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:

            async def answer() -> None:
                await trio.testing.wait_all_tasks_blocked()
                theirs.send(b"route 1 GET\tp/old\nroute 2 GET\tp/new\nroutes 2\n")

            nursery.start_soon(answer)
            assert await control.ask_routes() == b"GET\tp/new\n"


async def test_a_report_that_nobody_asked_for_is_ignored_and_bounded() -> None:
    async with channel() as (control, theirs):
        await send_all(theirs, b"route 1 GET\tp/forged\nroutes 1\n" * 100)
        with trio.fail_after(5):
            await control._over.wait()
        assert not control.drained.is_set()


async def test_a_channel_that_ends_ends_the_wait() -> None:
    async with channel() as (control, theirs):

        async def close() -> None:
            await trio.lowlevel.wait_readable(theirs)
            theirs.shutdown(socket.SHUT_RDWR)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(close)
            with trio.fail_after(1):
                assert await control.ask_routes() is None
        assert await control.ask_routes() is None


async def test_descriptors_in_a_report_end_the_channel() -> None:
    async with channel() as (control, theirs):

        async def answer() -> None:
            await trio.lowlevel.wait_readable(theirs)
            try:
                socket.send_fds(theirs, [b"route 1 GET\tp/\nroutes 1\n"], [theirs.fileno()])
            except OSError:  # The kernel refuses them (SO_PASSRIGHTS).
                theirs.close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            with trio.fail_after(5):
                assert await control.ask_routes() is None


async def test_a_process_that_has_not_reported_is_not_asked() -> None:
    async with channel(ready=False) as (control, theirs):
        assert await control.ask_routes() is None
        with pytest.raises(BlockingIOError):
            theirs.recv(64)


async def test_a_process_is_asked_a_few_times_only(autojump_clock: trio.testing.MockClock) -> None:
    async with channel() as (control, theirs):
        for _ in range(2 * route_report.MOST_REPORTS):
            assert await control.ask_routes() is None
        assert theirs.recv(4096).count(b"\n") == route_report.MOST_REPORTS


async def test_the_order_to_drain_works_during_and_after_a_report() -> None:
    def respond(_: socket.socket, n: bytes) -> bytes:
        lines = (b"route " + n + b" GET\tp/" + b"a" * 70 + b"\n") * 5_000
        return lines + b"closed\n" + lines + b"routes " + n + b"\ndrained\n"

    async with channel() as (control, theirs):

        async def answer() -> None:
            await trio.lowlevel.wait_readable(theirs)
            await send_all(theirs, respond(theirs, theirs.recv(64).split()[1]))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            found = await control.ask_routes()
            assert found is not None
            assert found.count(b"\n") == 10_000
            assert control.closed.is_set()
            with trio.fail_after(5):
                await control.drained.wait()
            assert control.ask_to_drain()


async def test_callers_at_the_same_time_share_one_report() -> None:
    async with channel() as (control, theirs):
        found: list[bytes | None] = []

        async def ask() -> None:
            found.append(await control.ask_routes())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask)
            nursery.start_soon(ask)
            await trio.testing.wait_all_tasks_blocked()
            assert theirs.recv(64) == b"routes 1\n"
            theirs.send(b"route 1 GET\tp/a\nroutes 1\n")
        assert found == [b"GET\tp/a\n"] * 2


async def test_a_cancelled_caller_takes_nothing_from_the_other() -> None:
    async with channel() as (control, theirs), trio.open_nursery() as nursery:
        scope = trio.CancelScope()

        async def ask_briefly() -> None:
            with scope:
                await control.ask_routes()

        async def ask() -> None:
            assert await control.ask_routes() == b""

        nursery.start_soon(ask_briefly)
        nursery.start_soon(ask)
        await trio.testing.wait_all_tasks_blocked()
        scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        theirs.send(b"routes 1\n")


@given(pieces=some.lists(some.binary(max_size=30), max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_any_lines_are_taken_without_an_error(pieces: list[bytes]) -> None:
    lines = [piece.replace(b"\n", b"") for piece in pieces]
    report = route_report.RouteReport(1)
    for line in [*lines, b"routes 1"]:
        report.take(line)
    mine = [line[8:] for line in lines[: (*lines, b"routes 1").index(b"routes 1")] if line.startswith(b"route 1 ")]
    assert report.text == b"".join(line + b"\n" for line in mine)


async def test_the_primary_process_of_a_cluster_is_asked_before_it_serves(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with channel(ready=False) as (control, theirs):
        assert await control.ask_routes() is None
        theirs.send(b"workers\n")
        await trio.testing.wait_all_tasks_blocked()
        async with trio.open_nursery() as nursery:

            async def answer() -> None:
                await trio.lowlevel.wait_readable(theirs)
                assert theirs.recv(64) == b"routes 1\n"
                theirs.send(b"route 1 GET\te/a\nroutes 1\n")

            nursery.start_soon(answer)
            assert await control.ask_routes() == b"GET\te/a\n"
