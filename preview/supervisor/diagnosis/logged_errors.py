"""Errors that loggers write inside of their lines, as lines of their own. Pure.

pino, bunyan, winston and python-json-logger write data, NestJS a head before the error that ends a program.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from preview.core.quoting import visible

_MOST_CHARACTERS: Final = 32_768
# Of all lines together: the newest ones are read first.
_MOST_READ: Final = 262_144
_MOST_ADDED: Final = 40
_DEPTH: Final = 3
_MESSAGES: Final = ("msg", "message", "event", "error", "err")
_ERRORS: Final = ("err", "error", "exception", "cause")
_STACKS: Final = ("stack", "exception", "exc_info", "trace", "stack_trace")
# pino-pretty writes a stack below its key, deeper than the key.
_KEY: Final = re.compile(r"\s{2,12}\"?stack\"?:\s{0,4}$")

_COLOURS: Final = re.compile(r"\x1b\[[0-9;]{0,30}[A-Za-z]")
_NEST: Final = re.compile(
    r"\[Nest\] \d{1,10} {1,4}- [^\[]{1,60} ERROR \[(?:ExceptionHandler|NestApplication|PackageLoader)\] "
    r"(?P<said>\S.{0,1000})"
)
_NAMED: Final = re.compile(r"(?:[A-Za-z_][\w.]{0,100})?(?:Error|Exception)\b")


def spelled_out(lines: Sequence[str]) -> list[str]:
    """Return the lines, each line of data that tells an error followed by the error's own lines.

    Args:
        lines: The program's output, oldest first. The program controls it.
    """
    found: list[list[str]] = []
    left = _MOST_READ
    for line in reversed(lines):
        is_data = line.startswith("{") and line.rstrip().endswith("}") and len(line) <= min(left, _MOST_CHARACTERS)
        left -= len(line) if is_data else 0
        found.append([line, *_error_of(line)] if is_data else [line, *_nest_error(line)])
    return _unindented([line for group in reversed(found) for line in group])


def _nest_error(line: str) -> list[str]:
    match = _NEST.match(_COLOURS.sub("", line[:_MOST_CHARACTERS])) if "[Nest]" in line else None
    if match is None:
        return []
    return [match["said"] if _NAMED.match(match["said"]) else f"Error: {match['said']}"]


def _error_of(line: str) -> list[str]:
    try:
        read = json.loads(line)
    except (ValueError, RecursionError):
        return []
    told = list(_lines_of(read, _DEPTH)) if isinstance(read, dict) else []
    return [visible(one, colours=True) for one in list(dict.fromkeys(told))[:_MOST_ADDED]]


def _lines_of(read: Mapping[str, object], depth: int) -> Iterator[str]:
    """Yield the message, the stack, and the errors inside: the newest line is the one that tells most."""
    yield from _texts(read[key] for key in _MESSAGES if key in read)
    stacks = [line for key in _STACKS if key in read for line in _texts([read[key]])]
    kind = read.get("type") or read.get("name")
    if not stacks and isinstance(kind, str) and kind.endswith("Error") and isinstance(read.get("message"), str):
        stacks = [f"{kind}: {read['message']}".partition("\n")[0]]
    yield from stacks
    inner = [read[key] for key in _ERRORS if key in read]
    others = read.get("aggregateErrors")
    inner += others[:2] if isinstance(others, list) else []
    for one in inner if depth else ():
        if isinstance(one, dict):
            yield from _lines_of(one, depth - 1)


def _texts(values: Iterable[object]) -> Iterator[str]:
    for value in values:
        for text in value[:_MOST_ADDED] if isinstance(value, list) else [value]:
            if isinstance(text, str):
                yield from text.splitlines()[:_MOST_ADDED]


def _unindented(lines: Sequence[str]) -> list[str]:
    """Return the lines with stacks below a key ``"stack":`` moved to the margin."""
    found: list[str] = []
    key = depth = -1
    for line in lines:
        indent = len(line) - len(line.lstrip(" "))
        if key >= 0 and indent > key and line.strip():
            depth = indent if depth < 0 else depth
            found.append(line[min(indent, depth) :])
            continue
        key = indent if _KEY.match(line) else -1
        depth = -1
        found.append(line)
    return found
