"""Regular expressions in linear time, with RE2, and with a bound of time for hostile ones.

RE2 needs time in proportion to the text times the size of the expression. Both are bounded here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import re2  # type: ignore[import-untyped]  # it has no types

SEARCHED_CHARACTERS = 16 * 1024
"""A regular expression looks at this many characters of a line; a plain text search looks at all."""

# 16 Ki characters times 250 instructions take 40 ms in the worst case.
_MOST_INSTRUCTIONS = 250
_MEMORY_BYTES = 1024 * 1024


def fault_of(pattern: str, *, ignores_case: bool) -> str | None:
    """Return one sentence why the expression cannot be used; None if it can."""
    try:
        made = _compile(pattern, ignores_case)
    except re2.error as error:
        said = error.args[0] if error.args else ""
        why = said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)
        if "too large" in why:
            return "is too large; write it shorter, with smaller numbers of repeats"
        return f"is not a valid expression ({why}); RE2 has no look-around and no back-references"
    except UnicodeError:
        return "has a character that is no text"
    if made.programsize > _MOST_INSTRUCTIONS:
        return "is too large; write it shorter, with smaller numbers of repeats"
    return None


@lru_cache(256)
def searcher(pattern: str, *, ignores_case: bool) -> Callable[[str], bool]:
    """Return a test whether the expression, which has no fault, is found in a text."""
    search = _compile(pattern, ignores_case).search

    def found(text: str) -> bool:
        if len(text) > SEARCHED_CHARACTERS:
            text = text[:SEARCHED_CHARACTERS]
        return search(text) is not None

    return found


@lru_cache(256)
def _compile(pattern: str, ignores_case: bool):  # type: ignore[no-untyped-def]  # ``re2`` has no types
    options = re2.Options()
    options.max_mem = _MEMORY_BYTES
    options.log_errors = False
    options.case_sensitive = not ignores_case
    options.never_capture = True
    return re2.compile(pattern, options=options)
