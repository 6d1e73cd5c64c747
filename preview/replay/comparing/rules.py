"""Saved rules that leave a path out of comparisons."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from preview.core.quoting import quoted
from preview.errors import InvalidRequest
from preview.replay.comparing.differences import pattern_of

MOST_RULES = 200
_MOST_CHARACTERS = 300
_RULE = re.compile(r"(?:(?P<method>[A-Z*]{1,16}) )?(?:(?P<endpoint>/[^\s]*) )?(?P<path>(?:\$|text|body|header)[^\s]*)")


@dataclass(frozen=True, slots=True)
class _Rule:
    method: str | None
    endpoint: str | None
    path: str


class IgnoreRules:
    """Rules such as ``$.items[*].updated_at``, ``GET /books $.total`` or ``header.x-served-by``.

    A path also covers everything below it. ``[*]`` is any index.

    Args:
        texts: The rules.

    Raises:
        InvalidRequest: There are too many, or one cannot be read.
    """

    def __init__(self, texts: Sequence[str] = ()) -> None:
        if len(texts) > MOST_RULES:
            raise InvalidRequest(f"There are more than {MOST_RULES} rules of ignored paths; remove some.")
        self._rules = [_parsed(text) for text in texts]

    def covers(self, method: str, endpoint: str, path: str) -> bool:
        """Return whether a path of an endpoint's answer is ignored."""
        pattern = pattern_of(path)
        return any(_covers(rule, method, endpoint, path, pattern) for rule in self._rules)


def _parsed(text: str) -> _Rule:
    found = _RULE.fullmatch(text.strip()) if len(text) <= _MOST_CHARACTERS else None
    if found is None:
        raise InvalidRequest(
            f"{quoted(text)} is not a rule of an ignored path; write `$.items[*].id` or `GET /books $.total`."
        )
    return _Rule(found["method"], found["endpoint"], found["path"])


def _covers(rule: _Rule, method: str, endpoint: str, path: str, pattern: str) -> bool:
    if rule.method not in (None, "*", method) or rule.endpoint not in (None, endpoint):
        return False
    return any(_is_below(one, rule.path) for one in (path, pattern))


def _is_below(path: str, parent: str) -> bool:
    return path == parent or (path.startswith(parent) and path[len(parent)] in ".[")
