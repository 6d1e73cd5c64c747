"""Flags as values: the closed list of names, their rules, and the checks and bounds of both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final

from preview.core.ids import is_valid_id
from preview.core.quoting import quoted
from preview.errors import InvalidRequest

MOST_RULES: Final = 50
"""Rules of one flag."""
MOST_NAMES: Final = 500
"""Users, or projects, of one rule."""
MOST_REASON: Final = 300
"""Characters of the sentence for users."""
_MOST_USER_ID: Final = 128
_HUNDREDTHS: Final = 100
_PERCENT: Final = 100.0


class FlagName(StrEnum):
    """The flags. A flag of another name does not exist."""

    LAUNCHES = "launches"
    """Kill switch: ``off`` refuses new launches. Running previews, reloads and stops go on."""

    ISOLATION = "isolation"
    """Isolation level of a launch; never below the minimum that the settings demand."""

    WARM = "warm"
    """Start by a fork of a template, or cold."""

    TRACING = "tracing"
    """Spans of requests: as the project decides, always, or never."""

    CAPTURE = "capture"
    """Amount of data that is recorded of each request."""

    CONTRACT = "contract"
    """Forms of the HTTP API that a user may use."""


OF_LAUNCHES: Final = (FlagName.ISOLATION, FlagName.WARM, FlagName.TRACING, FlagName.CAPTURE)
"""Flags that decide how a launch is carried out; their values are stored with the launch."""

LEVELS: Final = ("plain", "sandbox", "container")
"""Isolation levels, the weakest first."""

ALL_VALUES: Mapping[FlagName, tuple[str, ...]] = MappingProxyType(
    {
        FlagName.LAUNCHES: ("on", "off"),
        FlagName.ISOLATION: LEVELS,
        FlagName.WARM: ("warm", "cold"),
        FlagName.TRACING: ("project", "on", "off"),
        FlagName.CAPTURE: ("off", "meta", "full"),
        FlagName.CONTRACT: ("both", "v1"),
    }
)
"""Values of each flag. A service may offer fewer, see ``Offer``."""

TIERS: Final = ("free", "pro", "enterprise")


class By(StrEnum):
    """The subject whose hash decides about a percentage."""

    USER = "user"
    PROJECT = "project"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: all of its conditions must hold. A rule without conditions applies to everybody.

    Attributes:
        value: The value that it gives.
        users: Ids; empty: any user.
        tiers: Tiers; empty: any tier.
        projects: Ids; empty: any project.
        hundredths: Share of the subjects, in hundredths of a percent; None: all.
        by: The subject of the share.
    """

    value: str
    users: frozenset[str] = frozenset()
    tiers: frozenset[str] = frozenset()
    projects: frozenset[str] = frozenset()
    hundredths: int | None = None
    by: By = By.USER

    @property
    def is_share(self) -> bool:
        """True for a rule whose only condition is a percentage: one step of a canary."""
        return self.hundredths is not None and not (self.users or self.tiers or self.projects)

    @property
    def percent(self) -> float | None:
        """The share in percent."""
        return None if self.hundredths is None else self.hundredths / _HUNDREDTHS

    def as_dict(self) -> dict[str, Any]:
        """Return the rule as JSON, without empty conditions."""
        lists = {name: sorted(getattr(self, name)) for name in ("users", "tiers", "projects")}
        found: dict[str, Any] = {"value": self.value} | {name: some for name, some in lists.items() if some}
        if self.percent is not None:
            found |= {"percent": self.percent, "by": self.by.value}
        return found


@dataclass(frozen=True, slots=True)
class Flag:
    """Content of one flag, as operators have set it.

    Attributes:
        name: The flag.
        value: For subjects without a rule; None: the default, which the settings give.
        rules: The first one that applies decides.
        reason: A sentence for users whose launch is refused; may be empty.
        version: Number of changes; 0: never changed.
        updated_at_ms: Time of the last change, in milliseconds since the epoch.
        updated_by: The operator who made it.
    """

    name: FlagName
    value: str | None = None
    rules: tuple[Rule, ...] = ()
    reason: str = ""
    version: int = 0
    updated_at_ms: int = 0
    updated_by: str = ""

    @property
    def is_default(self) -> bool:
        """True if nothing is set."""
        return self.value is None and not self.rules

    def content(self) -> dict[str, Any]:
        """Return what operators have set, as JSON."""
        return {"value": self.value, "rules": [rule.as_dict() for rule in self.rules], "reason": self.reason}


