"""Flags of operators: which isolation, start, capability and contract a user gets; and the kill switch for launches."""

from preview.rollout.choices import NO_CHOICES, Choices, stored_arms
from preview.rollout.decision import Subject
from preview.rollout.flags import OF_LAUNCHES, Flag, FlagName, Offer, Rule, read_flag
from preview.rollout.rollout import Reach, Rollout, changed_words

__all__ = [
    "NO_CHOICES",
    "OF_LAUNCHES",
    "Choices",
    "Flag",
    "FlagName",
    "Offer",
    "Reach",
    "Rollout",
    "Rule",
    "Subject",
    "changed_words",
    "read_flag",
    "stored_arms",
]
