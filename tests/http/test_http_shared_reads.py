"""Reads that many requests want at the same moment: one for all of them."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from preview.http.browser.shared_reads import SharedReads


class Rows:
    def __init__(self) -> None:
        self.asked = list[str]()
        self.go_on = trio.Event()

    async def read(self, key: str) -> str:
        self.asked.append(key)
        await self.go_on.wait()
        if key == "missing":
            raise KeyError(key)
        return f"the row of {key}"


async def test_all_who_ask_meanwhile_share_one_read_of_each_key() -> None:
    rows, reads, found = Rows(), SharedReads[str](), list[str]()

    async def ask(key: str) -> None:
        found.append(await reads.get(key, rows.read))

    async with trio.open_nursery() as nursery:
        for key in ["a", "b"] * 50:
            nursery.start_soon(ask, key)
        await trio.testing.wait_all_tasks_blocked()
        rows.go_on.set()
    assert sorted(rows.asked) == ["a", "b"]
    assert sorted(found) == ["the row of a"] * 50 + ["the row of b"] * 50
    # Nothing is kept.
    await ask("a")
    assert rows.asked.count("a") == 2


async def test_a_failure_is_that_of_all_and_a_cancelled_read_that_of_nobody() -> None:
    rows, reads = Rows(), SharedReads[str]()

    async def fails() -> None:
        with pytest.raises(KeyError):
            await reads.get("missing", rows.read)

    async with trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with trio.open_nursery() as first:
                first.start_soon(fails)
                await trio.testing.wait_all_tasks_blocked()
                for _ in range(3):
                    nursery.start_soon(fails)
                await trio.testing.wait_all_tasks_blocked()
                assert rows.asked == ["missing"]
                scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert rows.asked == ["missing", "missing"]
        rows.go_on.set()