@dataclass(frozen=True, slots=True)
class Offer:
    """The values of one flag in this service.

    Attributes:
        default: The value that the settings give.
        values: The values that a rule may give.
        why_not: Half a sentence for each value that it may not give.
    """

    default: str
    values: tuple[str, ...]
    why_not: Mapping[str, str]

    def check(self, name: FlagName, value: str) -> str:
        """Return a value that a rule may give.

        Raises:
            InvalidRequest: It may not.
        """
        if value in self.values:
            return value
        why = self.why_not.get(value, f"it may be {', '.join(self.values)}")
        raise InvalidRequest(f"The flag `{name}` cannot be {quoted(value)}: {why}.", field="value")


def read_flag(name: FlagName, content: Mapping[str, Any], offer: Offer | None = None) -> Flag:
    """Return the flag that ``Flag.content`` describes, with all checks.

    Args:
        name: The flag.
        content: JSON from a request, or from the database.
        offer: The allowed values; None allows all values of the flag, as for a row that an earlier service has stored.

    Raises:
        InvalidRequest: A value, a rule or a bound is wrong.
    """
    _only(content, {"value", "rules", "reason"}, "The flag")
    checked = offer or Offer("", ALL_VALUES[name], {})
    value, rules, reason = content.get("value"), content.get("rules", []), content.get("reason", "")
    if not isinstance(rules, list) or len(rules) > MOST_RULES:
        raise InvalidRequest(f"A flag has a list of {MOST_RULES} rules at most.", field="rules")
    if not isinstance(reason, str):
        raise InvalidRequest("The reason is a text.", field="reason")
    read = tuple(_read_rule(name, one, checked) for one in rules)
    chosen = None if value is None else checked.check(name, _text(value, "value"))
    return Flag(name, chosen, read, clean_reason(reason))


def _read_rule(name: FlagName, given: object, offer: Offer) -> Rule:
    if not isinstance(given, Mapping):
        raise InvalidRequest("A rule is an object.", field="rules")
    _only(given, {"value", "users", "tiers", "projects", "percent", "by"}, "A rule")
    tiers = _names(given, "tiers", len(TIERS))
    if not tiers <= set(TIERS):
        raise InvalidRequest(f"The tiers are {', '.join(TIERS)}.", field="tiers")
    projects = _names(given, "projects", MOST_NAMES)
    if wrong := [one for one in projects if not is_valid_id(one)]:
        raise InvalidRequest(f"{quoted(wrong[0])} is not a project's id.", field="projects")
    if given.get("by", By.USER) not in list(By):
        raise InvalidRequest(f"A percentage is by {' or '.join(By)}.", field="by")
    value = offer.check(name, _text(given.get("value"), "value"))
    share = _hundredths(given.get("percent"))
    return Rule(value, _names(given, "users", MOST_NAMES), tiers, projects, share, By(given.get("by", By.USER)))


def _only(given: Mapping[str, Any], known: set[str], subject: str) -> None:
    if unknown := [name for name in given if name not in known]:
        raise InvalidRequest(f"{subject} has no field {quoted(str(unknown[0]))}.", field="rules")


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidRequest(f"`{field}` is a text.", field=field)
    return value


def _names(given: Mapping[str, Any], field: str, most: int) -> frozenset[str]:
    if field not in given:
        return frozenset()
    names = given[field]
    if not isinstance(names, list) or not 0 < len(names) <= most:
        # An empty list would apply to everybody, which its author may not expect.
        raise InvalidRequest(f"`{field}` is a list of 1 to {most}; leave it out for any.", field=field)
    for one in names:
        if not isinstance(one, str) or not 0 < len(one) <= _MOST_USER_ID or not one.isprintable():
            raise InvalidRequest(f"`{field}` has a name that is empty, too long or not printable.", field=field)
    return frozenset(names)


def _hundredths(percent: object) -> int | None:
    if percent is None:
        return None
    if isinstance(percent, bool) or not isinstance(percent, int | float):
        raise InvalidRequest("`percent` is a number.", field="percent")
    if not math.isfinite(percent) or not 0 <= percent <= _PERCENT:
        raise InvalidRequest("`percent` is from 0 to 100.", field="percent")
    return round(percent * _HUNDREDTHS)


def clean_reason(text: str) -> str:
    """Return the sentence for users on one line, without characters that cannot be printed, cut to its bound."""
    words = ("".join(filter(str.isprintable, one)) for one in text[: 4 * MOST_REASON].split())
    return " ".join(filter(None, words))[:MOST_REASON].strip()
