"""Allowances of processor time for terms whose cost depends on the text that they look at."""

from __future__ import annotations

# Excess at which a term is given up. One charge counts little, as a garbage collection may be in it.
_MOST_EXCESS_S = 0.05
_MOST_CHARGE_S = 0.025


class Allowance:
    """Processor time that grows with the text, and the time used beyond it.

    Attributes:
        is_slow: True once too much time was used; then the terms must not be used.
    """

    __slots__ = ("_excess_s", "_s_per_character", "_s_per_line", "is_slow")

    def __init__(self, s_per_line: float, s_per_character: float) -> None:
        self._s_per_line = s_per_line
        self._s_per_character = s_per_character
        self._excess_s = 0.0
        self.is_slow = False

    def charge(self, spent_s: float, lines: int, characters: int) -> None:
        """Count processor time against the allowance for these lines."""
        allowed_s = lines * self._s_per_line + characters * self._s_per_character
        self._excess_s = max(0.0, self._excess_s + min(spent_s - allowed_s, _MOST_CHARGE_S))
        self.is_slow = self.is_slow or self._excess_s > _MOST_EXCESS_S
