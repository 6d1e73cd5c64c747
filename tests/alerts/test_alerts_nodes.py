"""Rules of alerts on two nodes of a cluster: made through one, they apply to previews on the other."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from pydantic import TypeAdapter

from preview.alerts.alerts import Alerts, RuleDraft, open_alerts
from preview.alerts.conditions import Condition
from preview.alerts.rule import Scope
from preview.cluster import Notices
from preview.core.lifecycle import State
from preview.errors import AlertLimitReached
from preview.logs import Batch, LogStore
from preview.settings import Settings
from preview.storage import Sealer, open_database


class Preview:
    """A stand-in that a watch can follow. It has said something once an alert has fired."""

    def __init__(self) -> None:
        self.id = "p1"
        self.record = SimpleNamespace(user_id="ann", generation_id="g1", project_id="", state=State.RUNNING)
        self.restarts, self.crash, self.usage = 0, None, None
        self.settings = SimpleNamespace(memory_limit_mb=1)
        self.traffic = SimpleNamespace(listeners=[])
        self.watches: set[Any] = set()
        self.watched, self.fired = trio.Event(), trio.Event()
        broadcast = SimpleNamespace(add=self._add, remove=self.watches.discard)
        self.log = SimpleNamespace(last_seq=0, end=None, broadcast=broadcast, say=lambda *_: self.fired.set())

    def _add(self, watch: object) -> None:
        self.watches.add(watch)
        self.watched.set()


@asynccontextmanager
async def open_node(url: str, settings: Settings) -> AsyncIterator[tuple[Alerts, list[Callable[[Any], None]]]]:
    """Alerts with the notices of a node, and its observers of previews."""
    observers: list[Callable[[Any], None]] = []
    async with open_database(url) as database, trio.open_nursery() as nursery:
        notices, listens = Notices(database.engine), trio.Event()
        with notices.subscribed(lambda _: listens.set()):
            await nursery.start(notices.run)
            with trio.fail_after(60):
                await listens.wait()
        sealer = Sealer(["x" * 32], "PREVIEW_SEALING_KEYS")
        async with open_alerts(
            settings, database, LogStore(database), observers, has_generations=False, sealer=sealer, notices=notices
        ) as alerts:
            yield alerts, observers
        nursery.cancel_scope.cancel()


def draft(**fields: object) -> RuleDraft:
    condition: Condition = TypeAdapter(Condition).validate_python(fields)
    return RuleDraft("a rule", condition, Scope(), 1.0, is_enabled=True, webhook=None)


async def test_a_rule_applies_to_a_preview_on_another_node_and_its_limit_counts_for_all(
    postgres_database_url: str, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings(alerts_per_user=1)
    async with (
        open_node(postgres_database_url, settings) as (one, _),
        open_node(postgres_database_url, settings) as (two, observers),
    ):
        preview = Preview()
        for observe in observers:
            observe(preview)
        # The user has no rules yet.
        assert not preview.watches
        rule = await one.add("ann", draft(kind="matches", filter="boom"))
        with trio.fail_after(60):
            await preview.watched.wait()
            # The watch reads the rules first; lines before that count for nothing.
            while not preview.fired.is_set():
                for watch in list(preview.watches):
                    watch.offer(Batch("p1", 1, [0], bytes([1]), ["boom"]))
                with trio.move_on_after(0.1):
                    await preview.fired.wait()
        with pytest.raises(AlertLimitReached):
            await two.add("ann", draft(kind="matches", filter="other"))
        assert [found.id for found in await two.rules("ann")] == [rule.id]
