"""Parser of filters: tokens to terms, or one sentence about the first mistake."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from preview.core.quoting import quoted
from preview.errors import InvalidFilter
from preview.logs.filter.conditions import Condition, FieldCondition, MarkCondition, RegexCondition, TextCondition
from preview.logs.filter.filter import Filter
from preview.logs.filter.keys import LEVEL_TERMS, PARSERS, Parsed, level_condition
from preview.logs.filter.regex import fault_of
from preview.logs.filter.terms import GROUP, Group, Term, TermInfo
from preview.logs.filter.tokens import Kind, Token, tokens_of
from preview.logs.filter.values import NUMBER

MAX_CHARACTERS = 1000
"""Longest filter."""
MAX_TERMS = 30
"""Most terms of one filter, with those in groups."""
MAX_DEPTH = 8
"""Most groups inside each other."""

# Words that are operators elsewhere, and what to write here.
_OPERATORS = {
    "OR": "OR cannot be excluded",
    "AND": "all terms must match anyway; leave AND out",
    "&&": "all terms must match anyway; leave && out",
    "NOT": "a leading - excludes a term; write -error",
    "||": "alternatives have OR between them; write (error OR warn)",
    "|": "alternatives have OR between them; write (error OR warn)",
}
_STRUCTURE = frozenset({Kind.OPEN, Kind.CLOSE, Kind.OR})
# Names that people know from other tools, and what they are here.
_OTHER_NAMES = {
    other: name
    for name, others in {
        "req": "request request_id id", "ms": "duration", "since": "time after", "until": "before", "path": "url route",
        "status": "code", "level": "severity lvl", "who": "user", "method": "verb", "reload": "restart",
        "@message": "message msg event",
    }.items()
    for other in others.split()
}  # fmt: skip


def parse_filter(text: str, now_ms: int | None = None) -> Filter:
    """Parse a filter. Linear in its length.

    Args:
        text: Terms and groups separated by spaces, at most ``MAX_CHARACTERS``.
        now_ms: Moment from which ``since:5m`` counts, in milliseconds since the epoch; by default now.

    Raises:
        InvalidFilter: The filter has a mistake; the message names it, and ``position`` its place.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidFilter(f"The filter is too long: at most {MAX_CHARACTERS} characters are allowed.", MAX_CHARACTERS)
    if "\0" in text:
        raise InvalidFilter("The filter has a NUL character, which no line has; remove it.", text.index("\0"))
    if (surrogate := re.search("[\ud800-\udfff]", text)) is not None:
        raise InvalidFilter("The filter has half of a surrogate pair, which no line has; remove it.", surrogate.start())
    tokens = tokens_of(text)
    terms = [one for one in tokens if one.kind not in _STRUCTURE]
    if len(terms) > MAX_TERMS:
        raise InvalidFilter(f"The filter has too many terms: at most {MAX_TERMS} are allowed.", terms[MAX_TERMS].start)
    parsed = Filter(_Parser(text, tokens, now_ms).terms())
    if (fault := parsed.fault) is not None:
        raise InvalidFilter(fault, 0)
    return parsed


class _Parser:
    """Recursive descent over tokens: alternatives have ``OR`` between them, and are terms and groups in a row."""

    def __init__(self, text: str, tokens: Sequence[Token], now_ms: int | None) -> None:
        self._text = text
        self._tokens = tokens
        self._now_ms = now_ms
        self._at = 0

    def terms(self) -> tuple[Term, ...]:
        """Return the terms that must all match; alternatives become one group."""
        if not self._tokens:
            return ()
        alternatives = self._alternatives(0)
        if len(alternatives) == 1:
            return alternatives[0]
        first, last = self._tokens[0], self._tokens[-1]
        text = self._text[first.start : last.start + len(last.text)]
        return (_group(alternatives, f"({text})", first.start, negated=False),)

    def _alternatives(self, depth: int) -> tuple[tuple[Term, ...], ...]:
        """Read up to the parenthesis that closes the group, or the end."""
        found = [self._row(depth)]
        while self._at < len(self._tokens) and self._tokens[self._at].kind is Kind.OR:
            self._at += 1
            found.append(self._row(depth))
        return tuple(found)

    def _row(self, depth: int) -> tuple[Term, ...]:
        found: list[Term] = []
        while self._at < len(self._tokens) and (token := self._tokens[self._at]).kind not in {Kind.OR, Kind.CLOSE}:
            self._at += 1
            found.append(self._inside(token, depth) if token.kind is Kind.OPEN else _term(token, self._now_ms))
        if not found:
            raise self._missing()
        return tuple(found)

    def _missing(self) -> InvalidFilter:
        """Return the mistake that a term is missing here."""
        near = self._tokens[min(self._at, len(self._tokens) - 1)]
        before = self._tokens[self._at - 1] if self._at else None
        if near.kind is Kind.CLOSE and before is not None and before.kind is Kind.OPEN:
            return InvalidFilter("The group is empty; write terms into it, or put parentheses in quotes.", before.start)
        place = near if near.kind is Kind.OR or before is None else before
        return InvalidFilter(
            'OR needs a term on both sides, such as error OR warn; write "OR" in quotes to search for it.', place.start
        )

    def _inside(self, opened: Token, depth: int) -> Term:
        """Read a group, of which the first parenthesis was read."""
        if depth == MAX_DEPTH:
            raise InvalidFilter(f"The filter has more than {MAX_DEPTH} groups inside each other.", opened.start)
        alternatives = self._alternatives(depth + 1)
        closed = self._tokens[self._at]
        self._at += 1
        text = self._text[opened.start : closed.start + 1]
        return _group(alternatives, text, opened.start, negated=opened.negated)


