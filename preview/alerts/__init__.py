"""Alerts: rules of users on lines, requests and events of their previews; firings; webhooks."""

from preview.alerts.alerts import Alerts, RuleDraft, open_alerts
from preview.alerts.conditions import Condition, Whole, Window
from preview.alerts.past import Tried
from preview.alerts.rule import MOST_NAME_CHARACTERS, Delivery, DeliveryState, Firing, Rule, Scope, Webhook

__all__ = [
    "MOST_NAME_CHARACTERS",
    "Alerts",
    "Condition",
    "Delivery",
    "DeliveryState",
    "Firing",
    "Rule",
    "RuleDraft",
    "Scope",
    "Tried",
    "Webhook",
    "Whole",
    "Window",
    "open_alerts",
]
