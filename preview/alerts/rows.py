"""Rules, firings and deliveries as rows of the database."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Row

from preview.alerts.rule import (
    Delivery,
    DeliveryState,
    Firing,
    Rule,
    Scope,
    Webhook,
    condition_json,
    read_condition,
)
from preview.core.clock import from_ms, to_ms


def rule_row(rule: Rule) -> dict[str, object]:
    """Return the row of a rule."""
    webhook = rule.webhook
    body = None if webhook is None or webhook.body is None else json.dumps(webhook.body)
    return {
        "id": rule.id,
        "user_id": rule.user_id,
        "generation_id": rule.scope.generation_id,
        "project_id": rule.scope.project_id,
        "name": rule.name,
        "condition": condition_json(rule.condition),
        "cooldown_s": rule.cooldown_s,
        "enabled": int(rule.is_enabled),
        "webhook_url": None if webhook is None else webhook.url,
        "webhook_sealed": None if webhook is None else webhook.secret,
        "webhook_body": body,
        "created_at": to_ms(rule.created_at),
        "updated_at": to_ms(rule.updated_at),
    }


def rule_of(row: Row[Any]) -> Rule:
    """Return the rule of a row."""
    webhook = None
    if row.webhook_url is not None:
        body = None if row.webhook_body is None else json.loads(row.webhook_body)
        webhook = Webhook(row.webhook_url, row.webhook_sealed, body)
    return Rule(
        id=row.id,
        user_id=row.user_id,
        name=row.name,
        condition=read_condition(row.condition),
        scope=Scope(row.generation_id, row.project_id),
        cooldown_s=row.cooldown_s,
        is_enabled=bool(row.enabled),
        webhook=webhook,
        created_at=from_ms(row.created_at),
        updated_at=from_ms(row.updated_at),
    )


def delivery_row(delivery: Delivery) -> dict[str, object]:
    """Return the columns of a delivery."""
    return {
        "delivery": delivery.state.value,
        "attempts": delivery.attempts,
        "status": delivery.status,
        "problem": delivery.problem,
        "attempted_at": None if delivery.at is None else to_ms(delivery.at),
    }


def firing_row(firing: Firing) -> dict[str, object]:
    """Return the row of a firing."""
    return {
        "id": firing.id,
        "rule_id": firing.rule_id,
        "user_id": firing.user_id,
        "generation_id": firing.generation_id,
        "project_id": firing.project_id,
        "preview_id": firing.preview_id,
        "fired_at": to_ms(firing.fired_at),
        "summary": firing.summary,
        "matches": firing.matches,
        "line": firing.line,
        "first_line": firing.first_line,
        "last_line": firing.last_line,
        "request": firing.request,
        "suppressed": firing.suppressed,
        "test": int(firing.is_test),
    } | delivery_row(firing.delivery)


def firing_of(row: Row[Any]) -> Firing:
    """Return the firing of a row."""
    delivery = Delivery(
        DeliveryState(row.delivery),
        row.attempts,
        row.status,
        row.problem,
        None if row.attempted_at is None else from_ms(row.attempted_at),
    )
    return Firing(
        id=row.id,
        rule_id=row.rule_id,
        user_id=row.user_id,
        generation_id=row.generation_id,
        project_id=row.project_id,
        preview_id=row.preview_id,
        fired_at=from_ms(row.fired_at),
        summary=row.summary,
        matches=row.matches,
        line=row.line,
        first_line=row.first_line,
        last_line=row.last_line,
        request=row.request,
        suppressed=row.suppressed,
        is_test=bool(row.test),
        delivery=delivery,
    )
