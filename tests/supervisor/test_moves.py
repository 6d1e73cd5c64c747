"""A drain moves each preview right after its data is saved, and none that has been stopped meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import trio
import trio.testing

from preview.cluster.nodes import _node
from preview.core.lifecycle import Departure
from preview.supervisor.manager import moves


class _Preview:
    def __init__(self, preview_id: str) -> None:
        self.id, self.over = preview_id, trio.Event()
        self.outcome: Departure | None = None

    def depart(self, why: Departure, _error: Any) -> None:
        self.outcome = why
        self.over.set()


async def test_a_preview_moves_when_its_own_data_is_saved(monkeypatch: pytest.MonkeyPatch) -> None:
    saved = {name: trio.Event() for name in ("quick", "slow", "stopped")}
    previews: Any = {name: _Preview(name) for name in saved}
    cluster: Any = SimpleNamespace(moving=set())
    context: Any = None

    async def save(preview: Any, _: object) -> None:
        await saved[preview.id].wait()

    monkeypatch.setattr(moves, "save_before_move", save)
    async with trio.open_nursery() as nursery:
        for one in previews.values():
            nursery.start_soon(moves.move, one, context, cluster)
        saved["quick"].set()
        await previews["quick"].over.wait()
        assert previews["slow"].outcome is None
        previews["stopped"].outcome = "stopped on request"
        saved["stopped"].set()
        saved["slow"].set()
    assert cluster.moving == {"quick", "slow"}
    assert previews["stopped"].outcome == "stopped on request"


async def test_a_node_of_a_newer_version_is_read() -> None:
    words = '{"labels": {"region": "north"}, "machine": {"system": "Linux 6", "processors": 2, "colour": "red"}}'
    row: Any = SimpleNamespace(
        id="n", address="n:1", version="9", capacity=3, labels=words, load=1, left_ms=5, draining=0, started_at=0
    )
    facts = _node(row).facts
    assert (facts.system, facts.processors, facts.isolation) == ("Linux 6", 2, "")
    await trio.lowlevel.checkpoint()
