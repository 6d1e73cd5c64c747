"""Mistakes and rules that vanish: one firing may be lost, the service goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import psycopg
import trio
import trio.testing
from pydantic import TypeAdapter
from sqlalchemy.dialects import postgresql

from preview.alerts.conditions import Condition
from preview.alerts.deliveries import PENDING_PER_USER, Deliveries
from preview.alerts.engine import AlertEngine
from preview.alerts.rule import DeliveryState, Firing, Rule, Scope, Webhook
from preview.alerts.store import AlertStore, _locked
from preview.alerts.webhook_secrets import WebhookSecrets
from preview.core.clock import utc_now
from preview.storage import Sealer, open_database

_WAITING = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

SECRETS = WebhookSecrets(Sealer(["k" * 32], "the test"))


def rule_of(**fields: object) -> Rule:
    condition: Condition = TypeAdapter(Condition).validate_python(fields)
    webhook = Webhook("http://127.0.0.1:1/", None, None)
    return Rule("alert_1", "ann", "a rule", condition, Scope(), 1.0, True, webhook, utc_now(), utc_now())


def firing_of(name: str) -> Firing:
    return Firing(name, "alert_1", "ann", "g1", "", "p1", utc_now(), "it fired")


class RefusingStore:
    """Refuses a transaction with one firing, as a database does whose foreign key is violated."""

    def __init__(self) -> None:
        self.stored: list[str] = []
        self.all_seen = trio.Event()

    async def save_firings(self, firings: Sequence[Firing]) -> None:
        await trio.lowlevel.checkpoint()
        if any(one.id == "bad" for one in firings):
            raise ValueError("the foreign key is violated")
        self.stored += [one.id for one in firings]
        if "c" in self.stored:
            self.all_seen.set()


async def test_a_firing_that_cannot_be_stored_is_dropped_and_the_others_are_stored(nursery: trio.Nursery) -> None:
    store, unused = RefusingStore(), SimpleNamespace()
    engine = AlertEngine(nursery, unused, store, unused, SECRETS)  # type: ignore[arg-type]  # stand-ins
    nursery.start_soon(engine.run_saver)
    for name in ("a", "bad", "b"):
        engine._note(firing_of(name))
    await trio.testing.wait_all_tasks_blocked()
    engine._note(firing_of("c"))
    with trio.fail_after(5):
        await store.all_seen.wait()
    assert store.stored == ["a", "b", "c"]
    await trio.testing.wait_all_tasks_blocked()
    assert not engine._unsaved


def test_rules_are_locked_while_their_firings_are_stored() -> None:
    dialect: Any = postgresql.dialect()  # type: ignore[no-untyped-call]
    assert "FOR SHARE" in str(_locked(["a"], for_change=False).compile(dialect=dialect))
    assert "ORDER BY" in str(_locked(["a"]).compile(dialect=dialect))
    assert str(_locked(["a"]).compile(dialect=dialect)).endswith("FOR UPDATE")


async def test_a_rule_that_is_deleted_while_its_firing_is_stored_loses_the_firing_alone(
    postgres_database_url: str,
) -> None:
    async with open_database(postgres_database_url) as database:
        store = AlertStore(database, 10)
        for name in ("alert_1", "alert_2"):
            await store.add(replace(rule_of(kind="matches", filter="x"), id=name))
        with (
            psycopg.connect(postgres_database_url) as deleting,
            psycopg.connect(postgres_database_url, autocommit=True) as looking,
        ):
            deleting.execute("DELETE FROM alert_rules WHERE id = 'alert_1'")
            async with trio.open_nursery() as nursery:
                nursery.start_soon(store.save_firings, [firing_of("a"), replace(firing_of("b"), rule_id="alert_2")])
                with trio.fail_after(10):
                    while not looking.execute(_WAITING).fetchone():
                        await trio.lowlevel.checkpoint()
                deleting.commit()
        kept, _ = await store.firings_of_preview("ann", "p1", limit=10)
        assert [one.id for one in kept] == ["b"]


async def test_a_delivery_that_breaks_is_reported_and_the_next_ones_go_on(nursery: trio.Nursery) -> None:
    class BrokenSender:
        async def send(self, message: object) -> None:
            await trio.lowlevel.checkpoint()
            raise ExceptionGroup("a mistake", [ValueError(message)])

    reported: list[Firing] = []
    deliveries = Deliveries(BrokenSender(), SECRETS, reported.append)  # type: ignore[arg-type]
    await nursery.start(deliveries.run)
    for name in ("a", "b"):
        deliveries.put(firing_of(name), rule_of(kind="matches", filter="x"))
        await trio.testing.wait_all_tasks_blocked()
    assert [(one.id, one.delivery.state) for one in reported] == [
        ("a", DeliveryState.FAILED),
        ("b", DeliveryState.FAILED),
    ]
    assert deliveries.pending == 0


async def test_tests_of_a_rule_keep_to_the_bound_of_pending_webhooks(nursery: trio.Nursery) -> None:
    class HangingSender:
        async def send(self, message: object) -> None:
            await trio.sleep_forever()

    deliveries = Deliveries(HangingSender(), SECRETS, lambda _: None)  # type: ignore[arg-type]
    await nursery.start(deliveries.run)
    rule = rule_of(kind="matches", filter="x")
    for number in range(PENDING_PER_USER):
        nursery.start_soon(deliveries.send_once, firing_of(str(number)), rule)
    await trio.testing.wait_all_tasks_blocked()
    with trio.fail_after(5):
        refused = await deliveries.send_once(firing_of("last"), rule)
    assert (refused.delivery.state, deliveries.pending) == (DeliveryState.FAILED, PENDING_PER_USER)
    assert "too many webhooks" in (refused.delivery.problem or "")
    nursery.cancel_scope.cancel()
