"""What goes wrong on the quick way, or at its edges: nobody waits for it, nobody else is held up, nothing stays."""

from __future__ import annotations

import os
import socket
from math import inf
from time import monotonic

import pytest
import trio
import trio.testing
from proxy_relay_kit import Front, HeldSecond, get, ok, recording, relay_to, request
from structlog.testing import capture_logs

from preview.http.relay.responses import RECEIVE_BYTES
from preview.http.relay.watch import Watch
from preview.proxy.admission import OwnAnswer
from preview.proxy.pool import UpstreamConnection


async def _until(stream: trio.SocketStream, end: bytes, count: int = 1) -> bytes:
    raw = b""
    while raw.count(end) < count:
        raw += (await stream.receive_some()) or pytest.fail(f"the connection ended behind {raw!r}")
    return raw


async def _ended(front: Front, stream: trio.SocketStream) -> bytes:
    """What comes until the service ends the connection, well ahead of the time it may be idle."""
    with trio.fail_after(3):
        return b"".join([part async for part in stream])


async def test_at_a_shutdown_a_connection_ends_as_soon_as_the_answer_that_had_begun_is_over() -> None:
    go_on = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(ok(b"first"))
        await stream.receive_some()
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nbeg")
        await go_on.wait()
        await stream.send_all(b"over")
        await stream.receive_some()

    async with relay_to(serve, keep_alive_s=20) as front, await trio.open_tcp_stream(*front.address) as stream:
        await stream.send_all(get())
        await _until(stream, b"first")
        await stream.send_all(get())
        await _until(stream, b"beg")
        assert front.door.asked_again == 1
        front.stop.set()
        await trio.testing.wait_all_tasks_blocked(0.01)
        go_on.set()
        assert await _ended(front, stream) == b"over"


async def test_a_mistake_of_ours_with_a_request_that_came_ahead_of_the_answer_ends_its_connection_too() -> None:
    second = HeldSecond(ok(b"second"))
    async with relay_to(second.serve, keep_alive_s=20) as front, await trio.open_tcp_stream(*front.address) as stream:
        await stream.send_all(get())
        await _until(stream, b"first")
        await stream.send_all(get())
        await second.asked.wait()
        (known,) = front.relay.known._young.values()
        known.again = lambda _: 1 / 0  # type: ignore[assignment,return-value]
        await stream.send_all(get())
        await trio.testing.wait_all_tasks_blocked(0.01)
        with capture_logs() as logged:
            second.go_on.set()
            assert (await _ended(front, stream)).endswith(b"second")
            await trio.testing.wait_all_tasks_blocked(0.005)
        assert [one["event"] for one in logged] == ["connection failed"]
        assert [one[:2] for one in front.told] == [("GET", 200)] * 2


async def test_what_came_behind_a_request_that_fills_one_reading_is_read_as_well() -> None:
    head = request(b"POST", b"/", b"Content-Length: 00000")
    full = request(b"POST", b"/", b"Content-Length: %d" % (RECEIVE_BYTES - len(head)), body=b"x" * RECEIVE_BYTES)
    full = full[:RECEIVE_BYTES]
    handler = recording([], lambda one: ok(b"%d!" % len(one.body)))
    async with relay_to(handler, keep_alive_s=20) as front, await trio.open_tcp_stream(*front.address) as stream:
        await stream.send_all(full)
        await _until(stream, b"!")
        # Both are there when the first reading happens.
        (connection,) = front.relay._open
        listen, front.relay.watch.listen = front.relay.watch.listen, lambda one: None  # type: ignore[method-assign]
        await trio.testing.wait_all_tasks_blocked(0.01)
        front.relay.watch._epoll.modify(connection.fd, 0)
        await stream.send_all(full + get())
        await trio.testing.wait_all_tasks_blocked(0.01)
        front.relay.watch.listen = listen  # type: ignore[method-assign]
        listen(connection)
        with trio.fail_after(3):
            await _until(stream, b"!", 2)
        assert (front.door.asked, front.door.asked_again) == (2, 1)


