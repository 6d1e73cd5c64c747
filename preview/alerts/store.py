"""Rules and firings in the database."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, bindparam, delete, func, insert, select, update

from preview.alerts.conditions import LONGEST_WINDOW_S
from preview.alerts.rows import delivery_row, firing_of, firing_row, rule_of, rule_row
from preview.alerts.rule import DeliveryState, Firing, Rule
from preview.alerts.webhook_secrets import WebhookSecrets
from preview.core.ids import is_valid_id
from preview.core.quoting import quoted
from preview.errors import AlertLimitReached, AlertNotFound, SealedTextUnreadable
from preview.storage import Database
from preview.storage.database import lock_count, notify
from preview.storage.tables import alert_firings, alert_rules, generations, projects

_R = alert_rules.c
_F = alert_firings.c
FIRINGS_PER_RULE: Final = 200
"""Firings that are kept of a rule, the newest."""
RULES: Final = "alerts:"
"""Start of the notice that a user's rules have changed; the user's id follows."""

# Oldest undelivered webhooks that a restart of the service sends again.
_RESUMED_MS: Final = 3600 * 1000
_MOST_RESUMED: Final = 1000


class AlertStore:
    """The tables of alerts. All methods raise ``DatabaseUnavailable`` in an outage.

    Args:
        database: The service's database.
        most_rules: Rules that a user may have.
    """

    def __init__(self, database: Database, most_rules: int) -> None:
        self._database = database
        self._most = most_rules

    # Rules

    async def users(self) -> set[str]:
        """Return the users that have rules. Cancellation: nothing changes."""
        query = select(_R.user_id).distinct()
        return await self._database.read(lambda connection: set(connection.scalars(query)))

    async def rules(self, user_id: str) -> list[Rule]:
        """Return the user's rules, oldest first. Cancellation: nothing changes."""
        query = select(alert_rules).where(_R.user_id == user_id).order_by(_R.created_at, _R.id)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [rule_of(row) for row in rows]

    async def rule(self, user_id: str, rule_id: str) -> Rule:
        """Return one of the user's rules.

        Raises:
            AlertNotFound: The user has none with this id.

        Cancellation: nothing changes.
        """
        row = None
        if is_valid_id(rule_id):
            query = select(alert_rules).where(_R.id == rule_id, _R.user_id == user_id)
            row = await self._database.read(lambda connection: connection.execute(query).first())
        if row is None:
            raise _no_rule(rule_id)
        return rule_of(row)

    async def add(self, rule: Rule) -> None:
        """Store a new rule.

        Raises:
            AlertLimitReached: The user has as many as allowed.

        Cancellation: it is stored completely or not at all.
        """
        await self._database.write(partial(self._add, rule))

    def _add(self, rule: Rule, connection: Connection) -> None:
        lock_count(connection, alert_rules.name, rule.user_id)
        count = connection.scalar(select(func.count()).select_from(alert_rules).where(_R.user_id == rule.user_id)) or 0
        if count >= self._most:
            raise AlertLimitReached(
                f"You have {count} alert rules; the maximum is {self._most} (PREVIEW_ALERTS_PER_USER). Delete one "
                "first.",
                limit=self._most,
            )
        connection.execute(insert(alert_rules).values(rule_row(rule)))
        notify(connection, f"{RULES}{rule.user_id}")

    async def replace(self, rule: Rule) -> None:
        """Overwrite a rule.

        Raises:
            AlertNotFound: It was deleted.

        Cancellation: it is overwritten completely or not at all.
        """
        statement = update(alert_rules).where(_R.id == rule.id, _R.user_id == rule.user_id).values(rule_row(rule))

        def change(connection: Connection) -> int:
            notify(connection, f"{RULES}{rule.user_id}")
            return connection.execute(statement).rowcount

        if not await self._database.write(change):
            raise _no_rule(rule.id)

    async def delete(self, user_id: str, rule_id: str) -> None:
        """Delete a rule with its firings.

        Raises:
            AlertNotFound: The user has none with this id.

        Cancellation: it is deleted completely or not at all.
        """
        rule = await self.rule(user_id, rule_id)

        def change(connection: Connection) -> None:
            _delete([rule.id], connection)
            notify(connection, f"{RULES}{user_id}")

        await self._database.write(change)

    async def delete_for(self, generation_id: str) -> set[str]:
        """Delete the rules of a generation; return their users. Cancellation: completely or not at all."""

        def change(connection: Connection) -> set[str]:
            rows = connection.execute(select(_R.id, _R.user_id).where(_R.generation_id == generation_id)).all()
            _delete([row.id for row in rows], connection)
            connection.execute(delete(alert_firings).where(_F.generation_id == generation_id))
            users = {row.user_id for row in rows}
            for user_id in users:
                notify(connection, f"{RULES}{user_id}")
            return users

        return await self._database.write(change)

    async def delete_orphans(self) -> int:
        """Delete the rules of generations that do not exist any more; return their number.

        Only for a service that keeps the generations itself.

        Cancellation: completely or not at all.
        """

        def change(connection: Connection) -> int:
            gone = _R.generation_id.is_not(None) & _R.generation_id.not_in(select(generations.c.id))
            ids = connection.scalars(select(_R.id).where(gone)).all()
            _delete(ids, connection)
            return len(ids)

        return await self._database.write(change)

    async def seal_secrets(self, secrets: WebhookSecrets) -> None:
        """Seal secrets that an earlier version has stored in clear, and those that an older key has sealed.

        Cancellation: completely or not at all.
        """

        def change(connection: Connection) -> None:
            has_secret = _R.webhook_secret.is_not(None) | _R.webhook_sealed.is_not(None)
            query = select(_R.id, _R.webhook_secret, _R.webhook_sealed).where(has_secret).order_by(_R.id)
            changed = []
            for row in connection.execute(query.with_for_update()).all():
                if row.webhook_secret is not None:
                    sealed = secrets.seal(row.id, row.webhook_secret)
                else:
                    try:
                        sealed = secrets.renew(row.id, row.webhook_sealed)
                    except SealedTextUnreadable:
                        continue  # each delivery reports it
                if sealed is not None:
                    changed.append({"rule": row.id, "sealed": sealed})
            if changed:
                # One call for all: thousands of round trips would exceed the time of a write, at each start again.
                seal = update(alert_rules).where(_R.id == bindparam("rule"))
                connection.execute(seal.values(webhook_secret=None, webhook_sealed=bindparam("sealed")), changed)

        await self._database.write(change)

    async def has_project(self, user_id: str, project_id: str) -> bool:
        """Return True if the service keeps such a project of the user. Cancellation: nothing changes."""
        query = select(projects.c.id).where(projects.c.id == project_id, projects.c.user_id == user_id)
        return await self._database.read(lambda connection: connection.execute(query).first()) is not None

    # Firings

    async def save_firings(self, firings: Sequence[Firing]) -> None:
        """Store firings, new ones and those whose delivery has changed; delete the oldest of a rule with too many.

        Firings of deleted rules are dropped.

        Cancellation: all are stored, or none.
        """
        await self._database.write(partial(_save_firings, firings))

    async def firings_of_rule(self, rule: Rule, *, limit: int, before: str | None = None) -> tuple[list[Firing], bool]:
        """Return a page of the rule's firings, newest first, and True if there are older ones.

        Args:
            rule: One of the caller's rules.
            limit: Most firings.
            before: Id of a firing; only older ones are returned.

        Cancellation: nothing changes.
        """
        return await self._page(select(alert_firings).where(_F.rule_id == rule.id), limit, before)

    async def firings_of_preview(
        self, user_id: str, preview_id: str, *, limit: int, before: str | None = None
    ) -> tuple[list[Firing], bool]:
        """Return a page of the preview's firings, see ``firings_of_rule``. Cancellation: nothing changes."""
        query = select(alert_firings).where(_F.preview_id == preview_id, _F.user_id == user_id)
        return await self._page(query, limit, before)

    async def _page(self, query: Select[Any], limit: int, before: str | None) -> tuple[list[Firing], bool]:
        def read(connection: Connection) -> Sequence[Row[Any]]:
            wanted = query
            if before is not None and is_valid_id(before):
                last = connection.execute(select(_F.fired_at, _F.id).where(_F.id == before)).first()
                if last is not None:
                    older = (_F.fired_at < last.fired_at) | ((_F.fired_at == last.fired_at) & (_F.id < last.id))
                    wanted = wanted.where(older)
            return connection.execute(wanted.order_by(_F.fired_at.desc(), _F.id.desc()).limit(limit + 1)).all()

        rows = await self._database.read(read)
        return [firing_of(row) for row in rows[:limit]], len(rows) > limit

    async def cool_downs(self, now_ms: int, most: int) -> list[tuple[str, float, str, float]]:
        """Return the cool-downs that last: rule, its length in seconds, generation, and the seconds that are left.

        Args:
            now_ms: Milliseconds since the epoch.
            most: Most of them, the newest.

        Cancellation: nothing changes.
        """
        fired = func.max(_F.fired_at).label("fired")
        query = (
            select(_F.rule_id, _F.generation_id, _R.cooldown_s, fired)
            .join(alert_rules, _R.id == _F.rule_id)
            .where(_F.test == 0, _F.fired_at > now_ms - LONGEST_WINDOW_S * 1000)
            .group_by(_F.rule_id, _F.generation_id, _R.cooldown_s)
            .order_by(fired.desc())
            .limit(most)
        )
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        left = ((row, row.cooldown_s - max(0, now_ms - row.fired) / 1000) for row in rows)
        return [(row.rule_id, row.cooldown_s, row.generation_id, left_s) for row, left_s in left if left_s > 0]

    async def undelivered(self, now_ms: int) -> list[tuple[Firing, Rule]]:
        """Return firings of the last hour whose webhook was pending when the service ended.

        Older ones are marked as failed.

        Cancellation: nothing changes, or all of it.
        """

        def change(connection: Connection) -> list[tuple[Firing, Rule]]:
            pending = _F.delivery == DeliveryState.PENDING.value
            connection.execute(
                update(alert_firings)
                .where(pending, _F.fired_at < now_ms - _RESUMED_MS)
                .values(delivery=DeliveryState.FAILED.value, problem="The service ended before it was delivered.")
            )
            rows = connection.execute(
                select(alert_firings).where(pending).order_by(_F.fired_at).limit(_MOST_RESUMED)
            ).all()
            ids = {row.rule_id for row in rows}
            found = {
                row.id: rule_of(row) for row in connection.execute(select(alert_rules).where(_R.id.in_(sorted(ids))))
            }
            return [(firing_of(row), found[row.rule_id]) for row in rows if row.rule_id in found]

        return await self._database.write(change)


