"""Text that matches a simple regular expression. No expression is ever run: the text is made from its parts."""

from __future__ import annotations

from typing import Final

_MAX_PATTERN: Final = 200
_MAX_TEXT: Final = 1_000
_MAX_DEPTH: Final = 10
_CLASSES: Final = {"d": "1", "w": "a", "s": " ", "D": "a", "W": "-", "S": "a"}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}


class _NotSimple(Exception):
    """The pattern uses more than this module understands."""


def text_for_pattern(pattern: str, shortest: int, longest: int | None) -> str | None:
    """Return a text that matches; None if the pattern is not simple.

    Simple patterns have characters, classes, groups, alternatives and repeats, and anchors at their ends.

    Args:
        pattern: A regular expression of ECMAScript.
        shortest: Least number of characters.
        longest: Most number of characters; None for any.
    """
    if len(pattern) > _MAX_PATTERN:
        return None
    for repeats in (1, 0, 2, 3, 5, 8, shortest):
        try:
            text = _Writer(pattern, min(repeats, _MAX_TEXT)).write()
        except (_NotSimple, RecursionError):
            return None
        if len(text) >= shortest and (longest is None or len(text) <= longest):
            return text
    return None


class _Writer:
    """Writes one text while it reads the pattern. Open repeats are written ``repeats`` times."""

    def __init__(self, pattern: str, repeats: int) -> None:
        inner = pattern.removeprefix("^")
        self._left = inner if inner.endswith("\\$") else inner.removesuffix("$")
        self._at = 0
        self._repeats = repeats

    def write(self) -> str:
        text = self._alternatives(0)
        if self._at < len(self._left):
            raise _NotSimple
        return text

    def _peek(self) -> str:
        return self._left[self._at] if self._at < len(self._left) else ""

    def _take(self) -> str:
        one = self._peek()
        if not one:
            raise _NotSimple
        self._at += 1
        return one

    def _alternatives(self, depth: int) -> str:
        if depth > _MAX_DEPTH:
            raise _NotSimple
        first = self._sequence(depth)
        while self._peek() == "|":
            self._take()
            self._sequence(depth)
        return first

    def _sequence(self, depth: int) -> str:
        text = ""
        while self._peek() not in ("", "|", ")"):
            text += self._atom(depth) * self._times()
            if len(text) > _MAX_TEXT:
                raise _NotSimple
        return text

    def _atom(self, depth: int) -> str:
        match self._take():
            case "(":
                if self._peek() == "?":
                    self._take()
                    if self._take() != ":":
                        raise _NotSimple
                text = self._alternatives(depth + 1)
                if self._take() != ")":
                    raise _NotSimple
                return text
            case "[":
                return self._class()
            case "\\":
                return self._escape()
            case ".":
                return "a"
            case "^" | "$" | "*" | "+" | "?" | "{":
                raise _NotSimple
            case one:
                return one

    def _escape(self) -> str:
        one = self._take()
        if one in _CLASSES:
            return _CLASSES[one]
        if one in _CONTROLS:
            return _CONTROLS[one]
        if one.isalnum():
            raise _NotSimple
        return one

    def _class(self) -> str:
        if self._peek() == "^":
            raise _NotSimple
        first = ""
        while (one := self._take()) != "]":
            text = self._escape() if one == "\\" else one
            first = first or text
        if not first:
            raise _NotSimple
        return first

    def _times(self) -> int:
        match self._peek():
            case "*":
                least, most = 0, None
            case "+":
                least, most = 1, None
            case "?":
                least, most = 0, 1
            case "{":
                return self._lazy(self._counted())
            case _:
                return 1
        self._take()
        return self._lazy(self._bounded(least, most))

    def _counted(self) -> int:
        end = self._left.find("}", self._at)
        low, comma, high = self._left[self._at + 1 : end].partition(",")
        if end < 0 or not low.isdecimal() or len(low) > 4 or (high and (not high.isdecimal() or len(high) > 4)):
            raise _NotSimple
        self._at = end + 1
        least = int(low)
        return self._bounded(least, int(high) if high else None if comma else least)

    def _bounded(self, least: int, most: int | None) -> int:
        times = max(least, self._repeats)
        return min(times if most is None else min(times, most), _MAX_TEXT)

    def _lazy(self, times: int) -> int:
        if self._peek() == "?":
            self._take()
        return times
