"""Conditions that terms stand for, on columns of lines and on recorded requests: levels, sources and texts.

Conditions are immutable values, so that equal filters share encoded lines. Compiled forms are cached elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import thread_time
from typing import ClassVar

from preview.core.escapes import without_colours
from preview.core.quoting import quoted
from preview.logs.filter.facts import Facts, RequestFacts
from preview.logs.filter.fields import last_names
from preview.logs.filter.regex import fault_of, pattern_of
from preview.logs.filter.subjects import Record
from preview.logs.filter.values import COMPARE, NUMBER, glob
from preview.logs.model.events import Level
from preview.logs.model.filtering import Columns, ascii_lower, text_finder

Positions = Sequence[int]

# A record of a failed request counts as an error, like its access line.
_FAILED = 500
# Lines and characters between two readings of the clock.
_PART_LINES = 64
_PART_CHARACTERS = 8192


class Condition:
    """One condition.

    Attributes:
        on_lines: True if the condition can be decided for log lines.
        on_requests: True if it can be decided for recorded requests.
        cost: Order of evaluation: conditions of low cost first.
    """

    on_lines: ClassVar[bool] = True
    on_requests: ClassVar[bool] = True
    cost: ClassVar[int] = 0

    def keep(self, lines: Columns, found: Positions, *, negated: bool) -> Positions:
        """Return those of the positions ``found`` at which the condition holds, or with ``negated`` does not."""
        raise NotImplementedError

    def holds_for(self, record: Record) -> bool:
        """Return True if the condition holds for a recorded request."""
        raise NotImplementedError

    @property
    def needs_facts(self) -> bool:
        """True if facts are read from the text; then ``keep`` only leaves out lines that cannot pass."""
        return False

    def test_at(self, lines: Columns, found: Positions) -> Callable[[int, Facts], bool]:
        """Return the exact test of one of the positions ``found`` and the facts of its line."""
        passing = frozenset(self.keep(lines, found, negated=False))
        return lambda at, _: at in passing

    def holds_with(self, record: Record, facts: Facts) -> bool:  # noqa: ARG002  most conditions need no facts
        """Return True if the condition holds for a recorded request with these facts."""
        return self.holds_for(record)

    @property
    def fault(self) -> str | None:
        """One sentence if the condition cannot be decided any more; None otherwise."""
        return None


@dataclass(frozen=True, slots=True)
class MarkCondition(Condition):
    """Lines with one of these marks: levels and sources.

    Attributes:
        marks: Passing marks, in order.
        levels: Levels that pass, for recorded requests; empty for sources, which recorded requests do not have.
    """

    marks: bytes
    levels: frozenset[Level] = frozenset()

    def keep(self, lines: Columns, found: Positions, *, negated: bool) -> Positions:
        """Compare marks."""
        marks, passing = lines.marks, self.marks
        if negated:
            return [at for at in found if marks[at] not in passing]
        return [at for at in found if marks[at] in passing]

    def holds_for(self, record: Record) -> bool:
        """Compare the level that the request's access line would have."""
        level = Level.ERROR if record.status >= _FAILED or record.error is not None else Level.INFO
        return level in self.levels


class MessageCondition(Condition):
    """A condition on the text of a line."""

    cost: ClassVar[int] = 1

    def finder(self) -> Callable[[str], bool]:
        """Return the test of one message."""
        raise NotImplementedError

    def keep(self, lines: Columns, found: Positions, *, negated: bool) -> Positions:
        """Test the messages."""
        has, messages = self.finder(), lines.messages
        if negated:
            return [at for at in found if not has(messages[at])]
        return [at for at in found if has(messages[at])]

    def holds_for(self, record: Record) -> bool:
        """Test the record's first line."""
        return self.finder()(_text_of(record))


def _text_of(record: Record) -> str:
    return f"{record.method} {record.target} {record.status} {record.error or ''}".rstrip()


@dataclass(frozen=True, slots=True)
class TextCondition(MessageCondition):
    """Lines that contain a text, see ``LineFilter.q``."""

    words: str

    def finder(self) -> Callable[[str], bool]:
        """Return the search."""
        return text_finder(self.words)


