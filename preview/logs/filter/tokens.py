"""Split a filter into tokens: one pass over the text, in linear time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from preview.core.quoting import quoted
from preview.errors import InvalidFilter

_SPACE = re.compile(r"\s*")
_WORD = re.compile(r"[^\s\"]*")
# A key or a field's name, and what compares it with a value. `@` may stand before a field's name only.
_KEY = re.compile(r"(@?)([A-Za-z_$][\w.$/-]{0,127}):(>=|<=|>|<|=)?(?!//)")
_PHRASE = re.compile(r'"((?:[^"\\]|\\.)*+)"(?=[\s)]|$)', re.DOTALL)
# A regular expression ends with a slash before a space or the end; `i` ignores case. In a group, parentheses that close
# it may come before.
_REGEX = re.compile(r"/((?:[^/\\]|\\.|/(?!i?(?:\s|$)))++)/(i?)(?=\s|$)", re.DOTALL)
_REGEX_IN_GROUP = re.compile(r"/((?:[^/\\]|\\.|/(?!i?\)*+(?:\s|$)))++)/(i?)(?=\)*+(?:\s|$))", re.DOTALL)


class Kind(Enum):
    """Form of a token."""

    WORD = "word"
    PHRASE = "phrase"
    REGEX = "regex"
    KEY = "key"
    FIELD = "field"
    OPEN = "open"
    CLOSE = "close"
    OR = "or"


@dataclass(frozen=True, slots=True)
class Token:
    """One term, parenthesis or ``OR`` as written.

    Attributes:
        text: The whole term, with its sign; for a parenthesis only this and its sign.
        start: Position of its first character.
        kind: Form of the term.
        negated: True after a leading ``-``.
        key: The key or the field's name; for a regular expression its flags.
        operator: ``=``, ``>``, ``>=``, ``<`` or ``<=``; empty if none was written.
        value: The value, word, phrase or expression, without quotes.
        is_quoted: True if the value was quoted, so that ``*`` and commas stand for themselves.
    """

    text: str
    start: int
    kind: Kind
    negated: bool
    key: str
    operator: str
    value: str
    is_quoted: bool = False


def tokens_of(text: str) -> list[Token]:
    """Return the tokens of a filter; its parentheses are in pairs.

    Raises:
        InvalidFilter: A quotation mark, a parenthesis or a value is missing.
    """
    found: list[Token] = []
    opened: list[Token] = []
    at = _end_of_space(text, 0)
    while at < len(text):
        token = _token(text, at, in_group=bool(opened))
        found.append(token)
        end = at + len(token.text)
        at = _end_of_space(text, end)
        if token.kind is Kind.OPEN:
            opened.append(token)
        elif token.kind is Kind.CLOSE:
            if not opened:
                raise InvalidFilter("This parenthesis closes no group; put a term that has one in quotes.", end - 1)
            opened.pop()
            if at == end < len(text) and text[end] != ")":
                raise InvalidFilter("A space is missing after the parenthesis.", end)
    if opened:
        raise InvalidFilter(
            "The group does not end: close it with a parenthesis, or put a term that begins with one in quotes.",
            opened[-1].start,
        )
    return found


def _end_of_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _token(text: str, start: int, *, in_group: bool) -> Token:
    after = text[start + 1 : start + 2]
    negated = text[start] == "-" and bool(after) and not after.isspace() and after != ")"
    at = start + negated

    def made(end: int, kind: Kind, value: str, key: str = "", operator: str = "", *, is_quoted: bool = False) -> Token:
        return Token(text[start:end], start, kind, negated, key, operator, value, is_quoted)

    if text[at] in "()":
        return made(at + 1, Kind.OPEN if text[at] == "(" else Kind.CLOSE, "")
    if text[at] == '"':
        phrase, end = _phrase(text, at)
        return made(end, Kind.PHRASE, phrase, is_quoted=True)
    regex = None
    if text[at] == "/":
        regex = _REGEX_IN_GROUP.match(text, at) if in_group else _REGEX.match(text, at)
    if regex is not None:
        return made(regex.end(), Kind.REGEX, regex[1], regex[2])
    if (key := _KEY.match(text, at)) is not None:
        kind = Kind.FIELD if key[1] else Kind.KEY
        if text[key.end() : key.end() + 1] == '"':
            phrase, end = _phrase(text, key.end())
            return made(end, kind, phrase, key[2], key[3] or "", is_quoted=True)
        value = _word(text, key.end())
        if not value:
            raise InvalidFilter(
                f"{quoted(key[0])} has no value; write one right after it, or put the term in quotes to search for it.",
                at,
            )
        return made(key.end() + len(value), kind, value, key[2], key[3] or "")
    word = _word(text, at)
    return made(at + len(word), Kind.OR if word == "OR" and not negated else Kind.WORD, word)


def _word(text: str, at: int) -> str:
    """Return the text up to a space or to a parenthesis that was not opened in it."""
    match = _WORD.match(text, at)
    word = "" if match is None else match[0]
    opened = 0
    for place, letter in enumerate(word):
        opened += (letter == "(") - (letter == ")")
        if opened < 0:
            return word[:place]
    if text[at + len(word) : at + len(word) + 1] == '"':
        raise InvalidFilter(
            f"A quotation mark stands inside the term {quoted(text[at : at + len(word) + 20])}; "
            'put the whole term in quotes, with \\" for a quotation mark in it.',
            at + len(word),
        )
    return word


def _phrase(text: str, at: int) -> tuple[str, int]:
    match = _PHRASE.match(text, at)
    if match is None:
        raise InvalidFilter(
            f"The phrase {quoted(text[at:], 30)} does not end: close it with a quotation mark and a space.", at
        )
    return re.sub(r"\\(.)", r"\1", match[1], flags=re.DOTALL), match.end()
