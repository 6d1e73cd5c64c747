"""The unit that travels: the lines of one read, numbered, kept as columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from sys import getsizeof

from preview.logs.events import Contract, LogLine
from preview.logs.frames import encode_lines
from preview.logs.marks import MARKS, mark_of

__all__ = ["Batch", "batches_of"]

# Per line beside its text: two list slots and a mark.
_LINE_BYTES = 17
# Of one SSE frame beside its message, see ``frames``.
_FRAME_BYTES = 130


class Batch:
    """One or more lines with dense numbers. Not to be changed once made.

    Kept as columns: an object per line would cost more than everything else on the line's way.

    Args:
        preview_id: Whose lines.
        first_seq: Number of the first line.
        timestamps: Milliseconds since the epoch, one per line.
        marks: Level and source, one byte per line (see ``marks``).
        messages: One text per line, at least one.

    Attributes:
        size_bytes: What the lines hold in memory, without their encoded forms.
    """

    __slots__ = ("_encoded", "first_seq", "marks", "messages", "preview_id", "size_bytes", "timestamps")

    def __init__(
        self, preview_id: str, first_seq: int, timestamps: Sequence[int], marks: bytes, messages: Sequence[str]
    ) -> None:
        self.preview_id = preview_id
        self.first_seq = first_seq
        self.timestamps = timestamps
        self.marks = marks
        self.messages = messages
        self.size_bytes = sum(map(getsizeof, messages)) + _LINE_BYTES * len(messages)
        self._encoded: dict[Contract, bytes] = {}

    def __len__(self) -> int:
        return len(self.messages)

    def __repr__(self) -> str:
        return f"<Batch {self.preview_id} {self.first_seq}..{self.last_seq}>"

    @property
    def last_seq(self) -> int:
        """Number of the last line."""
        return self.first_seq + len(self.messages) - 1

    @property
    def held_bytes(self) -> int:
        """What the batch may come to hold: the lines, and their frames in both contracts."""
        return 3 * self.size_bytes + 2 * _FRAME_BYTES * len(self.messages)

    @property
    def lines(self) -> Sequence[LogLine]:
        """The lines as objects, made on each call: for tests and small answers, not for streams."""
        return list(self)

    def __iter__(self) -> Iterator[LogLine]:
        rows = zip(self.timestamps, self.marks, self.messages, strict=True)
        for seq, (timestamp, mark, message) in enumerate(rows, self.first_seq):
            level, source = MARKS[mark]
            yield LogLine(seq, timestamp, level, source, message)

    def encoded(self, contract: Contract) -> bytes:
        """The SSE frames of all lines; computed on the first call for a contract, however many watch."""
        found = self._encoded.get(contract)
        if found is None:
            found = encode_lines(self.first_seq, self.timestamps, self.marks, self.messages, contract)
            self._encoded[contract] = found
        return found

    def after(self, seq: int) -> Batch:
        """The part behind line ``seq``, which must leave at least one line; the batch itself if that is all of it."""
        skip = seq + 1 - self.first_seq
        return self if skip <= 0 else self._part(slice(skip, None), skip)

    def bare(self) -> Batch:
        """The same lines in a batch of its own without encoded forms, for who holds them long and never sends them."""
        twin = Batch.__new__(Batch)
        twin.preview_id, twin.first_seq, twin.size_bytes = self.preview_id, self.first_seq, self.size_bytes
        twin.timestamps, twin.marks, twin.messages = self.timestamps, self.marks, self.messages
        twin._encoded = {}  # noqa: SLF001  our own class
        return twin

    def _part(self, part: slice, skip: int) -> Batch:
        return Batch(
            self.preview_id, self.first_seq + skip, self.timestamps[part], self.marks[part], self.messages[part]
        )


def batches_of(preview_id: str, rows: Iterable[tuple[int, int, int, str, str]]) -> list[Batch]:
    """Stored rows as batches: a new one begins where the numbers jump.

    Args:
        preview_id: Whose lines.
        rows: ``(seq, timestamp, level, source, message)`` in the order of ``seq``.
    """
    runs: list[tuple[int, list[int], bytearray, list[str]]] = []
    following = -1
    for seq, timestamp, level, source, message in rows:
        if seq != following:
            timestamps: list[int] = []
            marks = bytearray()
            messages: list[str] = []
            runs.append((seq, timestamps, marks, messages))
        timestamps.append(timestamp)
        marks.append(mark_of(level, source))
        messages.append(message)
        following = seq + 1
    return [Batch(preview_id, first, stamps, bytes(marks), messages) for first, stamps, marks, messages in runs]
