"""The values that this service offers of each flag: its settings, its machine, and the minimum of isolation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from preview.core.isolation import Isolation
from preview.people_errors import IsolationBelowMinimum
from preview.rollout.flags import ALL_VALUES, LEVELS, FlagName, Offer
from preview.settings import Settings

# With these settings the operator trusts all code that is launched.
_TRUSTING: Final = frozenset({Isolation.PLAIN, Isolation.TRUSTED})


def minimum_level(settings: Settings, level: str) -> str:
    """Return the weakest isolation level that the settings allow for any launch.

    Args:
        settings: The service's settings.
        level: The level that launches get without a flag.
    """
    return LEVELS[0] if settings.isolation in _TRUSTING else level


def offers(settings: Settings, level: str, further: Collection[str]) -> Mapping[FlagName, Offer]:
    """Return the values of all flags.

    Args:
        settings: The service's settings.
        level: Name of the runtime that launches get without a flag.
        further: Names of the other runtimes that this service has opened.
    """
    no_templates = {"warm": "PREVIEW_WARM_TEMPLATES is 0, so there are no templates"}
    is_warm = bool(settings.warm_templates)
    return {
        FlagName.LAUNCHES: _all(FlagName.LAUNCHES, "on"),
        FlagName.ISOLATION: _levels(settings, level, further),
        FlagName.WARM: _all(FlagName.WARM, "warm") if is_warm else Offer("cold", ("cold",), no_templates),
        FlagName.TRACING: _all(FlagName.TRACING, "project"),
        FlagName.CAPTURE: _all(FlagName.CAPTURE, settings.capture),
        FlagName.CONTRACT: _all(FlagName.CONTRACT, "both"),
    }


def raised(level: str, least: str | None, offered: Sequence[str], tier: str) -> str:
    """Return the level of a launch: the given one, or a stronger one that the tier's minimum demands.

    Args:
        level: The level that settings and flags give.
        least: The tier's minimum; None: there is none.
        offered: The levels that this service has, the weakest first.
        tier: Name of the tier, for the message.

    Raises:
        IsolationBelowMinimum: The service has no such level, or the host's runtime has none that is known.
    """
    if least is None:
        return level
    strong = LEVELS[LEVELS.index(least) :]
    if level in strong:
        return level
    found = next((one for one in offered if one in strong), None)
    if found is None:
        raise IsolationBelowMinimum(
            f"Launches of the tier {tier} need at least the isolation `{least}` here, and this service has only "
            f"{', '.join(offered)}. Ask its operator: PREVIEW_ISOLATION_MINIMUM demands it.",
            minimum=least,
            offered=list(offered),
        )
    return found


def _all(name: FlagName, default: str) -> Offer:
    return Offer(default, ALL_VALUES[name], {})


def _levels(settings: Settings, level: str, further: Collection[str]) -> Offer:
    if level not in LEVELS:
        # A host's own runtime: nothing is known about its level.
        return Offer(level, (level,), dict.fromkeys(LEVELS, "the host provides the runtime"))
    least = minimum_level(settings, level)
    why_not = {}
    for name in LEVELS:
        if LEVELS.index(name) < LEVELS.index(least):
            why_not[name] = f"PREVIEW_ISOLATION={settings.isolation} demands at least {least}"
        elif name != level and name not in further:
            why_not[name] = "this service does not have this level; `preview doctor` says why"
    return Offer(level, tuple(name for name in LEVELS if name not in why_not), why_not)