def _group(alternatives: tuple[tuple[Term, ...], ...], text: str, start: int, *, negated: bool) -> Term:
    said = " or ".join(" and ".join(one.info.text for one in terms) for terms in alternatives)
    infos = [one.info for terms in alternatives for one in terms]
    info = TermInfo(
        text=text,
        start=start,
        kind=GROUP,
        negated=negated,
        sentence=f"{'Without' if negated else 'Only'} entries that match {said}.",
        on_lines=all(one.on_lines for one in infos),
        on_requests=all(one.on_requests for one in infos),
    )
    return Term(Group(alternatives), negated, info)


def _term(token: Token, now_ms: int | None) -> Term:
    kind, condition, meaning = _parsed(token, now_ms)
    # Sources are the one thing that lines have and requests have not.
    on_requests = condition.on_requests and not (isinstance(condition, MarkCondition) and not condition.levels)
    sentence = f"{'Without' if token.negated else 'Only'} {meaning}."
    info = TermInfo(token.text, token.start, kind, token.negated, sentence, condition.on_lines, on_requests)
    return Term(condition, token.negated, info)


def _parsed(token: Token, now_ms: int | None) -> Parsed:
    match token.kind:
        case Kind.REGEX:
            return _regex(token)
        case Kind.FIELD:
            return _field(token)
        case Kind.KEY:
            return _key(token, now_ms)
        case Kind.WORD:
            return _word(token)
        case _:
            return _text(token)


def _text(token: Token) -> Parsed:
    if not token.value:
        raise InvalidFilter(
            "The phrase is empty; write the text to search for between the quotation marks.", token.start
        )
    return Parsed("text", TextCondition(token.value), f"entries with the text {quoted(token.value)}")


def _word(token: Token) -> Parsed:
    word = token.value
    if word in _OPERATORS:
        raise InvalidFilter(
            f"{quoted(word)} is not an operator here: {_OPERATORS[word]}. Put it in quotes to search for it.",
            token.start,
        )
    level = LEVEL_TERMS.get(word.lower())
    if level is not None:
        return level_condition(level, ">=")
    if word.startswith("@"):
        raise InvalidFilter(
            f"{quoted(word)} has no value; write a field as @name:value, or @name:* if any value will do.", token.start
        )
    return _text(token)


def _regex(token: Token) -> Parsed:
    ignores_case = token.key == "i"
    fault = fault_of(token.value, ignores_case=ignores_case)
    if fault is not None:
        raise InvalidFilter(f"The regular expression {quoted(token.value)} {fault}.", token.start)
    ignoring = ", ignoring case" if ignores_case else ""
    condition: Condition = RegexCondition(token.value, ignores_case)
    return Parsed(
        "regex", condition, f"entries in which the regular expression {quoted(token.value)} is found{ignoring}"
    )


def _field(token: Token) -> Parsed:
    operator = token.operator or "="
    if operator != "=" and NUMBER.fullmatch(token.value) is None:
        raise InvalidFilter(
            f"{quoted(token.value)} is not a number; a field is compared by {operator} with numbers only.", token.start
        )
    named = f"the field {quoted(token.key)}"
    meaning = (
        f"entries with {named}" if token.value == "*" else f"entries with {named} {_relation(operator)} {token.value}"
    )
    return Parsed("field", FieldCondition(token.key, operator, token.value, token.is_quoted), meaning)


def _relation(operator: str) -> str:
    return {"=": "equal to", ">": "above", ">=": "of at least", "<": "below", "<=": "of at most"}[operator]


def _key(token: Token, now_ms: int | None) -> Parsed:
    parse = PARSERS.get(token.key)
    if parse is not None:
        return parse(token, now_ms)
    known = ", ".join(PARSERS)
    other = _OTHER_NAMES.get(token.key.lower())
    close = get_close_matches(token.key.lower(), PARSERS, 1) if other is None else [other]
    meant = f"did you mean {close[0]}? " if close else ""
    raise InvalidFilter(
        f"{quoted(token.key)} is not a term; {meant}The terms are {known}; "
        f"write @{token.key[:40]}: for a field of JSON lines, or put the term in quotes to search for it.",
        token.start,
    )
