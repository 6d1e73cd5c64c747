"""The unit that travels: the lines of one read, numbered, kept as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from sys import getsizeof

from preview.core.escapes import has_escapes, without_escapes
from preview.logs.model.encoding import Encoding
from preview.logs.model.events import MARKS, LogLine, Requests, mark_of
from preview.logs.model.frames import encode_lines

# Per line beside its text: two list slots and a mark.
_LINE_BYTES = 17
# Of a line's request: an entry and its text, of mostly 16 characters; and its key in a frame.
_REQUEST_BYTES = 240
# Of one frame beside its message, see ``frames``.
_FRAME_BYTES = 130
# Encoded forms that are worth keeping: both contracts watch as SSE, or one of them in two formats.
_KEPT_FORMS = 2
# However little they hold: one for each of so many filters.
_MOST_FORMS = 8

StoredLine = tuple[int, int, int, str, str, str | None]
"""A row: number, time, level, source, message, request's id."""


class Batch:
    """One or more lines with dense numbers. Not to be changed once made.

    Kept as columns: an object per line would cost more than everything else on the line's way.

    Args:
        timestamps: Milliseconds since the epoch, one per line.
        marks: Level and source, one byte per line (see ``marks``).
        messages: One text per line, at least one.
        requests: The ids of requests, by position; None where no line has one.

    Attributes:
        size_bytes: What the lines hold in memory, without their encoded forms.
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
        # Invariant: together no longer than ``_room_bytes``; those without a filter are released last.
        self._encoded: dict[Encoding, bytes] = {}
        # No message has an escape sequence; None until somebody wants to know.
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
        """About what one encoded form of all lines takes; a line without text is little else than its frame."""
        return self.size_bytes + _FRAME_BYTES * len(self.messages)

    @property
    def held_bytes(self) -> int:
        """Size at most: the lines and their kept encoded forms."""
        return self.size_bytes + self._room_bytes

    @property
    def _room_bytes(self) -> int:
        return _KEPT_FORMS * self.sent_bytes

    @property
    def lines(self) -> Sequence[LogLine]:
        """The lines as objects, made on each call: for tests and small answers, not for streams."""
        return list(self)

    def __iter__(self) -> Iterator[LogLine]:
        rows = zip(self.timestamps, self.marks, self.messages, strict=True)
        for seq, (timestamp, mark, message) in enumerate(rows, self.first_seq):
            level, source = MARKS[mark]
            request = None if self.requests is None else self.requests.get(seq - self.first_seq)
            yield LogLine(seq, timestamp, level, source, message, request)

    def line_at(self, index: int) -> LogLine:
        """Return the line at this position, from 0 on."""
        level, source = MARKS[self.marks[index]]
        request = None if self.requests is None else self.requests.get(index)
        return LogLine(self.first_seq + index, self.timestamps[index], level, source, self.messages[index], request)

    @property
    def is_plain(self) -> bool:
        """True if all messages are plain text, without escape sequences."""
        if self._is_plain is None:
            # One look at all of them is faster than one at each.
            self._is_plain = not has_escapes("".join(self.messages))
        return self._is_plain

    def encoded(self, encoding: Encoding) -> bytes:
        """Return the lines that pass the encoding's filter; empty if none does.

        Computed on the first call for an encoding, however many watch, as long as there are not too many encodings.
        Lines without colours are the same bytes for those who want colours and for those who do not.
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
        chosen = encoding.filter.positions(marks, messages, requests)
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
        """Keep the form where there is space, or where there is after releasing others."""
        forms, room = self._encoded, self._room_bytes
        forms[encoding] = form
        while len(forms) > _MOST_FORMS or sum(map(len, forms.values())) > room:
            # The oldest of those with a filter, else the oldest: a filter is one person's, the whole is many people's.
            loser = next((one for one in forms if not one.filter.is_open), next(iter(forms)))
            del forms[loser]
            if loser is encoding:
                return

    def after(self, seq: int) -> Batch:
        """Return the part after line ``seq``, which must leave at least one line; or the whole batch."""
        skip = seq + 1 - self.first_seq
        return self if skip <= 0 else self._part(slice(skip, None), skip)

    def bare(self) -> Batch:
        """Return the same lines without encoded forms, for holders that never send them."""
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


def batches_of(preview_id: str, rows: Iterable[StoredLine]) -> list[Batch]:
    """Group stored rows into batches: a new one begins at each jump of the numbers.

    Args:
        preview_id: Whose lines.
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
