"""Alert rules and their firings; only contract ``v1`` has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from preview.alerts import (
    MOST_NAME_CHARACTERS,
    Condition,
    Firing,
    Rule,
    RuleDraft,
    Scope,
    Tried,
    Webhook,
    Window,
)
from preview.core.clock import from_ms
from preview.http.contracts.shared import Line
from preview.http.core.answers import Answer, AnyJson, Seconds, Time

_SECRET_CHARACTERS = 256


class _Body(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _printable(value: object) -> object:
    """Return a name without characters that cannot be shown or stored."""
    if not isinstance(value, str):
        return value
    return "".join(one if one.isprintable() else " " for one in value).strip()


class ScopeBody(_Body):
    """Previews that the rule applies to; at most one field. Without any: all of yours."""

    generation_id: str | None = Field(default=None, max_length=128)
    project_id: str | None = Field(default=None, max_length=128)


class WebhookBody(_Body):
    """URL to call when the rule fires."""

    url: str = Field(max_length=2000, examples=["https://hooks.example.com/preview"])
    secret: str | None = Field(
        default=None,
        min_length=1,
        max_length=_SECRET_CHARACTERS,
        description="Key of the signature; it is never shown. A change without this field keeps the stored one.",
    )
    body: dict[str, Any] | None = Field(
        default=None,
        description="JSON to send; `{field}` in its texts is replaced. Null: all fields.",
        examples=[{"text": "{alert}: {summary}"}],
    )


class AlertBody(_Body):
    """An alert rule."""

    name: Annotated[str, BeforeValidator(_printable)] = Field(
        default="", max_length=MOST_NAME_CHARACTERS, description="Name for people; default: the condition in words."
    )
    condition: Condition
    scope: ScopeBody = ScopeBody()
    cooldown_s: Window = Field(default=60.0, description="Seconds without a second firing for the same generation.")
    enabled: bool = True
    webhook: WebhookBody | None = None

    def draft(self) -> RuleDraft:
        """Return the rule."""
        webhook = None
        if self.webhook is not None:
            webhook = Webhook(self.webhook.url, self.webhook.secret, self.webhook.body)
        return RuleDraft(
            name=self.name,
            condition=self.condition,
            scope=Scope(self.scope.generation_id, self.scope.project_id),
            cooldown_s=self.cooldown_s,
            is_enabled=self.enabled,
            webhook=webhook,
            keeps_secret=self.webhook is not None and "secret" not in self.webhook.model_fields_set,
        )


class TrialBody(_Body):
    """A rule to try on the stored lines of a preview."""

    preview_id: str | None = Field(default=None, max_length=64, description="Default: the generation's newest one.")
    condition: Condition
    cooldown_s: Window = 60.0


class FiringsQuery(BaseModel):
    """A page of firings."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    cursor: str | None = Field(default=None, max_length=64, description="`next` of the previous page.")
    limit: int = Field(default=50, ge=1, le=200)


class PreviewFiringsQuery(FiringsQuery):
    """A page of a preview's firings."""

    preview_id: str | None = Field(default=None, max_length=64, description="Default: the generation's newest one.")


class ScopeShape(Answer):
    """Previews that the rule applies to."""

    generation_id: str | None
    project_id: str | None


class WebhookShape(Answer):
    """URL to call when the rule fires."""

    url: str
    has_secret: bool = Field(description="Whether requests are signed.")
    body: AnyJson = Field(description="JSON to send; null: all fields.")


class RuleShape(Answer):
    """An alert rule."""

    holds_any = True

    id: str = Field(examples=["alert_789abcdefghjkmnp"])
    name: str
    condition: AnyJson = Field(description="As written; see the request body.")
    summary: str = Field(description="The condition in words.")
    scope: ScopeShape
    cooldown_s: Seconds
    enabled: bool
    state: Literal["active", "off", "paused"] = Field(
        description="`paused`: it used too much time and resumes after a minute. With a `problem`: it resumes when the "
        "rule is changed."
    )
    problem: str | None = Field(description="The reason why the rule no longer works; null if it does.")
    webhook: WebhookShape | None
    created_at: Time
    updated_at: Time

    @classmethod
    def of(cls, rule: Rule, *, is_paused: bool, fault: str | None) -> Self:
        """Return the rule, without its secret."""
        webhook = None
        if rule.webhook is not None:
            webhook = WebhookShape(
                url=rule.webhook.url, has_secret=rule.webhook.secret is not None, body=rule.webhook.body
            )
        state: Literal["active", "off", "paused"] = "active" if rule.is_enabled else "off"
        return cls(
            id=rule.id,
            name=rule.title,
            condition=rule.condition.model_dump(mode="json"),
            summary=rule.summary,
            scope=ScopeShape(generation_id=rule.scope.generation_id, project_id=rule.scope.project_id),
            cooldown_s=rule.cooldown_s,
            enabled=rule.is_enabled,
            state="paused" if (is_paused or fault is not None) and rule.is_enabled else state,
            problem=fault,
            webhook=webhook,
            created_at=rule.created_at,
            updated_at=rule.updated_at,
        )


