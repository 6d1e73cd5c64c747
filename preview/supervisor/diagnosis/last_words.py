"""A program's last words, for an end that no rule explains: one line that a sentence can quote."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from preview.core.quoting import in_words
from preview.supervisor.diagnosis.diagnose import COLOURS, last_error

_MAX_LINES = 200
_MAX_CHARACTERS = 1_000
# What tools write before or in the line of an error: compilers, shells, npm's scripts, loggers.
_TELLING = re.compile(
    r"(?i:\berror\b(?:[ :\]]| TS\d)|^fatal: |^\W{0,4}failed\b)|^[A-Z_]{1,40}_ERROR: |\bnot found$|\bis not recognized\b"
)
# pydantic, pydantic_core/ValidationError.
_VALIDATION = re.compile(r"\d{1,4} validation errors? for \w{1,80}")
# Lines that follow an error and say nothing of it.
_EMPTY = re.compile(
    r"npm (?:error|ERR!)|(?:Node\.js|Bun) v\d|error Command failed|\W*$|make(?:\[\d\])?: |read without a value: "
    r"|\s*at (?:(?:async |new )?\S{1,100} )?\(?[\w./:@-]{1,300}:\d"
)


def last_words(lines: Sequence[str]) -> str | None:
    """Return the newest line that tells an error, in words; None if no line does.

    Args:
        lines: The program's output, oldest first; may have colours, data and overlong lines.
    """
    error = last_error(lines)
    if error is not None and (words := in_words(error)):
        return words + wrong_value(error, lines)
    read = [said for line in lines[-_MAX_LINES:] if (said := _said(line))]
    return next((words for said in reversed(read) if _TELLING.search(said) and (words := in_words(said))), None)


def wrong_value(error: str, lines: Sequence[str]) -> str:
    """Return what pydantic writes below the head of a validation error: the first field, and what is wrong with it."""
    if not _VALIDATION.search(error):
        return ""
    below = next((number for number in range(len(lines) - 1, -1, -1) if _VALIDATION.search(lines[number])), len(lines))
    field, what = (*(in_words(_said(line)).partition(" [type=")[0] for line in lines[below + 1 : below + 3]), "", "")[
        :2
    ]
    return f": {field}: {what}" if field and what else ""


def last_line(lines: Sequence[str]) -> str:
    """Return the newest line that says something, in words; empty if none does."""
    read = (in_words(_said(line)) for line in reversed(lines[-_MAX_LINES:]))
    return next(filter(None, read), "")


def _said(line: str) -> str:
    """Return a line's text; a logger's JSON is represented by its message."""
    text = COLOURS.sub("", line[:_MAX_CHARACTERS]).strip()
    if text.startswith("{"):
        return _message(text)
    return "" if _EMPTY.match(text) else text


def _message(text: str) -> str:
    try:
        read = json.loads(text)
    except (ValueError, RecursionError):
        return ""
    said = next((read[key] for key in ("msg", "message", "error") if isinstance(read.get(key), str)), "")
    return str(said) if isinstance(said, str) else ""
