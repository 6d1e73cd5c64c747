"""Alerts of the service: which previews are watched, and where firings go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from weakref import WeakValueDictionary

import structlog
import trio

from preview.alerts.budget import PAUSE_S, Budget
from preview.alerts.conditions import Condition
from preview.alerts.deliveries import Deliveries
from preview.alerts.evaluation import Fact
from preview.alerts.machine import CoolDown
from preview.alerts.rule import Firing, Rule, fault_of, new_firing_id
from preview.alerts.store import AlertStore
from preview.alerts.watch import PreviewWatch
from preview.alerts.webhook_secrets import WebhookSecrets
from preview.alerts.webhooks.sender import WebhookSender
from preview.core.bounded_dict import BoundedDict
from preview.core.clock import now_ms, utc_now
from preview.errors import DatabaseUnavailable
from preview.settings import Settings
from preview.supervisor import LivePreview

log = structlog.get_logger(__name__)

_MIB: Final = 1024 * 1024
# Firings that wait for the database; older ones are dropped, which the service's log says.
_MOST_UNSAVED: Final = 1000
_SAVED_AT_ONCE: Final = 100
_RETRY_S: Final = 2.0
LAST_SAVE_S: Final = 1.0
# Cool-downs that outlive their preview, and budgets of users: some hundred bytes each.
_MOST_KEPT: Final = 4096


class AlertEngine:
    """Evaluates all rules of all users, and sends what they fire. Made by ``open_alerts``.

    Invariant: a preview of a user with rules has a watch, from its first line to its end.

    Args:
        nursery: Runs the watches.
        settings: Limits of previews.
        store: Rules and firings.
        sender: Sends webhooks.
        secrets: Opens the keys of signatures.

    Attributes:
        deliveries: Webhooks on their way.
    """

    def __init__(
        self,
        nursery: trio.Nursery,
        settings: Settings,
        store: AlertStore,
        sender: WebhookSender,
        secrets: WebhookSecrets,
    ) -> None:
        self._nursery = nursery
        self._settings = settings
        self._store = store
        self.deliveries = Deliveries(sender, secrets, self._note)
        self._users: set[str] = set()
        # Weak: a preview that is over, with the lines in its memory, is not kept for this.
        self._live: WeakValueDictionary[str, LivePreview] = WeakValueDictionary()
        self._watches: dict[str, PreviewWatch] = {}
        self._cool_downs: BoundedDict[tuple[str, float, str], CoolDown] = BoundedDict(_MOST_KEPT)
        self._budgets: BoundedDict[str, Budget] = BoundedDict(_MOST_KEPT)
        self._paused: BoundedDict[str, float] = BoundedDict(_MOST_KEPT)
        self._faults: BoundedDict[str, tuple[Condition, str]] = BoundedDict(_MOST_KEPT)
        self._unsaved: dict[str, Firing] = {}
        self._dropped = 0
        self._has_unsaved = trio.Event()

    # Previews

    def observe(self, preview: LivePreview) -> None:
        """Take a new preview: see ``SupervisorContext.observers``. It costs nothing for a user without rules."""
        self._live[preview.id] = preview
        if preview.record.user_id in self._users:
            self._watch(preview)

    def rules_changed(self, user_id: str) -> None:
        """Apply the user's rules to all live previews again, as one was added, changed or deleted."""
        self._users.add(user_id)
        for preview in list(self._live.values()):
            if preview.record.user_id != user_id or preview.log.end is not None:
                continue
            watch = self._watches.get(preview.id)
            if watch is None:
                self._watch(preview)
            else:
                watch.rules_changed()

    async def reload(self) -> None:
        """Apply all rules again: notices of other nodes may be lost. Cancellation: some are applied."""
        for user_id in self._users | await self._store.users():
            self.rules_changed(user_id)

    def _watch(self, preview: LivePreview) -> None:
        user_id = preview.record.user_id
        budget = self._budgets.use(user_id)
        if budget is None:
            budget = self._budgets[user_id] = Budget(trio.current_time())
        watch = PreviewWatch(
            preview,
            self,
            budget,
            memory_limit_bytes=preview.settings.memory_limit_mb * _MIB,
            usage_interval_s=self._settings.usage_interval_s,
        )
        self._watches[preview.id] = watch
        # From now on, not from the task's first turn: no line is missed.
        watch.attach()
        self._nursery.start_soon(self._run_watch, preview, watch)

    async def _run_watch(self, preview: LivePreview, watch: PreviewWatch) -> None:
        try:
            await watch.run()
        except Exception:
            # A mistake in the evaluation must not end the service.
            log.exception("alert evaluation failed", preview_id=preview.id)
        finally:
            watch.detach()
            if self._watches.get(preview.id) is watch:
                del self._watches[preview.id]

    # For the watches

    async def rules_for(self, user_id: str) -> Sequence[Rule]:
        """Return the user's rules, as soon as the database answers. Cancellation: nothing changes."""
        while True:
            try:
                return await self._store.rules(user_id)
            except DatabaseUnavailable:
                await trio.sleep(_RETRY_S)

    def cool_down(self, rule: Rule, generation_id: str) -> CoolDown:
        """Return the rule's cool-down for a generation; it outlives the generation's previews."""
        key = (rule.id, rule.cooldown_s, generation_id)
        found = self._cool_downs.use(key)
        if found is None:
            found = self._cool_downs[key] = CoolDown(rule.cooldown_s)
        return found

    def pause(self, user_id: str, rule_id: str) -> None:
        """Pause a rule in all previews, as it costs too much."""
        until = self._paused[rule_id] = trio.current_time() + PAUSE_S
        log.warning("alert rule paused", rule_id=rule_id, user_id=user_id, seconds=PAUSE_S)
        for one in list(self._watches.values()):
            one.pause(rule_id, until)

    def is_paused(self, rule_id: str) -> bool:
        """Return True while the rule is paused for its cost."""
        return self._paused.get(rule_id, 0.0) > trio.current_time()

    def give_up(self, rule: Rule, fault: str) -> None:
        """Note that a rule's filter cannot be used any more, and why."""
        self._faults[rule.id] = rule.condition, fault
        log.warning("alert rule given up", rule_id=rule.id, user_id=rule.user_id, why=fault)

    def fault(self, rule: Rule) -> str | None:
        """Return one sentence if the rule does not match any more; None otherwise."""
        condition, fault = self._faults.get(rule.id, (None, None))
        return fault if condition == rule.condition else fault_of(rule.condition)

    def fire(self, preview: LivePreview, rule: Rule, fact: Fact, suppressed: int) -> None:
        """Store a firing and send it to the rule's webhook, in the background."""
        record = preview.record
        firing = Firing(
            id=new_firing_id(),
            rule_id=rule.id,
            user_id=rule.user_id,
            generation_id=record.generation_id,
            project_id=record.project_id,
            preview_id=preview.id,
            fired_at=utc_now(),
            summary=fact.summary,
            matches=fact.matches,
            line=fact.line,
            first_line=fact.first_line,
            last_line=fact.last_line,
            request=fact.request,
            suppressed=suppressed,
        )
        self._note(self.deliveries.put(firing, rule))

    # Storing

    def _note(self, firing: Firing) -> None:
        """Queue a firing, or its new state, for the database."""
        if firing.id not in self._unsaved and len(self._unsaved) >= _MOST_UNSAVED:
            del self._unsaved[next(iter(self._unsaved))]
            self._dropped += 1
        self._unsaved[firing.id] = firing
        self._has_unsaved.set()

    async def run_saver(self) -> None:
        """Store firings until cancelled. Cancellation: what is queued is stored within a second, if possible."""
        try:
            while True:
                await self._has_unsaved.wait()
                self._has_unsaved = trio.Event()
                while self._unsaved:
                    await self._save()
        finally:
            with trio.move_on_after(LAST_SAVE_S, shield=True):
                while self._unsaved:
                    await self._save()
            if self._unsaved:
                log.warning("alert firings not stored", count=len(self._unsaved))

    async def _save(self) -> None:
        firings = list(self._unsaved.values())[:_SAVED_AT_ONCE]
        try:
            await self._store.save_firings(firings)
        except DatabaseUnavailable as error:
            log.warning("alert firings wait", count=len(self._unsaved), why=error.message)
            await trio.sleep(_RETRY_S)
            return
        except Exception:
            log.exception("alert firings stored one by one", count=len(firings))
            await self._save_each(firings)
            return
        self._saved(firings)

    async def _save_each(self, firings: Sequence[Firing]) -> None:
        """Store firings one by one; those that cannot be stored are dropped. Cancellation: the rest stays queued."""
        for one in firings:
            try:
                await self._store.save_firings([one])
            except DatabaseUnavailable:
                return
            except Exception:
                log.exception("alert firing dropped", firing_id=one.id, rule_id=one.rule_id)
            self._saved([one])

    def _saved(self, firings: Sequence[Firing]) -> None:
        for one in firings:
            # It may have changed meanwhile.
            if self._unsaved.get(one.id) is one:
                del self._unsaved[one.id]
        if self._dropped:
            log.warning("alert firings dropped", count=self._dropped)
            self._dropped = 0

    async def resume(self) -> None:
        """Take the state that an earlier service has left. Cancellation: a part may be taken."""
        self._users = await self._store.users()
        now = trio.current_time()
        for rule_id, cooldown_s, generation_id, left_s in await self._store.cool_downs(now_ms(), _MOST_KEPT):
            found = self._cool_downs[rule_id, cooldown_s, generation_id] = CoolDown(cooldown_s)
            found.ready_at = now + left_s
        for firing, rule in await self._store.undelivered(now_ms()):
            self._note(self.deliveries.put(firing, rule))

    async def test(self, rule: Rule) -> Firing:
        """Fire a rule as a test: stored, marked, and sent once; return it with the delivery's result.

        Cancellation: the webhook may have been sent.
        """
        firing = Firing(
            id=new_firing_id(),
            rule_id=rule.id,
            user_id=rule.user_id,
            generation_id=rule.scope.generation_id or "",
            project_id=rule.scope.project_id or "",
            preview_id="",
            fired_at=utc_now(),
            summary=f"a test: {rule.summary}",
            is_test=True,
        )
        if rule.webhook is not None:
            firing = await self.deliveries.send_once(firing, rule)
        self._note(firing)
        return firing

    async def finish(self) -> None:
        """Wait until the ends of previews are evaluated. Cancellation: nothing changes."""
        for watch in list(self._watches.values()):
            await watch.done.wait()