@dataclass(frozen=True, slots=True)
class RegexCondition(MessageCondition):
    """Lines in which a regular expression is found; colours are ignored."""

    cost: ClassVar[int] = 2

    pattern: str
    ignores_case: bool

    @property
    def fault(self) -> str | None:
        """One sentence if the expression has used too much time; then no line passes. None otherwise."""
        fault = fault_of(self.pattern, ignores_case=self.ignores_case)
        return None if fault is None else f"The regular expression {quoted(self.pattern)} {fault}."

    def finder(self) -> Callable[[str], bool]:
        """Return the search."""
        pattern = pattern_of(self.pattern, ignores_case=self.ignores_case)
        return lambda message: pattern.has(without_colours(message) if "\x1b" in message else message)

    def keep(self, lines: Columns, found: Positions, *, negated: bool) -> Positions:
        """Search the messages, in parts, as long as the expression's allowance of time lasts."""
        pattern, has, messages = pattern_of(self.pattern, ignores_case=self.ignores_case), self.finder(), lines.messages
        kept: list[int] = []
        at = 0
        while at < len(found) and not pattern.is_slow:
            start, characters, started = at, 0, thread_time()
            while at < len(found) and at - start < _PART_LINES and characters < _PART_CHARACTERS:
                message = messages[found[at]]
                characters += len(message)
                if has(message) is not negated:
                    kept.append(found[at])
                at += 1
            pattern.charge(thread_time() - started, at - start, characters)
        return [] if pattern.is_slow else kept


class FactCondition(Condition):
    """A condition on facts that are read from the text. ``keep`` only leaves out lines that cannot pass."""

    @property
    def needs_facts(self) -> bool:
        """Always True."""
        return True

    def test(self) -> Callable[[Facts], bool]:
        """Return the test of the facts of one line or request."""
        raise NotImplementedError

    def test_at(self, lines: Columns, found: Positions) -> Callable[[int, Facts], bool]:  # noqa: ARG002  facts suffice
        """Return the test of the facts."""
        test = self.test()
        return lambda _, facts: test(facts)

    def holds_with(self, record: Record, facts: Facts) -> bool:  # noqa: ARG002  facts suffice
        """Test the facts."""
        return self.test()(facts)

    def holds_for(self, record: Record) -> bool:
        """Test the record's facts."""
        return self.test()(RequestFacts(record))


@dataclass(frozen=True, slots=True)
class FieldCondition(FactCondition):
    """Lines with a field that compares with a value.

    Attributes:
        path: Names joined by dots.
        operator: See ``COMPARE``.
        value: Text, or a number for a comparison other than ``=``.
        is_literal: True if ``*`` stands for itself.
    """

    cost: ClassVar[int] = 3

    path: str
    operator: str
    value: str
    is_literal: bool

    @property
    def names(self) -> tuple[str, ...]:
        """Names of which a line with the field has at least one."""
        return last_names(self.path)

    def keep(self, lines: Columns, found: Positions, *, negated: bool) -> Positions:
        """Leave out lines without the name."""
        if negated:
            return found
        names, messages = self.names, lines.messages
        return [at for at in found if any(name in messages[at] for name in names)]

    def test(self) -> Callable[[Facts], bool]:
        """Return the comparison."""
        path, passes = self.path, self._passes()
        return lambda facts: any(map(passes, facts.values(path)))

    def _passes(self) -> Callable[[object], bool]:
        wanted = float(self.value) if NUMBER.fullmatch(self.value) else None
        if self.operator in {"", "="}:
            literal = ascii_lower(self.value)
            same = literal.__eq__ if self.is_literal else glob(self.value, ignores_case=True)
            return lambda value: (
                same(ascii_lower(_word_of(value)))
                or (wanted is not None and not self.is_literal and _number_of(value) == wanted)
            )
        compare = COMPARE[self.operator]
        return lambda value: (
            wanted is not None and (number := _number_of(value)) is not None and compare(number, wanted)
        )


def _word_of(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    return ""


def _number_of(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        try:
            return float(value)
        except OverflowError:
            return None
    return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else None
