"""Read YAML of a stranger: strings, lists and mappings, within bounds.

PyYAML builds values recursively in C, so deeply nested text can crash the process. This reader only uses its parser,
and builds the values itself. Values have no types but text: ``80`` and ``"80"`` are the same. An alias is the same
object as its anchor, so it needs no memory, and none may refer to itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeAlias

import yaml

YamlValue: TypeAlias = "str | list[YamlValue] | dict[str, YamlValue] | None"

_MOST_BYTES: Final = 128 * 1024
_MOST_EVENTS: Final = 20_000
_MOST_DEPTH: Final = 40
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_MERGE: Final = "<<"


class UnreadableYaml(ValueError):
    """The text is no YAML, or more than the bounds allow; the message is the reason, as the end of a sentence."""


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    value: list[YamlValue] | dict[str, YamlValue]
    key: YamlValue = None
    has_key: bool = False
    merged: list[YamlValue] = field(default_factory=list)


@dataclass(slots=True)
class _Reader:
    stack: list[_Open] = field(default_factory=lambda: [_Open([])])
    anchors: dict[str, YamlValue] = field(default_factory=dict)
    names: list[str | None] = field(default_factory=list)
    merged: int = 0

    def take(self, event: yaml.Event, count: int) -> None:
        """Take one event of the parser, the one of this number."""
        if count > _MOST_EVENTS:
            raise UnreadableYaml("it is too long")
        if isinstance(event, yaml.ScalarEvent):
            value = None if event.implicit[0] and event.value in _NULLS else event.value
            self._name(event.anchor, value)
            self._add(value)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            if len(self.stack) > _MOST_DEPTH:
                raise UnreadableYaml("it is nested too deeply")
            self.stack.append(_Open({} if isinstance(event, yaml.MappingStartEvent) else []))
            self.names.append(event.anchor)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = self.stack.pop()
            self._merge(done)
            self._name(self.names.pop(), done.value)
            self._add(done.value)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in self.anchors:
                raise UnreadableYaml("it refers to parts that do not exist, or to itself")
            self._add(self.anchors[event.anchor])

    def _name(self, anchor: str | None, value: YamlValue) -> None:
        if anchor is not None:
            self.anchors[anchor] = value

    def _add(self, value: YamlValue) -> None:
        top = self.stack[-1]
        if isinstance(top.value, list):
            top.value.append(value)
        elif not top.has_key:
            top.key, top.has_key = value, True
        else:
            top.has_key = False
            if top.key == _MERGE:
                top.merged += value if isinstance(value, list) else [value]
            elif isinstance(top.key, str):
                top.value[top.key] = value

    def _merge(self, done: _Open) -> None:
        for one in done.merged:
            if isinstance(one, dict) and isinstance(done.value, dict):
                self.merged += len(one)
                if self.merged > _MOST_EVENTS:
                    raise UnreadableYaml("it merges too much")
                done.value = {**one, **done.value}


def read_yaml(data: bytes) -> YamlValue:
    """Return the value of the first document.

    Raises:
        UnreadableYaml: It is none, or exceeds a bound.
    """
    if len(data) > _MOST_BYTES:
        raise UnreadableYaml(f"it has more than {_MOST_BYTES >> 10} KiB")
    reader = _Reader()
    try:
        for count, event in enumerate(yaml.parse(data.decode("utf-8-sig"), Loader=yaml.CBaseLoader)):
            reader.take(event, count)
            if isinstance(event, yaml.DocumentEndEvent):
                break
    except UnreadableYaml:
        raise
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        problem = str(getattr(error, "problem", None) or "it is not UTF-8 text")[:200]
        raise UnreadableYaml(f"line {mark.line + 1}: {problem}" if mark is not None else problem) from error
    top = reader.stack[0].value
    return top[0] if isinstance(top, list) and top else None
