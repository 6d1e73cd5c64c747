"""Canary: give one value to a growing share of users, one step a call, as long as it does not fail more often."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from preview.cli.exits import UsageMistake

_PERCENT: Final = 100.0
_MOST_STEPS: Final = 20


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a canary.

    Attributes:
        before: Share before, in percent; 0 before the first.
        after: Share after.
        rules: The flag's new rules.
    """

    before: float
    after: float
    rules: list[dict[str, Any]]


def read_steps(text: str) -> list[float]:
    """Return the shares in percent, which grow.

    Raises:
        UsageMistake: They are none.
    """
    try:
        steps = [float(part) for part in text.split(",")][: _MOST_STEPS + 1]
    except ValueError:
        steps = []
    grows = all(one < other for one, other in pairwise(steps))
    is_share = all(math.isfinite(one) and 0 < one <= _PERCENT for one in steps)
    if not steps or len(steps) > _MOST_STEPS or not grows or not is_share:
        raise UsageMistake("Write the steps as growing percentages, separated by commas, such as 5,25,50,100.")
    return steps


def next_step(rules: Sequence[Mapping[str, Any]], value: str, steps: Sequence[float]) -> Step | None:
    """Return the next step; None if the share has reached the last one.

    The rule of a canary has a percentage as its only condition. Other rules stay, and keep their places; a first step
    comes last.

    Args:
        rules: The flag's rules as JSON.
        value: The value that grows.
        steps: See ``read_steps``.
    """
    kept = [dict(rule) for rule in rules]
    place = next((place for place, rule in enumerate(kept) if _is_share(rule, value)), None)
    before = 0.0 if place is None else float(kept[place]["percent"])
    after = next((step for step in steps if step > before), None)
    if after is None:
        return None
    if place is None:
        kept.append({"value": value, "percent": after, "by": "user"})
    else:
        kept[place]["percent"] = after
    return Step(before, after, kept)


def _is_share(rule: Mapping[str, Any], value: str) -> bool:
    return rule.get("value") == value and rule.keys() <= {"value", "percent", "by"} and "percent" in rule


def why_not(value: str, before: float, arms: Sequence[Mapping[str, Any]]) -> str | None:
    """Return a sentence why the share should not grow now; None if it may.

    Args:
        value: The value that grows.
        before: Its share now, in percent.
        arms: What launches with each value came to, as the API reports it.
    """
    if before == 0:
        return None
    new = next((arm for arm in arms if arm["value"] == value), None)
    if new is None or not new["launches"]:
        return f"no launch has used {value} yet, so it cannot be compared"
    others = [arm for arm in arms if arm["value"] != value]
    launches, failed = sum(arm["launches"] for arm in others), sum(arm["failed"] for arm in others)
    if not launches or new["failed"] * launches <= failed * new["launches"]:
        return None
    return (
        f"{value} fails more often: {new['failed']} of {new['launches']} launches, against {failed} of {launches} "
        "without it"
    )
