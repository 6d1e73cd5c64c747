"""Bound of the processor time that a user's rules take."""

from __future__ import annotations

from typing import Final

SHARE: Final = 0.1
"""Share of a processor that all rules of a user may take together."""

PAUSE_S: Final = 60.0
"""Seconds for which a rule that costs too much is paused."""

_BURST_S: Final = 0.3
# Costs older than this do not decide which rule is paused.
_MEMORY_S: Final = 10.0


class Budget:
    """A user's budget of processor time: a token bucket. Pure: the caller gives the times.

    Args:
        at: Now, seconds of a clock that never goes back.
    """

    def __init__(self, at: float) -> None:
        self._left_s = _BURST_S
        self._at = at
        self._costs: dict[str, float] = {}
        self._since = at

    def spend(self, rule_id: str, seconds: float, at: float) -> str | None:
        """Record a rule's cost; return the id of the rule to pause now, if the budget is used up.

        Args:
            rule_id: The rule.
            seconds: Processor time that it took.
            at: Now.
        """
        self._left_s = min(_BURST_S, self._left_s + SHARE * (at - self._at)) - seconds
        self._at = at
        if at - self._since > _MEMORY_S:
            self._costs = {}
            self._since = at
        self._costs[rule_id] = self._costs.get(rule_id, 0.0) + seconds
        if self._left_s > 0:
            return None
        costliest = max(self._costs, key=lambda one: self._costs[one])
        self._costs.pop(costliest)
        self._left_s = _BURST_S
        return costliest
