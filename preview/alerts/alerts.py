"""Alerts as users see them: rules, firings, tests and trials on past lines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

import structlog
import trio

from preview.alerts.conditions import Condition
from preview.alerts.engine import LAST_SAVE_S, AlertEngine
from preview.alerts.past import Tried, try_on_lines
from preview.alerts.rule import Firing, Rule, Scope, Webhook, check_condition, new_rule_id
from preview.alerts.store import RULES, AlertStore
from preview.alerts.webhook_secrets import WebhookSecrets
from preview.alerts.webhooks.addresses import AddressPolicy
from preview.alerts.webhooks.message import check_template
from preview.alerts.webhooks.sender import WebhookSender
from preview.alerts.webhooks.target import parse_target
from preview.cluster import ANYTHING, Notices
from preview.core.clock import utc_now
from preview.core.ids import is_valid_id
from preview.core.quoting import quoted
from preview.errors import DatabaseUnavailable, InvalidRequest
from preview.logs import LogStore
from preview.settings import Settings
from preview.storage import Database, Sealer
from preview.supervisor import LivePreview

log = structlog.get_logger(__name__)

_RETRY_S = 2.0


@dataclass(frozen=True, slots=True)
class RuleDraft:
    """A rule as a user writes it.

    Attributes:
        keeps_secret: True if the webhook's secret of the stored rule stays.
    """

    name: str
    condition: Condition
    scope: Scope
    cooldown_s: float
    is_enabled: bool
    webhook: Webhook | None
    keeps_secret: bool = False


class Alerts:
    """Rules and firings of all users. Made by ``open_alerts``; all methods raise ``DatabaseUnavailable`` in an outage.

    Args:
        store: Rules and firings.
        engine: Evaluates the rules.
        log_store: Past lines.
        secrets: Seals the keys of signatures.
    """

    def __init__(self, store: AlertStore, engine: AlertEngine, log_store: LogStore, secrets: WebhookSecrets) -> None:
        self._secrets = secrets
        self._store = store
        self._engine = engine
        self._log_store = log_store
        # Weak: a lock lives as long as a trial uses it.
        self._trying: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()

    async def rules(self, user_id: str) -> list[Rule]:
        """Return the user's rules, oldest first. Cancellation: nothing changes."""
        return await self._store.rules(user_id)

    async def rule(self, user_id: str, rule_id: str) -> Rule:
        """Return one of the user's rules.

        Raises:
            AlertNotFound: The user has none with this id.

        Cancellation: nothing changes.
        """
        return await self._store.rule(user_id, rule_id)

    def is_paused(self, rule: Rule) -> bool:
        """Return True while the rule is paused because it costs too much."""
        return self._engine.is_paused(rule.id)

    def fault(self, rule: Rule) -> str | None:
        """Return one sentence if the rule's filter was given up, so that it matches nothing; None otherwise."""
        return self._engine.fault(rule)

    async def add(self, user_id: str, draft: RuleDraft) -> Rule:
        """Store a new rule, and apply it to live previews.

        Raises:
            InvalidRequest, InvalidFilter: The draft has a mistake.
            AlertLimitReached: The user has as many rules as allowed.

        Cancellation: the rule is stored completely or not at all.
        """
        _check(draft)
        now = utc_now()
        rule = Rule(
            new_rule_id(), user_id, draft.name, draft.condition, draft.scope, draft.cooldown_s, draft.is_enabled,
            None, now, now,
        )  # fmt: skip
        rule = replace(rule, webhook=self._sealed(rule.id, draft.webhook))
        await self._store.add(rule)
        self._engine.rules_changed(user_id)
        return rule

    def _sealed(self, rule_id: str, webhook: Webhook | None) -> Webhook | None:
        return None if webhook is None else replace(webhook, secret=self._secrets.seal(rule_id, webhook.secret))

    async def replace(self, user_id: str, rule_id: str, draft: RuleDraft) -> Rule:
        """Change a rule, and apply it to live previews.

        Raises:
            AlertNotFound: The user has none with this id.
            InvalidRequest, InvalidFilter: The draft has a mistake.

        Cancellation: the rule is changed completely or not at all.
        """
        before = await self._store.rule(user_id, rule_id)
        _check(draft)
        webhook = self._sealed(rule_id, draft.webhook)
        if webhook is not None and draft.keeps_secret:
            webhook = replace(webhook, secret=None if before.webhook is None else before.webhook.secret)
        rule = replace(
            before,
            name=draft.name,
            condition=draft.condition,
            scope=draft.scope,
            cooldown_s=draft.cooldown_s,
            is_enabled=draft.is_enabled,
            webhook=webhook,
            updated_at=utc_now(),
        )
        await self._store.replace(rule)
        self._engine.rules_changed(user_id)
        return rule

    async def delete(self, user_id: str, rule_id: str) -> None:
        """Delete a rule with its firings.

        Raises:
            AlertNotFound: The user has none with this id.

        Cancellation: it is deleted completely or not at all.
        """
        await self._store.delete(user_id, rule_id)
        self._engine.rules_changed(user_id)

    async def forget(self, generation_id: str) -> None:
        """Delete the rules and firings of a deleted generation. Cancellation: completely or not at all."""
        for user_id in await self._store.delete_for(generation_id):
            self._engine.rules_changed(user_id)

    async def test(self, user_id: str, rule_id: str) -> Firing:
        """Fire a rule as a test, and wait for the one attempt to deliver its webhook.

        Raises:
            AlertNotFound: The user has none with this id.

        Cancellation: the webhook may have been sent.
        """
        rule = await self._store.rule(user_id, rule_id)
        return await self._engine.test(rule)

    async def firings(
        self, user_id: str, rule_id: str, *, limit: int, before: str | None = None
    ) -> tuple[list[Firing], bool]:
        """Return a page of a rule's firings, newest first, and True if there are older ones.

        Raises:
            AlertNotFound: The user has none with this id.

        Cancellation: nothing changes.
        """
        rule = await self._store.rule(user_id, rule_id)
        return await self._store.firings_of_rule(rule, limit=limit, before=before)

    async def firings_of_preview(
        self, user_id: str, preview_id: str, *, limit: int, before: str | None = None
    ) -> tuple[list[Firing], bool]:
        """Return a page of a preview's firings, see ``firings``. Cancellation: nothing changes."""
        return await self._store.firings_of_preview(user_id, preview_id, limit=limit, before=before)

    async def try_out(self, condition: Condition, cooldown_s: float, preview_id: str, *, user_id: str) -> Tried:
        """Return what a rule would have done with the newest stored lines of a preview. A user's trials wait in turn.

        Raises:
            InvalidRequest, InvalidFilter: The condition has a mistake, or does not look at lines.

        Cancellation: nothing changes.
        """
        check_condition(condition)
        lock = self._trying.setdefault(user_id, trio.Lock())
        async with lock:
            return await try_on_lines(self._log_store, preview_id, condition, cooldown_s)

    async def check_project(self, user_id: str, project_id: str) -> None:
        """Check that the service keeps such a project of the user.

        Raises:
            InvalidRequest: It does not.

        Cancellation: nothing changes.
        """
        if not is_valid_id(project_id) or not await self._store.has_project(user_id, project_id):
            raise InvalidRequest(
                f"You have no project {quoted(project_id)}; put the id of one of your projects in the scope."
            )


