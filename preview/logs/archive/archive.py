"""Reading of archived logs: pages and searches, as the database gives them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock
from time import thread_time

from preview.core.bounded_dict import BoundedDict
from preview.errors import DatabaseUnavailable
from preview.logs.archive.form import (
    TAIL,
    DamagedFile,
    Frame,
    Index,
    find_lines,
    index_position,
    read_index,
    read_lines,
    unpack,
)
from preview.logs.archive.place import Place, name_of
from preview.logs.filter import Filter
from preview.logs.filter.conditions import TextCondition
from preview.logs.model.batch import Batch, StoredLine, batches_of
from preview.logs.model.events import LogLine
from preview.logs.model.filtering import LineFilter

# Indexes in memory: some 30 bytes for a thousand lines.
_KEPT = 64
# Text of a page; see ``storage.searching.PAGE_CHARACTERS``.
_PAGE_CHARACTERS = 1024 * 1024
# Processor time of one search; then the page ends, and the next one continues there.
_SEARCH_S = 0.25


@dataclass(frozen=True, slots=True)
class Hits:
    """Matching lines of the searched range ``first`` to ``last``."""

    lines: list[LogLine]
    first: int
    last: int


class Archive:
    """The archived logs at one place. Methods block, and are safe in several threads at once.

    Raises, in all methods:
        DatabaseUnavailable: The place does not answer, or the file is damaged.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        self._indexes: BoundedDict[str, Index] = BoundedDict(_KEPT)
        # Two threads that remove the oldest entry at once would remove the same one.
        self._lock = Lock()

    def index(self, preview_id: str) -> Index:
        """Return the index of a preview's file."""
        found = self._indexes.get(preview_id)
        if found is None:
            name = name_of(preview_id)
            size = self.place.size(name)
            with _reported(preview_id):
                tail = self.place.read(name, max(0, size - TAIL.size), TAIL.size)
                at = index_position(tail, size)
                found = read_index(self.place.read(name, at, size - TAIL.size - at))
            with self._lock:
                self._indexes[preview_id] = found
        return found

    def forget(self, preview_id: str) -> None:
        """Forget the index: the file was written again."""
        with self._lock:
            self._indexes.pop(preview_id, None)

    def page(self, preview_id: str, *, after: int, limit: int, below: int | None) -> tuple[list[Batch], bool]:
        """Return up to ``limit`` lines with ``after < seq < below``, and whether a limit was reached."""
        rows: list[StoredLine] = []
        characters = 0
        for frame in self.index(preview_id).frames:
            if frame.last <= after or (below is not None and frame.first >= below):
                continue
            for row in self._rows(preview_id, frame):
                if row[0] <= after or (below is not None and row[0] >= below):
                    continue
                rows.append(row)
                characters += len(row[4])
                if len(rows) >= limit or characters >= _PAGE_CHARACTERS:
                    return batches_of(preview_id, rows), True
        return batches_of(preview_id, rows), False

    def tail(self, preview_id: str, n: int) -> list[LogLine]:
        """Return the last ``n`` lines, oldest first."""
        rows: list[StoredLine] = []
        for frame in reversed(self.index(preview_id).frames):
            rows = self._rows(preview_id, frame)[-(n - len(rows)) :] + rows
            if len(rows) >= n:
                break
        return [line for batch in batches_of(preview_id, rows) for line in batch]

    def find(self, preview_id: str, chosen: LineFilter, *, first: int, last: int, limit: int, newest: bool) -> Hits:
        """Return up to ``limit`` matching lines: the newest, or the oldest."""
        hint = _hint(chosen)
        found: list[LogLine] = []
        until, characters = thread_time() + _SEARCH_S, 0
        frames = [one for one in self.index(preview_id).frames if one.last >= first and one.first <= last]
        for frame in reversed(frames) if newest else frames:
            lines = self._matching(preview_id, frame, chosen, hint, first, last)
            lines = lines[-(limit - len(found)) :] if newest else lines[: limit - len(found)]
            found = lines + found if newest else found + lines
            characters += sum(len(line.message) for line in lines)
            if len(found) >= limit:
                return Hits(found, found[0].seq, last) if newest else Hits(found, first, found[-1].seq)
            if characters >= _PAGE_CHARACTERS or thread_time() >= until:
                edge = max(frame.first, first) if newest else min(frame.last, last)
                return Hits(found, edge, last) if newest else Hits(found, first, edge)
        return Hits(found, first, last)

    def _matching(
        self, preview_id: str, frame: Frame, chosen: LineFilter, hint: bytes | None, first: int, last: int
    ) -> list[LogLine]:
        text = self._text(preview_id, frame)
        with _reported(preview_id):
            rows = find_lines(text, hint) if hint is not None else None
            if rows is None:
                rows = read_lines(text)
        rows = [row for row in rows if first <= row[0] <= last]
        return [batch.line_at(at) for batch in batches_of(preview_id, rows) for at in chosen.positions(batch.columns)]

    def _rows(self, preview_id: str, frame: Frame) -> list[StoredLine]:
        text = self._text(preview_id, frame)
        with _reported(preview_id):
            return read_lines(text)

    def _text(self, preview_id: str, frame: Frame) -> bytes:
        data = self.place.read(name_of(preview_id), frame.offset, frame.size)
        with _reported(preview_id):
            return unpack(data)


class _reported:  # noqa: N801  used like a function
    """Report a damaged file as one that cannot be read now."""

    def __init__(self, preview_id: str) -> None:
        self._preview_id = preview_id

    def __enter__(self) -> None:
        return None

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, DamagedFile):
            raise DatabaseUnavailable(
                f"The archived log of {self._preview_id} cannot be read: {error}.", reason="archive"
            ) from error


def missing(index: Index, first: int, last: int) -> Iterator[tuple[int, int]]:
    """Return the missing numbers of ``first`` to ``last`` as ranges, oldest first."""
    edges = [(0, index.first - 1), *index.holes, (index.last + 1, last)] if index.frames else [(first, last)]
    for low, high in edges:
        low, high = max(low, first), min(high, last)  # noqa: PLW2901  cut to the range
        if low <= high:
            yield low, high


def _hint(chosen: LineFilter) -> bytes | None:
    """Return a text in lower case that each matching line has in the file; None if there is none."""
    words = [chosen.q] if chosen.q else []
    if isinstance(chosen.terms, Filter):
        words += [
            term.condition.words
            for term in chosen.terms.terms
            if isinstance(term.condition, TextCondition) and not term.negated
        ]
    if chosen.request_id:
        words.append(chosen.request_id)
    longest = max(words, key=len, default="")
    # Only such characters are the same in JSON; colours in a message are looked for elsewhere.
    if len(longest) < 2 or not re.fullmatch(r"[ !#-\[\]-~]+", longest):
        return None
    return longest.lower().encode()
