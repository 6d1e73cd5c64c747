"""Compares two tables row by row, whatever they come from. See ``preview_compare``."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol
else:
    Protocol = object

_MOST_BYTES = 64 * 1024 * 1024
_MOST_ROWS = 500_000
# Of each kind of change.
_SAMPLES = 3
_SAMPLE_COLUMNS = 50
_SAMPLE_CHARACTERS = 200
_SAMPLES_BYTES = 256 * 1024
# Rows between two looks at the clock.
_ROWS_AT_ONCE = 4096

Row = Hashable


class TimeUp(Exception):
    """The time for the comparison is over."""


class Table(Protocol):
    """A table of one snapshot.

    Attributes:
        columns: Names of its columns.
        key: Columns of its primary key; empty without one.
        count: Number of rows.
        size_bytes: Size of all rows, about.
    """

    columns: Sequence[str]
    key: Sequence[str]
    count: int
    size_bytes: int

    def rows(self) -> Iterator[Row]:
        """Yield the rows, each hashable; equal rows of two tables with the same columns are equal."""
        raise NotImplementedError

    def fields(self, row: Row) -> Sequence[Hashable]:
        """Return a row's values in the table's own form; equal values are equal."""
        raise NotImplementedError

    def texts(self, row: Row) -> Sequence[str | None]:
        """Return a row's values for people; None for NULL."""
        raise NotImplementedError


class Comparer:
    """Compares tables until its time is over.

    Attributes:
        is_cut: Whether something was left out.
    """

    def __init__(self, seconds: float) -> None:
        self.is_cut = False
        self._deadline = time.monotonic() + seconds
        self._samples_bytes = _SAMPLES_BYTES

    def compare(self, name: str, before: Table | None, after: Table | None) -> dict[str, object] | None:
        """Return how a table has changed; None if it has not. A table that is missing is None."""
        try:
            if before is None or after is None:
                return self._one_side(name, before, after)
            if max(before.size_bytes, after.size_bytes) > _MOST_BYTES or max(before.count, after.count) > _MOST_ROWS:
                return self._counted(name, before, after, "too large to be compared")
            return self._both(name, before, after)
        except TimeUp:
            if before is None or after is None:
                return None
            return self._counted(name, before, after, "not compared for lack of time")

    def look_at_clock(self) -> None:
        """Raise TimeUp if the time is over."""
        if time.monotonic() > self._deadline:
            raise TimeUp

    def _one_side(self, name: str, before: Table | None, after: Table | None) -> dict[str, object] | None:
        samples: list[object] = []
        table = after or before
        if table is None:
            return None
        if table.size_bytes <= _MOST_BYTES:
            for row in self._clocked(table.rows()):
                if len(samples) == _SAMPLES:
                    break
                shown = self._shown(table, row)
                samples.append(_sample("added", None, shown) if after else _sample("removed", shown, None))
        note = "The table is new." if after else "The table is gone."
        counts = (after.count, 0, 0) if after else (0, 0, table.count)
        return _change(name, counts, samples, note)

    def _counted(self, name: str, before: Table, after: Table, why: str) -> dict[str, object]:
        self.is_cut = True
        more = after.count - before.count
        note = f"It is {why}: {before.count} rows before, {after.count} after."
        return _change(name, (max(more, 0), 0, max(-more, 0)), [], note)

    def _both(self, name: str, before: Table, after: Table) -> dict[str, object] | None:
        """Compare rows as multisets first, as most are equal; then match the rest by the primary key."""
        common = [column for column in before.columns if column in set(after.columns)]
        is_same = list(before.columns) == list(after.columns)
        olds = self._clocked(before.rows() if is_same else _projected(before, common))
        left = Counter(olds)
        new: list[tuple[Row, Row]] = []
        for row in self._clocked(after.rows()):
            cut = row if is_same else _project(after, row, common)
            if left.get(cut, 0):
                left[cut] -= 1
            else:
                new.append((cut, row))
        gone = +left
        if not gone and not new and is_same:
            return None
        note = None if is_same else _columns_note(before.columns, after.columns)
        return self._matched(name, before, after, gone, new, is_same=is_same, note=note)

    def _matched(
        self,
        name: str,
        before: Table,
        after: Table,
        gone: Counter[Row],
        new: list[tuple[Row, Row]],
        *,
        is_same: bool,
        note: str | None,
    ) -> dict[str, object]:
        has_key = bool(before.key) and list(before.key) == list(after.key) and is_same
        where = [list(before.columns).index(column) for column in before.key] if has_key else []
        by_key: dict[object, Row] = {}
        if has_key:
            by_key = {tuple(before.fields(row)[one] for one in where): row for row in self._clocked(iter(gone))}
        samples: dict[str, list[object]] = {"changed": [], "added": [], "removed": []}
        added = changed = 0
        for number, (_, row) in enumerate(new):
            self._look(number)
            old = by_key.pop(tuple(after.fields(row)[one] for one in where), None) if has_key else None
            kind = "added" if old is None else "changed"
            added, changed = added + (old is None), changed + (old is not None)
            if old is not None:
                gone[old] -= 1
            if len(samples[kind]) < _SAMPLES:
                shown = None if old is None else self._shown(before, old)
                samples[kind].append(_sample(kind, shown, self._shown(after, row)))
        for row, count in gone.items():
            if is_same and count > 0 and len(samples["removed"]) < _SAMPLES:
                samples["removed"].append(_sample("removed", self._shown(before, row), None))
        counts = (added, changed, gone.total())
        return _change(name, counts, [*samples["changed"], *samples["added"], *samples["removed"]], note)

    def _shown(self, table: Table, row: Row) -> dict[str, str | None] | None:
        """Return a row for people; None once all samples together are too long."""
        values = [None if one is None else one[:_SAMPLE_CHARACTERS] for one in table.texts(row)[:_SAMPLE_COLUMNS]]
        found = dict(zip([one[:_SAMPLE_CHARACTERS] for one in table.columns], values, strict=False))
        self._samples_bytes -= sum(len(name) + len(value or "") + 8 for name, value in found.items())
        if self._samples_bytes < 0:
            self.is_cut = True
            return None
        return found

    def _clocked(self, rows: Iterator[Row]) -> Iterator[Row]:
        for number, row in enumerate(rows):
            self._look(number)
            yield row

    def _look(self, number: int) -> None:
        if number % _ROWS_AT_ONCE == 0:
            self.look_at_clock()


def _projected(table: Table, columns: Sequence[str]) -> Iterator[Row]:
    return (_project(table, row, columns) for row in table.rows())


def _project(table: Table, row: Row, columns: Sequence[str]) -> Row:
    values = dict(zip(table.columns, table.fields(row), strict=False))
    return tuple(values.get(column) for column in columns)


def _columns_note(before: Sequence[str], after: Sequence[str]) -> str:
    new = [f"+{one[:60]}" for one in after if one not in before]
    gone = [f"-{one[:60]}" for one in before if one not in after]
    said = ", ".join([*new, *gone][:20]) or "in a different order"
    return f"The columns have changed ({said}); rows are compared by the others."


def _sample(change: str, before: object, after: object) -> dict[str, object]:
    return {"change": change, "before": before, "after": after}


def _change(name: str, counts: tuple[int, int, int], samples: list[object], note: str | None) -> dict[str, object]:
    added, changed, removed = counts
    samples = [one for one in samples if isinstance(one, dict) and (one["before"] or one["after"])]
    return {
        "name": name, "added": added, "changed": changed, "removed": removed, "samples": samples, "note": note
    }  # fmt: skip
