"""Flags of operators, and the comparison of their values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from preview.core.clock import from_ms
from preview.http.core.answers import Answer, Time
from preview.rollout import Flag, Offer, Reach
from preview.rollout.comparison import Arm
from preview.rollout.flags import MOST_NAMES, MOST_REASON, MOST_RULES

_MOST_HOURS = 24 * 366.0
_Id = Annotated[str, Field(min_length=1, max_length=128)]
_Ids = Annotated[list[_Id], Field(min_length=1, max_length=MOST_NAMES)]
_Value = Annotated[str, Field(min_length=1, max_length=16)]


class FlagRuleBody(BaseModel):
    """A rule. All given conditions must hold; without any it applies to everybody."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    value: _Value
    users: _Ids | None = None
    tiers: Annotated[list[Literal["free", "pro", "enterprise"]], Field(min_length=1, max_length=3)] | None = None
    projects: _Ids | None = None
    percent: float | None = Field(default=None, ge=0, le=100, allow_inf_nan=False)
    by: Literal["user", "project"] | None = Field(default=None, description="The subject of `percent`.")


class FlagContent(BaseModel):
    """Content of a flag, as an operator sets it."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    value: _Value | None = Field(default=None, description="For all without a rule; null: the default.")
    rules: list[FlagRuleBody] = Field(default=[], max_length=MOST_RULES, description="The first that applies decides.")
    reason: str = Field(default="", max_length=4 * MOST_REASON, description="A sentence for users, of `launches`.")

    def content(self) -> dict[str, Any]:
        """Return the content for the flag."""
        rules = [rule.model_dump(exclude_none=True) for rule in self.rules]
        return {"value": self.value, "rules": rules, "reason": self.reason}


class FlagBody(FlagContent):
    """A change of a flag."""

    version: int = Field(ge=0, le=2**53, description="The version that was read; another one is refused.")


class FlagQuery(BaseModel):
    """A reset of a flag."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    version: int | None = Field(default=None, ge=0, le=2**53, description="Refuse if the flag has another version.")


class ArmsQuery(BaseModel):
    """The time that a comparison looks back."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    hours: float = Field(default=24.0, gt=0, le=_MOST_HOURS, allow_inf_nan=False)


class FlagRuleShape(Answer):
    """A rule."""

    value: str
    users: list[str]
    tiers: list[str]
    projects: list[str]
    percent: float | None
    by: Literal["user", "project"]


class FlagShape(Answer):
    """A flag."""

    name: str
    values: list[str] = Field(description="Values that a rule may give in this service.")
    not_offered: dict[str, str] = Field(description="Further values, and why a rule may not give them.")
    default: str = Field(description="The value that the settings give.")
    value: str | None = Field(description="For all without a rule; null: the default.")
    rules: list[FlagRuleShape]
    reason: str
    version: int
    updated_at: Time | None
    updated_by: str
    problem: str | None = Field(description="Why the stored flag is not used; null if it is.")

    @classmethod
    def of(cls, flag: Flag, offer: Offer, problem: str | None) -> Self:
        """Return the flag."""
        rules = [
            FlagRuleShape(
                value=rule.value,
                users=sorted(rule.users),
                tiers=sorted(rule.tiers),
                projects=sorted(rule.projects),
                percent=rule.percent,
                by=rule.by.value,
            )
            for rule in flag.rules
        ]
        return cls(
            name=flag.name.value,
            values=list(offer.values),
            not_offered=dict(offer.why_not),
            default=offer.default,
            value=flag.value,
            rules=rules,
            reason=flag.reason,
            version=flag.version,
            updated_at=from_ms(flag.updated_at_ms) if flag.version else None,
            updated_by=flag.updated_by,
            problem=problem,
        )


class FlagList(Answer):
    """All flags."""

    items: list[FlagShape]
    next: None = Field(default=None, description="Always null.")


class ReachShape(Answer):
    """The users whom a flag would concern; nothing was changed."""

    users: int = Field(description="Users that were counted.")
    by_value: dict[str, int] = Field(description="Users who would get each value; projects of one may differ.")
    is_whole: bool = Field(description="False if there are more users than were counted.")

    @classmethod
    def of(cls, reach: Reach) -> Self:
        """Return the numbers."""
        return cls(users=reach.users, by_value=dict(reach.by_value), is_whole=reach.is_whole)


class ArmShape(Answer):
    """Launches that had one value of the flag."""

    value: str
    launches: int = Field(description="Those that served, and those that failed before.")
    failed: int
    failure_rate: float | None
    median_ms: int | None = Field(description="From the launch to the first response.")
    p95_ms: int | None


class ArmList(Answer):
    """Launches by the value of the flag, and whether the values differ."""

    items: list[ArmShape]
    sentences: list[str] = Field(description="The most frequent value, compared with each other one.")
    hours: float
    next: None = Field(default=None, description="Always null.")

    @classmethod
    def of(cls, arms: Sequence[Arm], sentences: list[str], hours: float) -> Self:
        """Return the numbers."""
        items = [
            ArmShape(
                value=arm.value,
                launches=arm.launches,
                failed=arm.failed,
                failure_rate=arm.failure_rate,
                median_ms=arm.percentile_ms(50),
                p95_ms=arm.percentile_ms(95),
            )
            for arm in arms
        ]
        return cls(items=items, sentences=sentences, hours=hours)
