"""A user's replays, comparisons and runs of checks come one after another; other users do not wait."""

from __future__ import annotations

import trio
import trio.testing

from preview.replay.turns import UserTurns


async def test_a_user_waits_for_the_own_turn_and_no_other_user_does() -> None:
    turns, order, go = UserTurns(), list[str](), trio.Event()

    async def work(user_id: str, name: str) -> None:
        async with turns.take(user_id):
            order.append(name)
            await go.wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(work, "ann", "first")
        await trio.testing.wait_all_tasks_blocked()
        nursery.start_soon(work, "ann", "second")
        nursery.start_soon(work, "bob", "other")
        await trio.testing.wait_all_tasks_blocked()
        assert order == ["first", "other"]
        go.set()
    assert order == ["first", "other", "second"]


async def test_a_cancelled_turn_is_free() -> None:
    turns = UserTurns()
    with trio.CancelScope() as scope:
        async with turns.take("ann"):
            scope.cancel()
            await trio.lowlevel.checkpoint()
    with trio.fail_after(5):
        async with turns.take("ann"):
            pass
