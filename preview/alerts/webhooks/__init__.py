"""Webhooks: checked targets, pinned addresses, signed messages, bounded attempts."""

from preview.alerts.webhooks.addresses import AddressPolicy
from preview.alerts.webhooks.message import Template, body_of, check_template
from preview.alerts.webhooks.sender import Attempt, Message, WebhookSender
from preview.alerts.webhooks.target import parse_target

__all__ = [
    "AddressPolicy",
    "Attempt",
    "Message",
    "Template",
    "WebhookSender",
    "body_of",
    "check_template",
    "parse_target",
]
