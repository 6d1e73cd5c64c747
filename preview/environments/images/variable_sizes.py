"""Bound what a Dockerfile's variables grow to when the engine fills them in.

``ENV A=$A$A`` doubles a value. The engine fills it in itself, in its own memory, which no limit of a build bounds. So
the greatest length that a line can have is computed here, without making it. An escaped ``$`` counts as a variable too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from preview.core.quoting import quoted

MOST_LINE: Final = 64 * 1024
"""Characters of an instruction after its variables are filled in."""

MOST_IN_ALL: Final = 1024 * 1024
"""Characters of all instructions that set variables, after these are filled in."""

# A variable of the base image, such as PATH.
_UNKNOWN: Final = 300
# Each $ is one. The engine's names are also digits, single signs, and letters of any alphabet: these have no group.
_REFERENCE: Final = re.compile(r"\$(?:\{?([A-Za-z_][A-Za-z0-9_]*+)(?![^\x00-\x7f]))?")
# Newer engines replace each match of a pattern by a text, so that the value multiplies.
_REPLACES: Final = re.compile(r"\$\{(?:\w*+|[@*#?$!-])/")
_NO_NAME: Final = re.compile(r"\W")
_FILLED: Final = frozenset({"ADD", "ARG", "COPY", "ENV", "EXPOSE", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"})


class TooLong(Exception):
    """The sentence for the person."""


@dataclass(slots=True)
class VariableSizes:
    """Greatest lengths of variables, in any stage so far.

    Attributes:
        given: Values of ``ARG`` that the build gets.
    """

    given: Mapping[str, str]
    _sizes: dict[str, int] = field(default_factory=dict)
    _any: int = 0
    _total: int = 0
    _most: int = _UNKNOWN

    def __post_init__(self) -> None:
        self._most = max((_UNKNOWN, *map(len, self.given.values())))

    def note(self, word: str, rest: str) -> None:
        """Note an instruction.

        Raises:
            TooLong: It becomes too long, all instructions that set variables become too long together, or its length
                is not known.
        """
        if word not in _FILLED:
            return
        if found := _REPLACES.search(rest):
            raise TooLong(f"{quoted(found[0][:60])} in {word} is not supported here; write the value out")
        size = len(rest) + sum(self._size(name) if name else self._most for name in _REFERENCE.findall(rest))
        if size > MOST_LINE:
            raise TooLong(f"{word} has more than {MOST_LINE >> 10} KiB when its variables are filled in; shorten them")
        if word not in ("ARG", "ENV"):
            return
        self._total += size
        if self._total > MOST_IN_ALL:
            raise TooLong(f"variables have more than {MOST_IN_ALL >> 10} KiB when they are filled in; shorten them")
        self._most = max(self._most, size)
        for number, token in enumerate(rest.split()):
            key = token.partition("=")[0]
            if "$" in key:
                # The engine fills in names too: any variable may be the one.
                self._any = max(self._any, size)
            elif "=" in token or not number:
                # It takes quotes and escapes out of names.
                name = _NO_NAME.sub("", key)
                self._sizes[name] = max(size, self._sizes.get(name, 0))

    def _size(self, name: str) -> int:
        return max(self._sizes.get(name, _UNKNOWN), self._any, len(self.given.get(name, "")))
