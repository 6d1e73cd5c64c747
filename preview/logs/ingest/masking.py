"""Masking of secrets in a process's output, before its lines are stored or sent.

The search is one automaton over all values (Aho and Corasick, 1975): its time is linear in the output, whatever the
number of secrets and whatever a hostile program prints.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from ahocorasick_rs import BytesAhoCorasick, MatchKind

MASK = "••••"
"""Stands in place of a secret."""

LEAST_CHARACTERS = 6
"""Shorter values occur by chance, so they are not masked."""

# Building the automaton takes some 20 ms at this size.
_MOST_BYTES = 256 * 1024
# Bytes of a secret's beginning that are kept back from an unfinished line: fewer occur by chance.
_LEAST_BEGINNING, _MOST_BEGINNING = 3, 1024
_MASK = MASK.encode()
_LINE_ENDS = re.compile(r"[\r\n]+")


class SecretMask:
    """The secrets of one preview. Values are added, and never shown.

    Attributes:
        is_active: True if there is anything to mask.
        longest: Length in bytes of the longest value.
        dropped: Number of values that are not masked any more, because there are too many.
    """

    def __init__(self) -> None:
        self.is_active = False
        self.longest = 0
        self.dropped = 0
        # Newest last; the order of insertion decides what is dropped.
        self._values: dict[bytes, None] = {}
        self._sorted: list[bytes] = []
        self._search: BytesAhoCorasick | None = None

    def add(self, values: Iterable[str]) -> None:
        """Mask these values from now on: exact, as text in JSON, and as part of a URL; long values line by line."""
        forms = {form: None for value in values for form in _forms(value)}
        if not forms.keys() - self._values.keys():
            return
        for form in forms:
            self._values.pop(form, None)
        self._values |= forms
        self._bound()
        self._sorted = sorted(self._values)
        self.longest = max(map(len, self._sorted))
        self._search = BytesAhoCorasick(self._sorted, matchkind=MatchKind.LeftmostLongest)
        self.is_active = True

    def _bound(self) -> None:
        size = sum(map(len, self._values))
        for value in list(self._values):
            if size <= _MOST_BYTES:
                break
            size -= len(value)
            del self._values[value]
            self.dropped += 1

    def masked(self, data: bytes | bytearray, before: int | None = None) -> bytes:
        """Return the data with each secret replaced.

        Args:
            data: Output.
            before: Secrets that begin at this position or later stay, because more output may follow.
        """
        found = [] if self._search is None else self._search.find_matches_as_indexes(bytes(data))
        if not found:
            return bytes(data)
        parts: list[bytes] = []
        done = 0
        for _, start, end in found:
            if before is not None and start >= before:
                break
            parts += (bytes(data[done:start]), _MASK)
            done = end
        return b"".join((*parts, data[done:]))

    def beginning(self, data: bytes | bytearray) -> int:
        """Return how many bytes at the end of ``data`` may be the beginning of a secret."""
        tail = bytes(data[-_MOST_BEGINNING:])
        for size in range(len(tail), _LEAST_BEGINNING - 1, -1):
            end = tail[-size:]
            at = bisect_left(self._sorted, end)
            if at < len(self._sorted) and self._sorted[at].startswith(end):
                return size
        return 0


def _forms(value: str) -> Iterator[bytes]:
    """Yield each form in which programs print a value. Output is split into lines, so is the value."""
    value = value.strip()
    in_json = (json.dumps(value, ensure_ascii=is_ascii)[1:-1] for is_ascii in (True, False))
    for text in (*_LINE_ENDS.split(value), *in_json, quote(value, safe="", errors="surrogatepass")):
        if len(text) >= LEAST_CHARACTERS:
            yield text.encode("utf-8", "surrogatepass")
