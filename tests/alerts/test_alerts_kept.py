"""State of alerts in the database: secrets are not readable there, and cool-downs survive a restart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import trio
from sqlalchemy import insert, select, update
from test_alerts_contained import SECRETS, firing_of, rule_of

from preview.alerts.alerts import Alerts, RuleDraft
from preview.alerts.deliveries import Deliveries
from preview.alerts.engine import AlertEngine
from preview.alerts.rows import rule_row
from preview.alerts.rule import DeliveryState, Firing, Rule, Webhook
from preview.alerts.store import AlertStore
from preview.alerts.webhook_secrets import WebhookSecrets
from preview.alerts.webhooks.sender import Attempt
from preview.core.clock import from_ms, now_ms
from preview.storage import Sealer, open_database
from preview.storage.tables import alert_rules

OTHER = WebhookSecrets(Sealer(["x" * 32], "PREVIEW_SEALING_KEYS"))
PLAIN = "webhook-secret-in-clear"


class Sender:
    """Notes the keys of signatures."""

    def __init__(self) -> None:
        self.keys: list[str | None] = []

    async def send(self, message: Any) -> Attempt:
        await trio.lowlevel.checkpoint()
        self.keys.append(message.secret)
        return Attempt(200, None, 1)


def signed(rule: Rule, sealed: str | None) -> Rule:
    return replace(rule, webhook=Webhook("http://127.0.0.1:1/", sealed))


async def sent(rule: Rule, secrets: WebhookSecrets) -> tuple[Firing, list[str | None]]:
    sender = Sender()
    deliveries = Deliveries(sender, secrets, lambda _: None)  # type: ignore[arg-type]
    return await deliveries.send_once(firing_of("a"), rule), sender.keys


async def test_a_secret_whose_key_is_gone_sends_nothing_unsigned() -> None:
    firing, keys = await sent(signed(rule_of(kind="matches", filter="x"), OTHER.seal("alert_1", PLAIN)), SECRETS)
    assert (firing.delivery.state, keys) == (DeliveryState.FAILED, [])
    assert "Not sent: A stored secret (webhook) is encrypted with the key" in (firing.delivery.problem or "")


async def test_a_secret_that_was_moved_to_another_rule_is_refused() -> None:
    firing, keys = await sent(signed(rule_of(kind="matches", filter="x"), SECRETS.seal("alert_2", PLAIN)), SECRETS)
    assert (firing.delivery.state, keys) == (DeliveryState.FAILED, [])
    assert "changed outside the service" in (firing.delivery.problem or "")


async def test_secrets_of_an_earlier_version_are_sealed_once_and_unreadable_ones_stay(
    sqlite_database_url: str,
) -> None:
    async with open_database(sqlite_database_url) as database:
        store = AlertStore(database, 10)
        base = rule_of(kind="matches", filter="x")
        lost = OTHER.seal("alert_3", PLAIN)
        for name, sealed in (("alert_1", None), ("alert_2", None), ("alert_3", lost)):
            row = rule_row(replace(signed(base, sealed), id=name))
            await database.write(lambda connection, row=row: connection.execute(insert(alert_rules).values(row)))  # type: ignore[misc]
        plain = update(alert_rules).where(alert_rules.c.id == "alert_1").values(webhook_secret=PLAIN)
        await database.write(lambda connection: connection.execute(plain))
        await store.seal_secrets(SECRETS)
        first, second, third = await store.rules("ann")
        assert (await sent(first, SECRETS))[1] == [PLAIN]
        assert second.webhook == Webhook("http://127.0.0.1:1/", None)
        assert third.webhook is not None
        assert third.webhook.secret == lost
        await store.seal_secrets(SECRETS)
        assert (await store.rules("ann"))[0] == first
        clear = select(alert_rules.c.webhook_secret)
        assert set(await database.read(lambda connection: connection.scalars(clear).all())) == {None}


async def test_a_rule_is_stored_sealed_and_keeps_its_secret_when_it_is_changed(
    sqlite_database_url: str, tmp_path: Path, nursery: trio.Nursery
) -> None:
    async with open_database(sqlite_database_url) as database:
        store = AlertStore(database, 10)
        unused: Any = SimpleNamespace()
        engine = AlertEngine(nursery, unused, store, unused, SECRETS)
        alerts = Alerts(store, engine, unused, SECRETS)
        base = rule_of(kind="matches", filter="x")
        draft = RuleDraft("a", base.condition, base.scope, 1, True, Webhook("https://hooks.example.com/", PLAIN))
        rule = await alerts.add("ann", draft)
        kept = replace(draft, name="b", keeps_secret=True, webhook=Webhook("https://hooks.example.com/"))
        await alerts.replace("ann", rule.id, kept)
        (stored,) = await store.rules("ann")
        assert stored.name == "b"
        assert PLAIN not in repr(rule_row(stored))
        assert SECRETS.open(stored) == PLAIN


async def test_cool_downs_survive_a_restart_and_tests_begin_none(
    sqlite_database_url: str, nursery: trio.Nursery
) -> None:
    async with open_database(sqlite_database_url) as database:
        store = AlertStore(database, 10)
        rule = replace(rule_of(kind="matches", filter="x"), cooldown_s=60.0)
        await store.add(rule)
        await store.add(replace(rule, id="alert_2"))
        ago = now_ms() - 10_000
        fired = [
            replace(firing_of("a"), fired_at=from_ms(ago)),
            replace(firing_of("b"), fired_at=from_ms(ago - 55_000)),
            replace(firing_of("c"), generation_id="g2", fired_at=from_ms(ago - 55_000)),
            replace(firing_of("d"), generation_id="g3", fired_at=from_ms(ago), is_test=True),
            # A clock that was set back: no cool-down is longer than the rule's.
            replace(firing_of("e"), generation_id="g4", fired_at=from_ms(ago + 3_600_000)),
        ]
        await store.save_firings(fired)
        unused: Any = SimpleNamespace()
        engine = AlertEngine(nursery, unused, store, unused, SECRETS)
        await engine.resume()
        now = trio.current_time()
        assert not engine.cool_down(rule, "g1").take(now)
        assert 45 < engine.cool_down(rule, "g1").ready_at - now <= 50
        assert engine.cool_down(rule, "g1").take(now + 51)
        assert engine.cool_down(rule, "g2").take(now)
        assert engine.cool_down(rule, "g3").take(now)
        assert engine.cool_down(rule, "g4").ready_at <= now + 60
        assert engine.cool_down(replace(rule, id="alert_2"), "g1").take(now)
