"""Terms with a key: ``level:``, ``status:`` and the others, each with its parser."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import NamedTuple

from preview.core.ids import REQUEST_ID
from preview.core.quoting import quoted
from preview.errors import InvalidFilter
from preview.logs.filter.conditions import Condition, MarkCondition
from preview.logs.filter.request_conditions import (
    AccessCondition,
    ReloadCondition,
    RequestCondition,
    TimeCondition,
    WordCondition,
)
from preview.logs.filter.tokens import Token
from preview.logs.filter.values import COMPARE, duration_ms, moment_ms
from preview.logs.model.events import MARKS, OF_PROGRAMS, SOURCE_WORDS, STDERR, Contract, Level, Source

LEVEL_TERMS: Mapping[str, Level] = MappingProxyType(
    {level.word(contract).lower(): level for level in Level for contract in (Contract.V1, Contract.PLAN)}
)
"""Words of levels, in lower case."""

STREAMS = ("stdout", "stderr")
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT")
# ``preview.traffic.Origin`` and ``Who``; a test compares them.
ORIGINS = ("browser", "socket", "call", "replay", "probe", "check", "direct", "import")
WHO = ("owner", "viewer", "agent", "service", "unknown")
_STATUS = re.compile(r"[1-5](?:\d\d|xx|\*)", re.ASCII)
_RELATIONS = {"": "is", "=": "is", ">": "is above", ">=": "is at least", "<": "is below", "<=": "is at most"}


class Parsed(NamedTuple):
    """A parsed term.

    Attributes:
        kind: ``text``, ``regex``, ``field`` or the key.
        condition: Its condition.
        meaning: Words for a sentence: which lines or requests have it.
    """

    kind: str
    condition: Condition
    meaning: str


def level_condition(level: Level, operator: str) -> Parsed:
    """Return the condition for a level compared by ``operator``."""
    compare = COMPARE[operator]
    levels = frozenset(one for one in Level if compare(one, level))
    marks = bytes(mark for mark, (one, _) in enumerate(MARKS) if one in levels)
    return Parsed(
        "level", MarkCondition(marks, levels), f"entries with a level that {_RELATIONS[operator]} {level.name}"
    )


def _one_of(token: Token, words: tuple[str, ...], noun: str) -> frozenset[str]:
    """Return the words of a value like ``one,other``.

    Raises:
        InvalidFilter: One of them is unknown.
    """
    if token.operator not in {"", "="}:
        raise InvalidFilter(
            f"{token.key}: cannot be compared by {token.operator}; write {token.key}:{words[0]}.", token.start
        )
    chosen = token.value.split(",")
    for word in chosen:
        if word not in words:
            close = get_close_matches(word, words, 1)
            meant = f"did you mean {close[0]}? Use" if close else "use"
            raise InvalidFilter(
                f"{quoted(word)} is not {noun}; {meant} one or more of {', '.join(words)}, separated by commas.",
                token.start,
            )
    return frozenset(chosen)


def _level(token: Token, _: int | None) -> Parsed:
    level = LEVEL_TERMS.get(token.value.lower())
    if level is None:
        close = get_close_matches(token.value.lower(), LEVEL_TERMS, 1)
        meant = f"did you mean {close[0]}? Use" if close else "use"
        raise InvalidFilter(
            f"{quoted(token.value)} is not a level; {meant} debug, info, warning or error.", token.start
        )
    return level_condition(level, token.operator or ">=")


def _source(token: Token, _: int | None) -> Parsed:
    words = _one_of(token, SOURCE_WORDS, "a source")
    sources = {source for source in Source if words & source.words}
    marks = bytes(mark for mark, (_, source) in enumerate(MARKS) if source in sources)
    return Parsed("source", MarkCondition(marks), f"lines from {_either(words)}")


def _stream(token: Token, _: int | None) -> Parsed:
    words = _one_of(token, STREAMS, "a stream")
    printed = (mark for mark, (_, source) in enumerate(MARKS) if source in OF_PROGRAMS)
    marks = bytes(mark for mark in printed if STREAMS[mark >= STDERR] in words)
    said = "lines known to be of standard error" if words == {STREAMS[1]} else "lines not known to be of standard error"
    return Parsed("stream", MarkCondition(marks), "all lines of programs" if len(words) > 1 else said)


def _either(words: frozenset[str]) -> str:
    return " or ".join(sorted(words))


def _path(token: Token, _: int | None) -> Parsed:
    if token.operator not in {"", "="}:
        raise InvalidFilter(f"A path cannot be compared by {token.operator}; write path:/api/*.", token.start)
    if not token.value.startswith(("/", "*")):
        raise InvalidFilter(
            f"{quoted(token.value)} is not a path; start it with / or with *, which stands for any text.", token.start
        )
    words = frozenset((token.value,))
    return Parsed("path", AccessCondition("path", "", words), f"requests with the path {quoted(token.value)}")


def _method(token: Token, _: int | None) -> Parsed:
    words = frozenset(word.upper() for word in token.value.split(","))
    for word in words:
        if word not in _METHODS or token.operator not in {"", "="}:
            raise InvalidFilter(f"{quoted(word)} is not a method; use one of {', '.join(_METHODS)}.", token.start)
    return Parsed("method", AccessCondition("method", "", words), f"requests with the method {_either(words)}")


def _status(token: Token, _: int | None) -> Parsed:
    if token.operator in {"", "="}:
        words = frozenset(token.value.lower().split(","))
        if all(_STATUS.fullmatch(word) or word == "0" for word in words):
            patterns = frozenset(word.replace("xx", "*") for word in words)
            return Parsed(
                "status", AccessCondition("status", "", patterns), f"requests with the status {_either(words)}"
            )
    elif re.fullmatch(r"\d{1,3}", token.value, re.ASCII):
        condition = AccessCondition("status", token.operator, frozenset(), float(token.value))
        return Parsed("status", condition, f"requests whose status {_RELATIONS[token.operator]} {token.value}")
    raise InvalidFilter(
        f"{quoted(token.operator + token.value)} is not a status; write status:404, status:4xx or status:>=500.",
        token.start,
    )


def _ms(token: Token, _: int | None) -> Parsed:
    duration = duration_ms(token.value, "ms")
    if isinstance(duration, str):
        raise InvalidFilter(f"{quoted(token.value)} {duration}.", token.start)
    if token.operator in {"", "="}:
        raise InvalidFilter(
            f"A duration needs a comparison; write ms:>{token.value[:20]} or ms:<{token.value[:20]}.", token.start
        )
    condition = AccessCondition("ms", token.operator, frozenset(), duration)
    return Parsed("ms", condition, f"requests whose duration {_RELATIONS[token.operator]} {duration:g} ms")


def _words(key: str, words: tuple[str, ...], meaning: str) -> Callable[[Token, int | None], Parsed]:
    def parse(token: Token, _: int | None) -> Parsed:
        chosen = _one_of(token, words, f"a value of {key}:")
        return Parsed(key, WordCondition(key, chosen), f"{meaning} {_either(chosen)}")

    return parse


def _req(token: Token, _: int | None) -> Parsed:
    if token.operator not in {"", "="} or re.fullmatch(REQUEST_ID, token.value) is None:
        raise InvalidFilter(
            f"{quoted(token.value)} is neither the number of a recorded request nor a request id; write req:42.",
            token.start,
        )
    return Parsed("req", RequestCondition(token.value), f"entries of the request {token.value}")


def _reload(token: Token, _: int | None) -> Parsed:
    word = token.value
    is_number = re.fullmatch(r"\d{1,9}", word, re.ASCII) is not None
    if token.operator not in {"", "="} or not (is_number or word == "last"):
        raise InvalidFilter(
            f"{quoted(word)} is not a reload; write reload:last, or a number; reload:0 is the first process.",
            token.start,
        )
    condition = ReloadCondition(word, int(word) if is_number else None)
    return Parsed(
        "reload", condition, "entries after the last reload" if word == "last" else f"entries of reload {word}"
    )


def _moment(operator: str, meaning: str) -> Callable[[Token, int | None], Parsed]:
    def parse(token: Token, now: int | None) -> Parsed:
        moment = "cannot be compared" if token.operator else moment_ms(token.value, now)
        if isinstance(moment, str):
            raise InvalidFilter(f"{quoted(token.value)} {moment}.", token.start)
        return Parsed(token.key, TimeCondition(operator, moment), f"entries {meaning} {token.value}")

    return parse


PARSERS: Mapping[str, Callable[[Token, int | None], Parsed]] = MappingProxyType(
    {
        "level": _level,
        "source": _source,
        "stream": _stream,
        "path": _path,
        "method": _method,
        "status": _status,
        "ms": _ms,
        "who": _words("who", WHO, "requests from"),
        "origin": _words("origin", ORIGINS, "requests by way of"),
        "req": _req,
        "reload": _reload,
        "since": _moment(">=", "since"),
        "until": _moment("<=", "until"),
    }
)
"""Parsers by key; the second argument is the current time in milliseconds since the epoch, or None."""
