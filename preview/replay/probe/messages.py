"""Messages of the confined program, each checked in full: hostile data may have written it."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from preview.core.quoting import clipped, visible
from preview.replay.probe.result import FindingKind

MOST_LINE_BYTES = 1024 * 1024
"""Longest message, in both directions but for the first one."""
MOST_OPERATIONS = 300
_MOST_STEPS = 10
_MOST_SENTENCE = 400
_MOST_HEADERS = 50
_MOST_NUMBER = 10**9


class ProtocolBroken(Exception):
    """The program has sent something that is no message."""


@dataclass(frozen=True, slots=True)
class Operations:
    """The endpoints that are probed: method, path, and whether a document has it."""

    items: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True, slots=True)
class Send:
    """A request to send; ``operation`` is a position in ``Operations``."""

    operation: int
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes | None


@dataclass(frozen=True, slots=True)
class Found:
    """A finding; ``steps`` are numbers of requests."""

    kind: FindingKind
    operation: int
    steps: tuple[int, ...]
    sentence: str


@dataclass(frozen=True, slots=True)
class Said:
    """Progress or a note for people."""

    what: str
    text: str


class Done:
    """The program has done everything."""


Message = Operations | Send | Found | Said | Done


def parse_message(line: bytes) -> Message:
    """Return the message of one line, at most ``MOST_LINE_BYTES`` long.

    Raises:
        ProtocolBroken: It is none.
    """
    try:
        said = json.loads(line)
        ((key, value),) = said.items()
        return _parse(key, value)
    except (ValueError, TypeError, AttributeError, RecursionError, LookupError) as error:
        raise ProtocolBroken(type(error).__name__) from error


def _parse(key: object, value: Any) -> Message:
    if key == "send":
        operation, method, target, headers, body = value
        fields = tuple((_text(name), _text(one)) for name, one in _list(headers)[:_MOST_HEADERS])
        content = None if body is None else base64.b64decode(_text(body), validate=True)
        return Send(_number(operation), _text(method), _text(target), fields, content)
    if key == "finding":
        kind, operation, steps, sentence = value
        numbers = tuple(_number(one) for one in _list(steps)[:_MOST_STEPS])
        return Found(FindingKind(_text(kind)), _number(operation), numbers, _sentence(sentence))
    if key == "operations":
        operations = _list(value)[:MOST_OPERATIONS]
        return Operations(
            tuple((_sentence(method), _sentence(path), bool(known)) for method, path, known in operations)
        )
    if key in ("phase", "note", "engine"):
        return Said(str(key), _sentence(value))
    if key == "done":
        return Done()
    raise ValueError


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _number(value: object) -> int:
    if not isinstance(value, int) or not 0 <= value < _MOST_NUMBER:
        raise ValueError
    return value


def _sentence(value: object) -> str:
    return clipped(visible(_text(value)[: 2 * _MOST_SENTENCE]), _MOST_SENTENCE)


def answer_line(**fields: object) -> bytes:
    """Return the answer to a ``Send`` as one line."""
    return json.dumps(fields, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"