async def test_a_head_that_is_too_long_is_not_relayed_because_one_with_the_same_fields_was() -> None:
    filling = b"X-Filling: " + b"f" * 3000
    async with relay_to(recording([], ok(b"relayed!"))) as front:
        for target, is_relayed in ((b"/", True), (b"/" + b"t" * 15000, False)):
            async with await trio.open_tcp_stream(*front.address) as stream:
                await stream.send_all(get(target, filling))
                assert (await stream.receive_some()).endswith(b"relayed!") == is_relayed
        assert front.door.asked_again == 0


async def test_a_head_that_drips_does_not_renew_the_time_that_a_preview_has_for_it() -> None:
    dripped = trio.Event()

    async def serve(stream: trio.SocketStream) -> None:
        await stream.receive_some()
        await stream.send_all(ok(b"first"))
        await stream.receive_some()
        await trio.testing.wait_all_tasks_blocked(0.02)
        await stream.send_all(b"HTTP/1.1 2")
        dripped.set()
        await stream.receive_some()

    async with relay_to(serve) as front, await trio.open_tcp_stream(*front.address) as stream:
        await stream.send_all(get())
        await _until(stream, b"first")
        await stream.send_all(get())
        (connection,) = front.relay._open
        await dripped.wait()
        await trio.testing.wait_all_tasks_blocked(0.01)
        assert connection.delivery is not None
        assert connection.delivery.exchange.has_begun
        assert connection.deadline == pytest.approx(
            connection.delivery.request.arrived_at + front.relay.answer_s, abs=0.001
        )


async def test_nothing_of_a_request_s_target_is_kept() -> None:
    async with relay_to(recording([], ok(b"!"))) as front, await trio.open_tcp_stream(*front.address) as stream:
        await stream.send_all(get(b"/?code=secret"))
        await _until(stream, b"!")
        (known,) = front.relay.known._young.values()
        assert b"secret" not in known.head.target


@pytest.mark.timed
async def test_many_requests_that_are_answered_at_once_let_the_others_have_their_turns() -> None:
    last = 0
    longest = 0

    async with relay_to(recording([], ok())) as front, trio.open_nursery() as nursery:
        front.door.own = OwnAnswer(403, [], b"no")

        async def look() -> None:
            nonlocal last, longest
            while True:
                await trio.lowlevel.checkpoint()
                longest, last = max(longest, front.door.asked - last), front.door.asked

        async with await trio.open_tcp_stream(*front.address) as stream:
            nursery.start_soon(look)
            await stream.send_all(get() * 500)
            await _until(stream, b"HTTP/1.1 403 ", 500)
            nursery.cancel_scope.cancel()
        assert front.door.asked == 500
    assert longest < 5


async def test_a_request_that_comes_as_the_time_for_it_is_over_is_answered_or_not_seen() -> None:
    async with relay_to(recording([], ok(b"!"))) as front, await trio.open_tcp_stream(*front.address) as stream:
        await stream.send_all(get())
        await _until(stream, b"!")
        await trio.testing.wait_all_tasks_blocked(0.01)
        (connection,) = front.relay._open
        os.write(stream.socket.fileno(), get(b"/", b"X-Not-Known: 1"))
        # As the watch and its clock do, one behind the other.
        connection.deadline = monotonic() - 1
        assert connection.came()
        assert connection.deadline == inf
        await _until(stream, b"!")


def test_a_connection_that_was_closed_is_not_seen_any_more_where_a_process_that_begins_holds_it() -> None:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with Watch(lambda: None) as watch, theirs:
        upstream = UpstreamConnection(ours, ("preview_x", 1))
        watch.listen_to(upstream)
        # Between fork and exec a child has all descriptors.
        held = os.dup(upstream.fd)
        upstream.close()
        theirs.shutdown(socket.SHUT_RDWR)
        assert watch._epoll.poll(0) == []
        os.close(held)