def _no_rule(rule_id: str) -> AlertNotFound:
    return AlertNotFound(f"You have no alert rule {quoted(rule_id)}; `preview alerts ls` lists yours.")


def _delete(ids: Sequence[str], connection: Connection) -> None:
    # In the order of ``_save_firings``, so that neither waits for the other.
    connection.execute(_locked(ids)).all()
    connection.execute(delete(alert_firings).where(_F.rule_id.in_(ids)))
    connection.execute(delete(alert_rules).where(_R.id.in_(ids)))


def _locked(ids: Sequence[str], *, for_change: bool = True) -> Select[Any]:
    """Select and lock rules, in order: until the transaction's end they are not deleted by others."""
    return select(_R.id).where(_R.id.in_(ids)).order_by(_R.id).with_for_update(read=not for_change)


def _save_firings(firings: Sequence[Firing], connection: Connection) -> None:
    wanted = sorted({one.rule_id for one in firings})
    known = set(connection.scalars(_locked(wanted, for_change=False)).all())
    stored = set(connection.scalars(select(_F.id).where(_F.id.in_([one.id for one in firings]))))
    for one in firings:
        if one.id in stored:
            connection.execute(update(alert_firings).where(_F.id == one.id).values(delivery_row(one.delivery)))
        elif one.rule_id in known:
            connection.execute(insert(alert_firings).values(firing_row(one)))
    for rule_id in known:
        mine = select(_F.id).where(_F.rule_id == rule_id).order_by(_F.fired_at.desc(), _F.id.desc())
        old = connection.scalars(mine.offset(FIRINGS_PER_RULE)).all()
        if old:
            connection.execute(delete(alert_firings).where(_F.id.in_(old)))