class RuleList(Answer):
    """The user's alert rules, oldest first."""

    holds_any = True

    items: list[RuleShape]
    next: None = Field(default=None, description="Always null: a user has few rules.")


class DeliveryShape(Answer):
    """State of a firing's webhook."""

    state: Literal["none", "pending", "delivered", "failed"]
    attempts: int
    status: int | None = Field(description="Status of the last response; null without one.")
    problem: str | None = Field(description="Why the last attempt failed.")
    at: Time | None = Field(description="End of the last attempt.")


class FiringShape(Answer):
    """A firing of a rule."""

    id: str = Field(description="Also `X-Preview-Delivery` of the webhook.", examples=["firing_789abcdefghjkmnp"])
    alert_id: str
    alert: str = Field(description="Name of the rule.")
    generation_id: str
    project_id: str
    preview_id: str = Field(description="Empty for a test.")
    fired_at: Time
    summary: str
    matches: int = Field(description="Matches since the last firing; 0 if the condition counts none.")
    line: str | None = Field(description="Text of the line that caused it, at most 500 characters.")
    first_line: int | None = Field(description="Number of the first line that belongs to it.")
    last_line: int | None
    request: int | None = Field(description="Number of the recorded request that caused it.")
    suppressed: int = Field(description="Firings that the cool-down has prevented before.")
    test: bool
    delivery: DeliveryShape

    @classmethod
    def of(cls, firing: Firing, names: Mapping[str, str]) -> Self:
        """Return the firing; ``names`` has the rules' names by id."""
        return cls.taken_from(
            firing,
            alert_id=firing.rule_id,
            alert=names.get(firing.rule_id, ""),
            test=firing.is_test,
            delivery=DeliveryShape.taken_from(firing.delivery, state=firing.delivery.state.value),
        )


class FiringPage(Answer):
    """A page of firings, newest first."""

    items: list[FiringShape]
    next: str | None = Field(description="`cursor` of the next page; null on the last one.")

    @classmethod
    def of(cls, firings: Sequence[Firing], rules: Sequence[Rule], *, has_more: bool) -> Self:
        """Return the page."""
        names = {rule.id: rule.title for rule in rules}
        following = firings[-1].id if has_more and firings else None
        return cls(items=[FiringShape.of(one, names) for one in firings], next=following)


class PastFiringShape(Answer):
    """A firing that would have been."""

    at: Time
    summary: str
    line: int | None = Field(description="Number of the line; null for a silence.")
    text: str | None


class TrialShape(Answer):
    """Result of a rule on stored lines."""

    preview_id: str
    examined: int = Field(description="Number of lines.")
    first_line: int
    last_line: int
    matched: int = Field(description="Number of matching lines.")
    samples: list[Line] = Field(description="The last matching lines, at most 20.")
    firings: list[PastFiringShape] = Field(description="At most 100, oldest first.")
    is_cut: bool = Field(description="Whether there are lines that were not examined.")

    @classmethod
    def of(cls, tried: Tried, preview_id: str) -> Self:
        """Return the result."""
        return cls(
            preview_id=preview_id,
            examined=tried.examined,
            first_line=tried.first_line,
            last_line=tried.last_line,
            matched=tried.matched,
            samples=[Line.of(one, colours=False) for one in tried.samples],
            firings=[
                PastFiringShape(at=from_ms(one.at_ms), summary=one.summary, line=one.line, text=one.text)
                for one in tried.firings
            ],
            is_cut=tried.is_cut,
        )
