"""The registry's entries when previews of one generation meet: one that was launched, and one taken from the queue."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from preview.errors import AlreadyRunning
from preview.settings import Settings
from preview.supervisor.manager.registry import PreviewRegistry
from preview.user import User


def a_preview(preview_id: str, generation_id: str) -> Any:
    record = SimpleNamespace(generation_id=generation_id, user_id="ann")
    return SimpleNamespace(id=preview_id, record=record, confinement=None)


async def test_a_preview_that_ends_removes_no_entry_of_another_one() -> None:
    registry = PreviewRegistry(9)
    launched, taken = a_preview("q", "g"), a_preview("p", "g")
    registry.add(launched)
    registry.add(taken)
    registry.remove(launched)
    assert dict(registry.by_id) == {"p": taken}
    registry.remove(taken)
    assert (registry.of("g"), dict(registry.by_id)) == (None, {})
    # The same preview twice: its claim, and a takeover.
    claimed, again = a_preview("p", "g"), a_preview("p", "g")
    registry.add(claimed)
    registry.add(again)
    registry.remove(claimed)
    assert registry.by_id["p"] is again
    registry.remove(again)
    assert not registry.by_id


async def test_a_generation_that_is_being_adopted_is_not_free(settings: Settings) -> None:
    registry, user = PreviewRegistry(9), User("ann")
    adoptions, tier = registry.adoptions, settings.tier("free", "ann")
    assert not await adoptions.wait("p")
    adoptions.begin("p")
    adoptions.name("p", "g")
    with pytest.raises(AlreadyRunning) as refused:
        registry.check_free(user, "g", tier)
    assert refused.value.details["preview_id"] == "p"
    registry.check_free(user, "g2", tier)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(adoptions.wait, "p")
        await trio.testing.wait_all_tasks_blocked()
        adoptions.end("p")
    registry.check_free(user, "g", tier)
    assert not await adoptions.wait("p")
    assert len(adoptions) == 0