def _check(draft: RuleDraft) -> None:
    check_condition(draft.condition)
    if draft.webhook is not None:
        parse_target(draft.webhook.url)
        if draft.webhook.body is not None:
            check_template(draft.webhook.body)


async def _run(
    engine: AlertEngine, notices: Notices, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Apply rules that were changed on another node, until cancelled."""
    wake = trio.Event()

    def on_notice(payload: str) -> None:
        if payload == ANYTHING:
            wake.set()
        elif payload.startswith(RULES):
            engine.rules_changed(payload.removeprefix(RULES))

    with notices.subscribed(on_notice):
        task_status.started()
        while True:
            await wake.wait()
            wake = trio.Event()
            try:
                await engine.reload()
            except DatabaseUnavailable as error:
                log.info("alert rules not read again", why=error.message)
                await trio.sleep(_RETRY_S)
                wake.set()


def own_port(settings: Settings) -> int | None:
    """Return the port of the service, if it listens on one that is known."""
    port = settings.bind.rpartition(":")[2]
    return int(port) if port.isdecimal() and int(port) else None


@asynccontextmanager
async def open_alerts(
    settings: Settings,
    database: Database,
    log_store: LogStore,
    observers: list[Callable[[LivePreview], None]],
    *,
    has_generations: bool,
    sealer: Sealer,
    sender: WebhookSender | None = None,
    notices: Notices | None = None,
) -> AsyncIterator[Alerts]:
    """Evaluate rules while the context is open.

    Args:
        settings: Limits, and networks that webhooks may reach.
        database: Keeps rules and firings.
        log_store: Past lines.
        observers: Gets a callback for new previews.
        has_generations: True if the database has all generations.
        sealer: Encrypts the keys of signatures.
        sender: Sends webhooks; None: as the settings say.
        notices: Notices of all nodes of the cluster; None without one.

    Raises:
        DatabaseUnavailable: The rules cannot be read.

    Cancellation: firings that are queued are stored within a second; webhooks that are not delivered stay pending, and
    the next start sends them.
    """
    store, secrets = AlertStore(database, settings.alerts_per_user), WebhookSecrets(sealer)
    await store.seal_secrets(secrets)
    if has_generations:
        await store.delete_orphans()
    policy = AddressPolicy(settings.webhook_networks, own_port(settings))
    async with trio.open_nursery() as nursery:
        engine = AlertEngine(nursery, settings, store, sender or WebhookSender(policy), secrets)
        await nursery.start(engine.deliveries.run)
        nursery.start_soon(engine.run_saver)
        if notices is not None:
            await nursery.start(_run, engine, notices)
        await engine.resume()
        observers.append(engine.observe)
        try:
            yield Alerts(store, engine, log_store, secrets)
        finally:
            observers.remove(engine.observe)
            with trio.move_on_after(LAST_SAVE_S, shield=True):
                await engine.finish()
            nursery.cancel_scope.cancel()
