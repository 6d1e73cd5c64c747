"""Tracebacks inside of one line: of loggers that write JSON, or text with escaped line ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

_MOST_DEPTH = 5
_MOST_VALUES = 300
_MOST_LINES = 2_000
_TRACE = "Traceback (most recent call last)"
_STACK = "\n    at "


def opens_packed(text: str) -> bool:
    """Return True if the line may hold a traceback."""
    if text[:1] == "{":
        return "\\n" in text or '"exc_type"' in text
    return "\\n  File " in text and _TRACE in text


def unpack(text: str) -> list[str]:
    """Return the lines of the traceback in this line; empty if it holds none.

    Args:
        text: One line, up to the size of a line of output.
    """
    if text[:1] != "{":
        return text[text.index(_TRACE) :].replace('\\"', '"').split("\\n")[:_MOST_LINES]
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return []
    for value in _values(record):
        if isinstance(value, str):
            return value.split("\n")[:_MOST_LINES]
        return _structured(value)[:_MOST_LINES]
    return []


def _values(record: Any) -> Iterator[str | list[Any]]:
    """Yield values that hold a traceback, the outer ones first; looks at a bounded number of values."""
    level, seen = [record], 0
    for _ in range(_MOST_DEPTH):
        following: list[Any] = []
        for one in level:
            children = one.values() if isinstance(one, dict) else one
            for child in children:
                seen += 1
                if seen > _MOST_VALUES:
                    return
                if isinstance(child, str):
                    if _STACK in child or _TRACE in child:
                        yield child
                elif isinstance(child, list) and child and isinstance(child[0], dict) and "exc_type" in child[0]:
                    yield child
                elif isinstance(child, dict | list):
                    following.append(child)
        level = following


def _structured(stacks: list[Any]) -> list[str]:
    """Return the lines of structlog's ``dict_tracebacks``; it lists the exception that reached the server first."""
    lines: list[str] = []
    for stack in reversed(stacks[:20]):
        if not isinstance(stack, dict):
            continue
        lines.append(f"{_TRACE}:")
        frames = stack.get("frames")
        for frame in (frames if isinstance(frames, list) else [])[:200]:
            if isinstance(frame, dict):
                lines.append(
                    f'  File "{_word(frame, "filename")}", line {_word(frame, "lineno")}, in {_word(frame, "name")}'
                )
                if code := _word(frame, "line"):
                    lines.append(f"    {code}")
        lines.append(f"{_word(stack, 'exc_type')}: {_word(stack, 'exc_value')}")
        if stack is not stacks[0]:
            is_cause = stack.get("is_cause") or any(isinstance(one, dict) and one.get("is_cause") for one in stacks)
            word = (
                "The above exception was the direct cause of" if is_cause else "During handling of the above exception"
            )
            lines += ["", word, ""]
    return lines


def _word(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    return str(value).replace("\n", " ")[:2_000] if isinstance(value, str | int) else ""
