"""Turns of the guest run: without a thread, at once, and one after the other."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from test_embedding_bridge import LOOPS, in_a_thread

from preview.embedding import AsyncioBridge, ticks
from preview.embedding.guest import GuestRun, open_guest


@pytest.fixture(params=list(LOOPS))
def under(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Run a function of asyncio, on each loop."""
    return lambda function: in_a_thread(function, LOOPS[request.param])


@pytest.mark.parametrize("is_known", [True, False])
def test_turns_need_no_thread_unless_trio_is_of_another_kind(
    under: Any, monkeypatch: pytest.MonkeyPatch, *, is_known: bool
) -> None:
    if not is_known:
        monkeypatch.setattr(ticks, "_STATE", ("renamed",))

    async def all_ways() -> None:
        """Ways in which a trio task goes on: a timer, a socket, a thread, another task, and the host."""
        one, other = trio.socket.socketpair()
        with one, other:
            await trio.sleep(0.01)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(one.send, b"x")
                assert await other.recv(1) == b"x"
            assert await trio.to_thread.run_sync(threading.get_ident) != threading.get_ident()
            # A thread that is not trio's wakes it too.
            woken, token = trio.Event(), trio.lowlevel.current_trio_token()
            threading.Timer(0.01, lambda: token.run_sync_soon(woken.set)).start()
            await woken.wait()

    async def slept() -> str:
        await asyncio.sleep(0.01)
        return "slept"

    async def in_host(guest: GuestRun) -> None:
        assert await guest.call_host(slept) == "slept"

    async def main() -> None:
        async with open_guest() as guest:
            assert guest.ticks.is_threadless is is_known
            for _ in range(3):
                await guest.call(all_ways)
                await guest.call(in_host, guest)
        assert not guest.ticks.is_threadless

    under(main)


def test_a_turn_is_taken_at_once_and_never_inside_another(under: Any) -> None:
    seen: list[str] = []

    async def main() -> None:
        async with open_guest() as guest:
            ended = asyncio.Event()

            async def second() -> None:
                await trio.lowlevel.checkpoint()
                seen.append("second")
                ended.set()

            async def first() -> None:
                await trio.lowlevel.checkpoint()
                guest.start_soon(second)
                seen.append("first goes on")

            guest.start_soon(first)
            await ended.wait()

    under(main)
    assert seen == ["first goes on", "second"]


def test_messages_that_wait_in_the_host_are_received_one_after_the_other(under: Any) -> None:
    received: list[Any] = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["more_body"]:
            received.append(message["body"])
        await send({"type": "http.response.body", "body": b""})

    async def main() -> None:
        bridge, numbers = AsyncioBridge(), iter(range(4))

        async def receive() -> Any:
            await asyncio.sleep(0)
            number = next(numbers)
            return {"type": "http.request", "body": number, "more_body": number < 3}

        async def send(_: Any) -> None:
            pass

        async with bridge.open():
            await bridge.serve(app, {"type": "http"}, receive, send)

    under(main)
    assert received == [0, 1, 2]
