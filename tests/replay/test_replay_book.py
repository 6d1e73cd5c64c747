"""Checks after reloads: whose run, and when."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from preview.core.lifecycle import State
from preview.replay.checks import book
from preview.replay.checks.book import CheckBook


class Previews:
    """Previews whose checks run until they are released."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.running: list[str] = []
        self.ends: dict[str, trio.Event] = {}
        self.reloads: dict[str, Callable[[], None]] = {}
        self.book = CheckBook(*[SimpleNamespace()] * 2)  # type: ignore[arg-type]
        self.book._check = self.check  # type: ignore[method-assign]

    def add(self, name: str, user: str) -> None:
        added: list[Any] = []
        log = SimpleNamespace(broadcast=SimpleNamespace(add=added.append), say=lambda text, _: self.said.append(text))
        record = SimpleNamespace(user_id=user, state=State.RUNNING)
        preview: Any = SimpleNamespace(id=name, record=record, log=log)
        self.book.watch(preview)
        self.reloads[name] = added[0]._changed

    async def check(self, preview: Any) -> None:
        self.running.append(preview.id)
        self.ends[preview.id] = trio.Event()
        await self.ends[preview.id].wait()


async def test_the_checks_of_one_user_hold_up_nobody(autojump_clock: trio.testing.MockClock) -> None:
    previews = Previews()
    for name, user in (("a1", "ann"), ("a2", "ann"), ("b1", "bob")):
        previews.add(name, user)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(previews.book.run)
        for name in ("a1", "a1", "a2", "b1"):
            previews.reloads[name]()
        await trio.testing.wait_all_tasks_blocked()
        assert previews.running == ["a1", "b1"]
        # Reloads during a run lead to one more run.
        for _ in range(3):
            previews.reloads["a1"]()
        for name in ("a1", "a2", "a1"):
            previews.ends[name].set()
            await trio.testing.wait_all_tasks_blocked()
        assert previews.running == ["a1", "b1", "a2", "a1"]
        nursery.cancel_scope.cancel()
    previews.reloads["a1"]()
    assert not previews.book._waiting


async def test_what_waits_is_bounded_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "_MOST_WAITING", 2)
    previews = Previews()
    for name in "abc":
        previews.add(name, name)
        previews.reloads[name]()
    previews.reloads["a"]()
    await trio.lowlevel.checkpoint()
    assert list(previews.book._waiting) == ["a", "b"]
    assert previews.said == ["checks: not run, too many previews reload at once"]
