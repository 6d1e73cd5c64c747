"""Deliveries of webhooks: bounded per user, repeated with growing pauses, and reported."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

import stamina
import structlog
import trio

from preview.alerts.rule import Delivery, DeliveryState, Firing, Rule
from preview.alerts.webhook_secrets import WebhookSecrets
from preview.alerts.webhooks.message import Fields, body_of
from preview.alerts.webhooks.sender import Attempt, Message, WebhookSender
from preview.alerts.webhooks.target import parse_target
from preview.core.clock import rfc3339, utc_now
from preview.errors import SealedTextUnreadable

log = structlog.get_logger(__name__)

ATTEMPTS: Final = 5
"""Most attempts for one webhook; the pauses are about 1, 5, 25 and 125 s."""

PENDING_PER_USER: Final = 50
"""Most webhooks of a user that wait for their delivery; further ones fail at once."""

_FIRST_PAUSE_S: Final = 1.0
_GROWTH: Final = 5
_LONGEST_PAUSE_S: Final = 300.0
# A receiver that hangs keeps one of these for ``ATTEMPT_S``; a user who has many keeps few of all.
_AT_ONCE_PER_USER: Final = 2
_AT_ONCE: Final = 32
_PENDING: Final = 2000


class _TryAgain(Exception):
    """The attempt failed, and a later one may succeed."""


@dataclass(slots=True)
class _User:
    """Webhooks of a user: how many are pending, and the limit of those on their way."""

    pending: int = 0
    limiter: trio.CapacityLimiter = field(default_factory=lambda: trio.CapacityLimiter(_AT_ONCE_PER_USER))


class Deliveries:
    """Delivers webhooks in the background.

    Invariant: ``_users`` has exactly the users with pending webhooks.

    Args:
        sender: Makes the attempts.
        secrets: Opens the keys of signatures.
        report: Called with the firing after each attempt; must not wait.
        first_pause_s: Pause after the first failed attempt.
    """

    def __init__(
        self,
        sender: WebhookSender,
        secrets: WebhookSecrets,
        report: Callable[[Firing], None],
        first_pause_s: float = _FIRST_PAUSE_S,
    ) -> None:
        self._sender = sender
        self._secrets = secrets
        self._report = report
        self._first_pause_s = first_pause_s
        self._users: dict[str, _User] = {}
        self._all = trio.CapacityLimiter(_AT_ONCE)
        self._nursery: trio.Nursery | None = None

    @property
    def pending(self) -> int:
        """Number of webhooks that are not delivered yet."""
        return sum(user.pending for user in self._users.values())

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Deliver until cancelled. Cancellation: what is not delivered stays pending."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            try:
                task_status.started()
                await trio.sleep_forever()
            finally:
                self._nursery = None

    def put(self, firing: Firing, rule: Rule) -> Firing:
        """Start the delivery of a firing, if its rule has a webhook; return the firing with its delivery's state."""
        if rule.webhook is None:
            return firing
        if self._nursery is None:
            return replace(firing, delivery=Delivery(DeliveryState.PENDING))
        if self._is_full(firing.user_id):
            return _not_sent(firing)
        pending = replace(firing, delivery=replace(firing.delivery, state=DeliveryState.PENDING))
        self._nursery.start_soon(self._deliver, pending, rule, self._claim(firing.user_id))
        return pending

    async def send_once(self, firing: Firing, rule: Rule) -> Firing:
        """Make one attempt now, for a test; return the firing with the result.

        Cancellation: the receiver may have the webhook.
        """
        await trio.lowlevel.checkpoint()
        if self._is_full(firing.user_id):
            return _not_sent(firing)
        user = self._claim(firing.user_id)
        try:
            return await self._attempt(firing, rule, user, is_last=True)
        finally:
            self._release(firing.user_id, user)

    def _is_full(self, user_id: str) -> bool:
        user = self._users.get(user_id)
        return self.pending >= _PENDING or (user is not None and user.pending >= PENDING_PER_USER)

    def _claim(self, user_id: str) -> _User:
        user = self._users.setdefault(user_id, _User())
        user.pending += 1
        return user

    def _release(self, user_id: str, user: _User) -> None:
        user.pending -= 1
        if not user.pending:
            self._users.pop(user_id, None)

    async def _deliver(self, firing: Firing, rule: Rule, user: _User) -> None:
        try:
            await self._repeat(firing, rule, user)
        except Exception:
            # A mistake in one delivery must not end the service.
            log.exception("alert webhook given up", firing_id=firing.id, rule_id=rule.id)
            problem = "Not sent: the service could not make the request; its log says why."
            failed = replace(firing.delivery, state=DeliveryState.FAILED, problem=problem)
            self._report(replace(firing, delivery=failed))
        finally:
            self._release(firing.user_id, user)

    async def _repeat(self, firing: Firing, rule: Rule, user: _User) -> None:
        retries = stamina.retry_context(
            on=_TryAgain,
            attempts=ATTEMPTS,
            timeout=None,
            wait_initial=self._first_pause_s,
            wait_exp_base=_GROWTH,
            wait_max=_LONGEST_PAUSE_S,
            wait_jitter=self._first_pause_s,
        )
        async for attempt in retries:
            with attempt:
                is_last = attempt.num >= ATTEMPTS
                firing = await self._attempt(firing, rule, user, is_last=is_last)
                self._report(firing)
                if firing.delivery.state is DeliveryState.PENDING:
                    raise _TryAgain

    async def _attempt(self, firing: Firing, rule: Rule, user: _User, *, is_last: bool) -> Firing:
        try:
            message = message_of(firing, rule, self._secrets.open(rule))
        except SealedTextUnreadable as error:
            # Not sent unsigned: its receiver relies on the signature.
            return replace(firing, delivery=Delivery(DeliveryState.FAILED, problem=f"Not sent: {error.message}"))
        async with user.limiter, self._all:
            result = await self._sender.send(message)
        return replace(firing, delivery=_after(firing.delivery, result, is_last=is_last))


def _not_sent(firing: Firing) -> Firing:
    problem = "Not sent: too many webhooks are waiting to be delivered."
    return replace(firing, delivery=Delivery(DeliveryState.FAILED, problem=problem))


def _after(delivery: Delivery, result: Attempt, *, is_last: bool) -> Delivery:
    state = DeliveryState.DELIVERED
    if not result.is_delivered:
        state = DeliveryState.FAILED if is_last or not result.may_succeed_later else DeliveryState.PENDING
    return Delivery(state, delivery.attempts + 1, result.status, result.problem, utc_now())


def message_of(firing: Firing, rule: Rule, secret: str | None) -> Message:
    """Return the webhook of a firing whose rule has one, with the key of its signature."""
    webhook = rule.webhook
    assert webhook is not None, "the caller has checked it"  # noqa: S101
    body = body_of(webhook.body, fields_of(firing, rule))
    return Message(firing.user_id, firing.id, parse_target(webhook.url), secret, body)


def fields_of(firing: Firing, rule: Rule) -> Fields:
    """Return the fields that a webhook's body can have, by name."""
    return {
        "id": firing.id,
        "test": firing.is_test,
        "alert_id": firing.rule_id,
        "alert": rule.name,
        "summary": firing.summary,
        "generation_id": firing.generation_id,
        "project_id": firing.project_id,
        "preview_id": firing.preview_id,
        "fired_at": rfc3339(firing.fired_at),
        "matches": firing.matches,
        "line": firing.line,
        "first_line": firing.first_line,
        "last_line": firing.last_line,
        "request": firing.request,
        "suppressed": firing.suppressed,
    }
