"""Alert rules and their firings."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

from pydantic import TypeAdapter

from preview.alerts.conditions import Absent, Condition, Happened, Matches, PreviewEvent, Subject, in_words
from preview.alerts.webhooks.message import Template
from preview.core.quoting import quoted
from preview.errors import InvalidFilter, InvalidRequest
from preview.logs.filter import parse_filter

MOST_NAME_CHARACTERS: Final = 100
MOST_LINE_CHARACTERS: Final = 500
"""Longest part of a line that a firing keeps."""

_ALPHABET: Final = "23456789abcdefghjkmnpqrstuvwxyz"
# Keys of terms that select by number or time.
_FIXED_TERMS: Final = frozenset({"since", "until", "reload", "req"})
_CONDITION: Final[TypeAdapter[Condition]] = TypeAdapter(Condition)


def new_rule_id() -> str:
    """Return a new rule's id: ``alert_`` and 16 symbols."""
    return f"alert_{_random()}"


def new_firing_id() -> str:
    """Return a new firing's id: ``firing_`` and 16 symbols."""
    return f"firing_{_random()}"


def _random() -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(16))


@dataclass(frozen=True, slots=True)
class Scope:
    """Previews that a rule applies to: those of a generation or project, or all of the user's."""

    generation_id: str | None = None
    project_id: str | None = None

    def includes(self, generation_id: str, project_id: str) -> bool:
        """Return True if previews of this generation are in the scope."""
        if self.generation_id is not None:
            return self.generation_id == generation_id
        return self.project_id is None or self.project_id == project_id


@dataclass(frozen=True, slots=True)
class Webhook:
    """Receiver of a rule's firings.

    Attributes:
        url: Checked by ``parse_target``.
        secret: Key of the signature; never shown. In a rule it is sealed, see ``WebhookSecrets``. None: unsigned.
        body: The user's template; None: all fields.
    """

    url: str
    secret: str | None = field(default=None, repr=False)
    body: Template | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """An alert rule of a user.

    Attributes:
        cooldown_s: Seconds after a firing in which the rule does not fire again for the same generation.
    """

    id: str
    user_id: str
    name: str
    condition: Condition
    scope: Scope
    cooldown_s: float
    is_enabled: bool
    webhook: Webhook | None
    created_at: datetime
    updated_at: datetime

    @property
    def summary(self) -> str:
        """The condition as a short phrase."""
        return in_words(self.condition)

    @property
    def title(self) -> str:
        """The name, or the condition of a rule without one."""
        return self.name or self.summary


def fault_of(condition: Condition) -> str | None:
    """Return one sentence if the condition's filter cannot be used any more; None otherwise."""
    if isinstance(condition, Matches | Absent):
        try:
            parse_filter(condition.filter)
        except InvalidFilter as error:
            return error.message
    return None


def check_condition(condition: Condition) -> None:
    """Check the parts of a condition that its types do not.

    Raises:
        InvalidFilter: The filter has a mistake, or terms that make no sense in a rule.
        InvalidRequest: An exit code for an event without one.
    """
    if isinstance(condition, Happened) and condition.exit_code is not None and condition.event != PreviewEvent.EXITED:
        raise InvalidRequest(f'Only the event "exited" has an exit code, not {condition.event.value!r}; remove it.')
    if isinstance(condition, Matches | Absent):
        chosen = parse_filter(condition.filter)
        for term in chosen.all_terms:
            if term.info.kind in _FIXED_TERMS:
                raise InvalidFilter(
                    f"{quoted(term.info.text)} selects a part of a log that exists already, and a rule looks at new "
                    "lines; remove the term.",
                    term.info.start,
                )
        (chosen.check_lines if condition.on is Subject.LINES else chosen.check_requests)()


def condition_json(condition: Condition) -> str:
    """Return the condition for the database."""
    return condition.model_dump_json()


def read_condition(text: str) -> Condition:
    """Return a condition from the database."""
    return _CONDITION.validate_json(text)


class DeliveryState(StrEnum):
    """State of a firing's webhook."""

    NONE = "none"  # the rule has no webhook
    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"  # given up


@dataclass(frozen=True, slots=True)
class Delivery:
    """State of a firing's webhook.

    Attributes:
        attempts: Attempts so far.
        status: Status of the last response; None without one.
        problem: One sentence why the last attempt failed; None if it did not.
        at: End of the last attempt.
    """

    state: DeliveryState = DeliveryState.NONE
    attempts: int = 0
    status: int | None = None
    problem: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Firing:
    """One firing of a rule.

    Attributes:
        id: Also the webhook's delivery id.
        summary: One sentence.
        matches: Number of matches since the last firing; 0 if the condition counts none.
        line: The matching line's text, at most ``MOST_LINE_CHARACTERS``; None if there is none.
        first_line: Number of the first line that belongs to the firing; None if no line does.
        last_line: Number of the last one.
        request: Number of the recorded request; None if there is none.
        suppressed: Firings that the cool-down has prevented before this one.
        is_test: True for a test that a user has started.
    """

    id: str
    rule_id: str
    user_id: str
    generation_id: str
    project_id: str
    preview_id: str
    fired_at: datetime
    summary: str
    matches: int = 0
    line: str | None = None
    first_line: int | None = None
    last_line: int | None = None
    request: int | None = None
    suppressed: int = 0
    is_test: bool = False
    delivery: Delivery = Delivery()
