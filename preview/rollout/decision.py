"""Decisions: the value of a flag for one subject. Pure functions."""

from __future__ import annotations

import hashlib
from collections.abc import Container
from dataclasses import dataclass
from typing import Final

from preview.rollout.flags import By, Flag, FlagName, Rule

BUCKETS: Final = 10_000
"""A share is counted in hundredths of a percent."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Subject of a decision.

    Attributes:
        user_id: The user.
        tier: The user's tier.
        project_id: The project; users choose its id, so it is unique per user only.
    """

    user_id: str
    tier: str
    project_id: str = ""


def bucket(name: FlagName, subject: Subject, by: By) -> int:
    """Return the subject's place among ``BUCKETS``: always the same, and independent between flags.

    A share takes the lowest places, so a larger share has all subjects of a smaller one.
    """
    parts = [name.value, subject.user_id] + ([subject.project_id] if by is By.PROJECT else [])
    # Lengths keep ("ab", "c") and ("a", "bc") apart. An id may be any text.
    text = "".join(f"{len(part)}:{part}" for part in parts).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.sha256(text).digest()[:8]) % BUCKETS


def applies(name: FlagName, rule: Rule, subject: Subject) -> bool:
    """Return True if all conditions of the rule hold."""
    if rule.users and subject.user_id not in rule.users:
        return False
    if rule.tiers and subject.tier not in rule.tiers:
        return False
    if rule.projects and subject.project_id not in rule.projects:
        return False
    return rule.hundredths is None or bucket(name, subject, rule.by) < rule.hundredths


def decide(flag: Flag, subject: Subject, default: str, allowed: Container[str]) -> str:
    """Return the flag's value: of the first rule that applies, else the flag's own, else the default.

    A value that is not allowed counts as absent: the database may have one that this service does not offer.

    Args:
        flag: The flag.
        subject: Whom it is about.
        default: The value that the settings give.
        allowed: The values that this service offers.
    """
    for rule in flag.rules:
        if rule.value in allowed and applies(flag.name, rule, subject):
            return rule.value
    return flag.value if flag.value is not None and flag.value in allowed else default
