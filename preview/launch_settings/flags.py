"""Feature flags: variables whose value is one of the usual words for true and false."""

from __future__ import annotations

from typing import Final

_PAIRS: Final = (("true", "false"), ("1", "0"), ("on", "off"), ("yes", "no"))
_OTHERS: Final = {one: other for pair in _PAIRS for one, other in (pair, pair[::-1])}
_TRUE: Final = frozenset(pair[0] for pair in _PAIRS)


def flag_state(value: str) -> bool | None:
    """Return the state of a flag; None if the value is not one of a flag."""
    word = value.strip().lower()
    return word in _TRUE if word in _OTHERS else None


def toggled(value: str) -> str | None:
    """Return the other value of a flag in the same words and case, such as ``Off`` for ``On``; None for no flag."""
    word = value.strip()
    other = _OTHERS.get(word.lower())
    if other is None:
        return None
    if word.isupper():
        return other.upper()
    return other.capitalize() if word[0].isupper() else other
