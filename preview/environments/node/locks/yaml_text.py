"""YAML as plain texts, lists and mappings, within bounds.

The reader's own way to build values calls itself for each level, in C: text that is nested deeply enough ends the
process. So it only takes the text apart here, and the values are put together without a call for each level.
"""

from __future__ import annotations

from typing import Final, Protocol

import yaml

from preview.environments.node.locks.pins import UnreadableLock

# pnpm's deepest entry has six levels.
_MAX_DEPTH: Final = 24


class _Open(Protocol):
    """A list or a mapping whose end has not come yet."""

    @property
    def value(self) -> object: ...

    def add(self, item: object) -> None: ...


class _OpenList:
    def __init__(self) -> None:
        self.value: list[object] = []

    def add(self, item: object) -> None:
        self.value.append(item)


class _OpenMapping:
    def __init__(self) -> None:
        self.value: dict[str, object] = {}
        self._key: str | None = None

    def add(self, item: object) -> None:
        if self._key is not None:
            self.value[self._key], self._key = item, None
        elif isinstance(item, str):
            self._key = item
        else:
            raise UnreadableLock("one of its keys is no text")


def read_yaml(data: bytes) -> object:
    """The first document of a file, every plain value as text.

    Raises:
        UnreadableLock: It is no YAML, nested too deeply, or refers to itself.
    """
    top = _OpenList()
    stack: list[_Open] = [top]
    try:
        for event in yaml.parse(data.decode("utf-8-sig"), Loader=yaml.CBaseLoader):
            _take(event, stack)
            if isinstance(event, yaml.DocumentEndEvent):
                break
    except (yaml.YAMLError, ValueError) as error:
        raise UnreadableLock(_reason(error)) from error
    return top.value[0] if top.value else None


def _take(event: yaml.Event, stack: list[_Open]) -> None:
    if isinstance(event, yaml.ScalarEvent):
        stack[-1].add(event.value)
    elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
        if len(stack) > _MAX_DEPTH:
            raise UnreadableLock("it is nested too deeply")
        stack.append(_OpenMapping() if isinstance(event, yaml.MappingStartEvent) else _OpenList())
    elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
        done = stack.pop()
        stack[-1].add(done.value)
    elif isinstance(event, yaml.AliasEvent):
        raise UnreadableLock("it refers to parts of itself")


def _reason(error: Exception) -> str:
    if isinstance(error, UnreadableLock):
        return str(error)
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it is no text in UTF-8"
    return f"line {mark.line + 1}: {problem}" if mark is not None else str(problem)
