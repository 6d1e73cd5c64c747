"""Expectations of an answer, such as ``$.items[0].title == "Emma"`` and ``$.items[*].id is number``."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass

from preview.core.quoting import quoted
from preview.errors import InvalidRequest
from preview.replay.comparing.answer import Answer, Json, content_of, fields_of
from preview.replay.comparing.shapes import Shape, shape_of

_MOST_CHARACTERS = 2000
_MOST_VALUES = 10_000
_MOST_SHOWN = 200
_EXPECTATION = re.compile(
    r"(?P<path>(?:\$|header|text)(?:\['[^']*'\]|[^\s'])*+) "
    r"(?:(?P<verb>==|!=|contains) (?P<value>.+)|is (?P<type>[a-z]+)|(?P<exists>exists))",
    re.DOTALL,
)
_STEP = re.compile(r"\.(?P<name>[A-Za-z0-9_-]+)|\[(?P<index>\d{1,9})\]|(?P<every>\[\*\])|\['(?P<key>[^']*)'\]")
_TYPES: dict[str, Callable[[Json], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "text": lambda value: isinstance(value, str),
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "id": lambda value: shape_of(value) in (Shape.ID, Shape.NUMBER, Shape.TOKEN),
    "time": lambda value: shape_of(value) in (Shape.TIME, Shape.NUMBER),
    "token": lambda value: isinstance(value, str) and len(value) >= 4,
}


@dataclass(frozen=True, slots=True)
class Content:
    """An answer that is parsed once for many expectations.

    Attributes:
        root: Name of its root: see ``content_of``.
        value: Its value.
        fields: Header fields that are compared.
        text: The content as text; of large content, its beginning.
    """

    root: str
    value: Json
    fields: dict[str, Json]
    text: str

    @classmethod
    def of(cls, answer: Answer) -> Content:
        """Return the content of an answer. Takes time: parses it."""
        return cls(*content_of(answer), dict(fields_of(answer)), answer.body.decode("utf-8", "replace"))


@dataclass(frozen=True, slots=True)
class Expectation:
    """One expectation of an answer.

    Attributes:
        text: As it is written.
        path: ``$…``, ``header.NAME`` or ``text``.
        verb: ``==``, ``!=``, ``contains``, ``is`` or ``exists``.
        value: The value, or the type's name.
    """

    text: str
    path: str
    verb: str
    value: Json

    @classmethod
    def parse(cls, text: str) -> Expectation:
        """Return a parsed expectation.

        Raises:
            InvalidRequest: It cannot be read.
        """
        found = _EXPECTATION.fullmatch(text.strip()) if len(text) <= _MOST_CHARACTERS else None
        if found is None:
            raise _wrong(text, 'write `$.title == "Emma"`, `$.items[*].id is number` or `header.location exists`')
        _steps(found["path"], text)
        if found["exists"]:
            return cls(text, found["path"], "exists", None)
        if found["type"]:
            if found["type"] not in _TYPES:
                raise _wrong(text, f"use one of the types {', '.join(_TYPES)}")
            return cls(text, found["path"], "is", found["type"])
        try:
            value = json.loads(found["value"])
        except (ValueError, RecursionError):
            raise _wrong(text, 'the value must be JSON, with text in double quotes: "Emma"') from None
        return cls(text, found["path"], found["verb"], value)

    def problem(self, content: Content) -> str | None:
        """Return a sentence about how an answer misses the expectation; None if it meets it."""
        values = _values(content, self.path, self.text)
        if not values:
            return None if "[*]" in self.path and self.verb != "exists" else f"{self.path} is missing."
        for value in values:
            if not self._is_met(value):
                return f"{self.text}: it is {_shown(value)}."
        return None

    def _is_met(self, value: Json) -> bool:
        if self.verb == "exists":
            return True
        if self.verb == "is":
            return _TYPES[str(self.value)](value)
        if self.verb == "contains":
            text = "\n".join(map(str, value)) if isinstance(value, list) else value
            return isinstance(text, str) and isinstance(self.value, str) and self.value in text
        is_equal = _is_equal(value, self.value)
        return is_equal if self.verb == "==" else not is_equal


def _is_equal(first: Json, second: Json) -> bool:
    if isinstance(first, bool) is not isinstance(second, bool):
        return False
    try:
        return first == second
    except RecursionError:
        return False


def _values(content: Content, path: str, text: str) -> list[Json]:
    """Return the values at a path; ``[*]`` stands for each element."""
    if path.startswith("header"):
        values: list[Json] = [content.fields]
    elif path.startswith("text"):
        return [content.text]
    elif content.root != "$":
        return []
    else:
        values = [content.value]
    for step in _steps(path, text):
        values = [one for value in values for one in _below(value, step)][:_MOST_VALUES]
    return values


def _steps(path: str, text: str) -> list[re.Match[str]]:
    steps: list[re.Match[str]] = []
    at = len(re.match(r"\$|header|text", path)[0])  # type: ignore[index]  # the pattern has matched it
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise _wrong(text, f"the path {quoted(path)} cannot be read at character {at + 1}")
        steps.append(step)
        at = step.end()
    return steps


def _below(value: Json, step: re.Match[str]) -> list[Json]:
    if step["every"]:
        return list(value) if isinstance(value, list) else []
    if step["index"] is not None:
        at = int(step["index"])
        return [value[at]] if isinstance(value, list) and at < len(value) else []
    name = step["name"] if step["name"] is not None else step["key"]
    return [value[name]] if isinstance(value, dict) and name in value else []


def _shown(value: Json) -> str:
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        text = "deeply nested"
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}…"


def _wrong(text: str, advice: str) -> InvalidRequest:
    return InvalidRequest(f"The expectation {quoted(text[:200])} cannot be read: {advice}.", expectation=text[:200])
