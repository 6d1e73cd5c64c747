"""The failure records of one preview, in memory: grouping, and the bounds. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from preview.logs.failures.fingerprint import id_of, where_to_look
from preview.logs.failures.model import Failure, FailureRecord, Occurrence, Raised, SourceLines

MAX_OCCURRENCES = 20
"""Most occurrences that are kept of a record: the first one, and the newest ones."""

_MAX_FRAMES = 120
_MAX_MESSAGE = 300


class FailureGroups:
    """The records of one preview, by id.

    Args:
        preview_id: The preview.
        most: Maximum number of records.

    Attributes:
        records: The records, in the order of their first occurrence.
        further: Number of failures that are of no record, because there are ``most`` of others.
        unread_lines: Number of lines that were not searched, because too many came at once.
    """

    def __init__(self, preview_id: str, most: int) -> None:
        self.preview_id = preview_id
        self.records: dict[str, FailureRecord] = {}
        self.further = 0
        self.unread_lines = 0
        # Ids of records that changed since they were stored.
        self._changed: set[str] = set()
        self._stored_totals = (0, 0)
        self._most = most

    @property
    def is_changed(self) -> bool:
        """True if something is to be stored."""
        return bool(self._changed) or self._totals != self._stored_totals

    @property
    def _totals(self) -> tuple[int, int]:
        return self.further, self.unread_lines

    def take_changes(self) -> tuple[set[str], tuple[int, int]]:
        """Return the ids of records to be stored, and the totals; they count as stored."""
        changed, self._changed, self._stored_totals = self._changed, set(), self._totals
        return changed, self._totals

    def put_back(self, changed: set[str]) -> None:
        """Take back changes that could not be stored."""
        self._changed |= changed
        self._stored_totals = (-1, -1)

    def wants_source(self, fingerprint: str, reload: int) -> bool:
        """Return True if the source of a failure is to be kept: of the first one, and of the first in each reload."""
        record = self.records.get(id_of(fingerprint))
        return record is None or record.last.reload != reload

    def add(self, failure: Failure, fingerprint: str, reload: int, source: SourceLines | None) -> bool:
        """Add a failure to its record. Returns False if it is of no record, because there are too many.

        The record shows the exceptions of the first failure, or of the first one in the newest reload.

        Args:
            failure: The failure.
            fingerprint: Its fingerprint.
            reload: See ``Occurrence``.
            source: Source around its frame.
        """
        record_id = id_of(fingerprint)
        record = self.records.get(record_id)
        if record is None:
            if len(self.records) >= self._most:
                self.further += 1
                return False
            exceptions = trimmed(failure.exceptions)
            frame = where_to_look(exceptions)
            record = FailureRecord(self.preview_id, record_id, fingerprint, failure.language, exceptions, frame, source)
            self.records[record_id] = record
        elif record.last.reload != reload:
            record.exceptions = trimmed(failure.exceptions)
            record.frame = where_to_look(record.exceptions)
            record.source = source or record.source
        self._changed.add(record_id)
        _add(
            record,
            Occurrence(
                failure.timestamp_ms, failure.first_seq, failure.last_seq, failure.request_id, reload,
                failure.is_startup, failure.message[:_MAX_MESSAGE],
            ),
        )  # fmt: skip
        return True


def _add(record: FailureRecord, one: Occurrence) -> None:
    """Add an occurrence, unless the failure of one request was only printed again."""
    occurrences = record.occurrences
    if occurrences and one.request_id is not None:
        last = record.last
        if (last.request_id, last.reload) == (one.request_id, one.reload):
            occurrences[-1] = replace(last, last_seq=max(last.last_seq, one.last_seq))
            return
    record.count += 1
    occurrences.append(one)
    if len(occurrences) > MAX_OCCURRENCES:
        del occurrences[1]


def trimmed(exceptions: Sequence[Raised]) -> tuple[Raised, ...]:
    """Return the exceptions with a bounded number of frames in all: of the later ones, only the project's own."""
    left, found = _MAX_FRAMES, []
    for one in exceptions:
        frames = one.frames if len(one.frames) <= left else tuple(frame for frame in one.frames if frame.is_own)[:left]
        left -= len(frames)
        found.append(replace(one, frames=frames))
    return tuple(found)
