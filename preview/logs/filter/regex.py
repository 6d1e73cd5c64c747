"""Regular expressions in linear time, with RE2, and with a bound of processor time for hostile ones.

RE2 needs time in proportion to the text times the size of the expression. Both are bounded here. Chosen text can still
make one character cost a microsecond, a hundred times the usual; so each expression has an allowance of time that grows
with the text, and one that exceeds it is not used any more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import re2  # type: ignore[import-untyped]  # it has no types

from preview.logs.filter.allowance import Allowance

SEARCHED_CHARACTERS = 16 * 1024
"""A regular expression looks at this many characters of a line; a plain text search looks at all."""

# 16 Ki characters times 250 instructions take 20 ms in the worst case.
_MOST_INSTRUCTIONS = 250
_MEMORY_BYTES = 1024 * 1024
# Allowed time: usual expressions need 2 µs for a line and 2 ns for a character.
_S_PER_LINE = 15e-6
_S_PER_CHARACTER = 40e-9


class Pattern(Allowance):
    """A compiled expression, and the time it has used beyond its allowance.

    Attributes:
        has: Returns True if the expression is found in a text.
        size: Number of instructions.
    """

    __slots__ = ("_search", "size")

    def __init__(self, pattern: str, *, ignores_case: bool) -> None:
        options = re2.Options()
        options.max_mem = _MEMORY_BYTES
        options.log_errors = False
        options.case_sensitive = not ignores_case
        options.never_capture = True
        compiled = re2.compile(pattern, options=options)
        self.size: int = compiled.programsize
        self._search: Callable[[str], Any] = compiled.search
        super().__init__(_S_PER_LINE, _S_PER_CHARACTER)

    def has(self, text: str) -> bool:
        """Return True if the expression is found in the text's first ``SEARCHED_CHARACTERS``."""
        if len(text) > SEARCHED_CHARACTERS:
            text = text[:SEARCHED_CHARACTERS]
        return self._search(text) is not None


@lru_cache(256)
def pattern_of(pattern: str, *, ignores_case: bool) -> Pattern:
    """Return the compiled expression, which has no fault; the same object while it is in use."""
    return Pattern(pattern, ignores_case=ignores_case)


def fault_of(pattern: str, *, ignores_case: bool) -> str | None:
    """Return why the expression cannot be used, as the end of a sentence; None if it can."""
    try:
        made = pattern_of(pattern, ignores_case=ignores_case)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        why = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        if "too large" in why:
            return "is too large; make it shorter, with fewer repetitions"
        return f"is not a valid expression ({why}); RE2 has no look-around and no back-references"
    if made.size > _MOST_INSTRUCTIONS:
        return "is too large; make it shorter, with fewer repetitions"
    if made.is_slow:
        return "took too long to match; make it simpler, with fewer repetitions"
    return None
