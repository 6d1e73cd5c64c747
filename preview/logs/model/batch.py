"""Batches: the lines of one read, numbered, stored as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from sys import getsizeof

from preview.core.escapes import has_escapes, without_escapes
from preview.logs.model.encoding import Encoding
from preview.logs.model.events import MARKS, STDERR, LogLine, Requests, mark_of
from preview.logs.model.filtering import Columns
from preview.logs.model.frames import encode_lines

# Memory per line besides its text: two list slots and a mark.
_LINE_BYTES = 17
# Memory per request id: a dictionary entry, a text of mostly 16 characters, and the key in an encoded frame.
_REQUEST_BYTES = 240
# Size of one encoded frame besides its message, see ``frames``.
_FRAME_BYTES = 130
# Number of encoded forms worth caching: both contracts as SSE, or one of them in two formats.
_KEPT_FORMS = 2
# Maximum number of cached forms, however small they are: one for each of this many filters.
_MOST_FORMS = 8

StoredLine = tuple[int, int, int, str, str, str | None]
"""A row: number, time, level, source, message, request id."""


class Batch:
    """One or more lines with dense numbers; immutable.

    The lines are stored as columns, because an object per line would cost more than the rest of a line's processing.

    Args:
        timestamps: Milliseconds since the epoch, one per line.
        marks: Level and source, one byte per line (see ``events``).
        messages: One text per line, at least one.
        requests: Request ids by position; None if no line has one.

    Attributes:
        size_bytes: Memory of the lines, without cached encodings.
    """

    __slots__ = (
        "_encoded",
        "_is_plain",
        "first_seq",
        "marks",
        "messages",
        "preview_id",
        "requests",
        "size_bytes",
        "timestamps",
    )

    def __init__(
        self,
        preview_id: str,
        first_seq: int,
        timestamps: Sequence[int],
        marks: bytes,
        messages: Sequence[str],
        requests: Requests | None = None,
    ) -> None:
        self.preview_id = preview_id
        self.first_seq = first_seq
        self.timestamps = timestamps
        self.marks = marks
        self.messages = messages
        self.requests = requests
        self.size_bytes = sum(map(getsizeof, messages)) + _LINE_BYTES * len(messages)
        if requests is not None:
            self.size_bytes += _REQUEST_BYTES * len(requests)
        # Invariant: total size at most ``_room_bytes``. Forms without a filter are evicted last.
        self._encoded: dict[Encoding, bytes] = {}
        # True if no message has an escape sequence; None until computed.
        self._is_plain: bool | None = None

    def __len__(self) -> int:
        return len(self.messages)

    def __repr__(self) -> str:
        return f"<Batch {self.preview_id} {self.first_seq}..{self.last_seq}>"

    @property
    def last_seq(self) -> int:
        """Number of the last line."""
        return self.first_seq + len(self.messages) - 1

    @property
    def sent_bytes(self) -> int:
        """Approximate size of one encoded form; for lines without text this is mostly framing."""
        return self.size_bytes + _FRAME_BYTES * len(self.messages)

    @property
    def held_bytes(self) -> int:
        """Upper bound of the size: the lines and their cached encodings."""
        return self.size_bytes + self._room_bytes

    @property
    def _room_bytes(self) -> int:
        return _KEPT_FORMS * self.sent_bytes

    @property
    def columns(self) -> Columns:
        """The lines as columns, for filters."""
        return Columns(self.first_seq, self.timestamps, self.marks, self.messages, self.requests)

    @property
    def lines(self) -> Sequence[LogLine]:
        """The lines as objects, created on each call: for tests and small responses, not for streams."""
        return list(self)

    def __iter__(self) -> Iterator[LogLine]:
        rows = zip(self.timestamps, self.marks, self.messages, strict=True)
        for seq, (timestamp, mark, message) in enumerate(rows, self.first_seq):
            level, source = MARKS[mark]
            request = None if self.requests is None else self.requests.get(seq - self.first_seq)
            yield LogLine(seq, timestamp, level, source, message, request, mark >= STDERR)

    def line_at(self, index: int) -> LogLine:
        """Return the line at this position, counted from 0."""
        mark = self.marks[index]
        level, source = MARKS[mark]
        request = None if self.requests is None else self.requests.get(index)
        seq, timestamp, message = self.first_seq + index, self.timestamps[index], self.messages[index]
        return LogLine(seq, timestamp, level, source, message, request, mark >= STDERR)

    @property
    def is_plain(self) -> bool:
        """True if all messages are plain text, without escape sequences."""
        if self._is_plain is None:
            # One search in the joined text is faster than one per message.
            self._is_plain = not has_escapes("".join(self.messages))
        return self._is_plain

    def encoded(self, encoding: Encoding) -> bytes:
        """Return the encoded lines that pass the encoding's filter; empty if none does.

        The result is cached for all subscribers with the same encoding, unless there are too many encodings. If no line
        has colours, the encodings with and without colours share one cached result.
        """
        if encoding.colours and self.is_plain:
            encoding = encoding.plain
        found = self._encoded.get(encoding)
        if found is None:
            found = self._encode(encoding)
            self._keep(encoding, found)
        return found

    def _encode(self, encoding: Encoding) -> bytes:
        stamps, marks, messages, requests = self.timestamps, self.marks, self.messages, self.requests
        strips = not (encoding.colours or self.is_plain)
        if encoding.filter.is_open:
            seqs, shown = range(self.first_seq, self.last_seq + 1), messages
            if strips:
                shown = list(map(without_escapes, messages))
            return encode_lines(seqs, stamps, marks, shown, encoding.contract, encoding.format, requests)
        chosen = encoding.filter.positions(self.columns)
        shown = [messages[index] for index in chosen]
        return encode_lines(
            [self.first_seq + index for index in chosen],
            [stamps[index] for index in chosen],
            bytes([marks[index] for index in chosen]),
            list(map(without_escapes, shown)) if strips else shown,
            encoding.contract,
            encoding.format,
            None if requests is None else {at: requests[index] for at, index in enumerate(chosen) if index in requests},
        )

    def _keep(self, encoding: Encoding, form: bytes) -> None:
        """Cache the form if there is space, evicting other forms if necessary."""
        forms, room = self._encoded, self._room_bytes
        forms[encoding] = form
        while len(forms) > _MOST_FORMS or sum(map(len, forms.values())) > room:
            # Evict the oldest form with a filter, else the oldest: a filter serves one person, the full log many.
            loser = next((one for one in forms if not one.filter.is_open), next(iter(forms)))
            del forms[loser]
            if loser is encoding:
                return

    def after(self, seq: int) -> Batch:
        """Return the part after line ``seq``, at least one line; the whole batch if all its lines are after ``seq``."""
        skip = seq + 1 - self.first_seq
        return self if skip <= 0 else self._part(slice(skip, None), skip)

    def bare(self) -> Batch:
        """Return the same lines without encoded forms, for owners that never send them."""
        twin = Batch.__new__(Batch)
        twin.preview_id, twin.first_seq, twin.size_bytes = self.preview_id, self.first_seq, self.size_bytes
        twin.timestamps, twin.marks, twin.messages = self.timestamps, self.marks, self.messages
        twin.requests = self.requests
        twin._encoded, twin._is_plain = {}, self._is_plain  # noqa: SLF001  our own class
        return twin

    def _part(self, part: slice, skip: int) -> Batch:
        requests = {at - skip: one for at, one in (self.requests or {}).items() if at >= skip}
        return Batch(
            self.preview_id,
            self.first_seq + skip,
            self.timestamps[part],
            self.marks[part],
            self.messages[part],
            requests or None,
        )


def line_of(row: StoredLine) -> LogLine:
    """Return the line of a stored row."""
    seq, timestamp, level, source, message, request = row
    mark = mark_of(level, source)
    return LogLine(seq, timestamp, *MARKS[mark], message, request, mark >= STDERR)


def batches_of(preview_id: str, rows: Iterable[StoredLine]) -> list[Batch]:
    """Group stored rows into batches; a new batch starts at each gap in the numbers.

    Args:
        preview_id: The preview.
        rows: ``(seq, timestamp, level, source, message, request_id)`` in the order of ``seq``.
    """
    runs: list[tuple[int, list[int], bytearray, list[str], Requests]] = []
    following = -1
    for seq, timestamp, level, source, message, request in rows:
        if seq != following:
            timestamps: list[int] = []
            marks = bytearray()
            messages: list[str] = []
            requests: Requests = {}
            runs.append((seq, timestamps, marks, messages, requests))
        if request is not None:
            requests[len(messages)] = request
        timestamps.append(timestamp)
        marks.append(mark_of(level, source))
        messages.append(message)
        following = seq + 1
    return [
        Batch(preview_id, first, stamps, bytes(marks), messages, requests or None)
        for first, stamps, marks, messages, requests in runs
    ]
