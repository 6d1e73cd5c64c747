"""The place of a mistake in a filter, as two lines: the filter's text, and a mark below the mistake."""

from __future__ import annotations

from collections.abc import Mapping

from rich.cells import cell_len

from preview.core.quoting import visible
from preview.errors import InvalidFilter

_KEY = "filter"
_BEFORE = 50
_AFTER = 20


def filter_in(params: Mapping[str, str | int], body: object) -> str | None:
    """Return the filter that a request has, in its query or its JSON body; None if it has none."""
    given = params.get(_KEY)
    if given is not None:
        return str(given)
    # An alert has it inside its condition.
    for one in (body, body.get("condition")) if isinstance(body, Mapping) else ():
        if isinstance(one, Mapping) and isinstance(one.get(_KEY), str):
            return str(one[_KEY])
    return None


def mark_of(problem: str, facts: Mapping[str, object], text: str | None) -> str:
    """Return the filter with a mark below its mistake; empty if the error names no place in it.

    Args:
        problem: Code of the error.
        facts: Its ``details``; ``position`` is the number of characters before the mistake.
        text: The filter.
    """
    at = facts.get("position")
    if problem != InvalidFilter.code or text is None or not isinstance(at, int) or not 0 <= at <= len(text):
        return ""
    # On one line: a tab or a line break is a space between terms.
    text = "".join(" " if one.isspace() else one for one in text)
    before, after = visible(text[max(0, at - _BEFORE) : at]), visible(text[at : at + _AFTER])
    before = f"…{before}" if at > _BEFORE else before
    after = f"{after}…" if at + _AFTER < len(text) else after
    return f"  {before}{after}\n  {' ' * cell_len(before)}^"
