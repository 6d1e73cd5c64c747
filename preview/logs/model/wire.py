"""A log's events between two nodes of a cluster: frames of a length, a kind and JSON. Pure.

The sender is another node. It may be broken, or of another version: nothing of a frame is used that is not checked.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field, TypeAdapter, ValidationError

from preview.core.ids import REQUEST_ID
from preview.logs.model.batch import Batch
from preview.logs.model.encode import Received
from preview.logs.model.events import MARKS, End, Gap, StatusChange

MEDIA_TYPE = b"application/vnd.preview.log-frames"
KEEP_ALIVE_FRAME = bytes(4)
"""An empty frame, sent after a while without events."""
MAX_FRAME_BYTES = 16 * 1024 * 1024
_LENGTH_BYTES = 4
# Characters and lines of one frame of lines; a character has six bytes at most.
_FRAME_CHARACTERS = 1024 * 1024
_FRAME_LINES = 10_000
_MAX_SEQ = 10**15
# The end of the year 9999, which is the last that a time stamp can show.
_MAX_MS = 253_402_300_799_999
_BEGIN, _LINES, _STATUS, _GAP, _END, _POSITION = b"B", b"L", b"S", b"G", b"E", b"P"

_Seq = Annotated[int, Field(ge=1, le=_MAX_SEQ, strict=True)]
_LastSeq = Annotated[int, Field(ge=0, le=_MAX_SEQ, strict=True)]
_Stamp = Annotated[int, Field(ge=0, le=_MAX_MS, strict=True)]
_RequestId = Annotated[str, Field(pattern=f"^{REQUEST_ID}$")]
_LINES_FORM: TypeAdapter[tuple[int, list[int], str, list[str], dict[int, str] | None]] = TypeAdapter(
    tuple[_Seq, list[_Stamp], str, list[str], dict[int, _RequestId] | None]
)
_STATUS_FORM, _GAP_FORM, _END_FORM = TypeAdapter(StatusChange), TypeAdapter(Gap), TypeAdapter(End)
_BEGIN_FORM: TypeAdapter[tuple[int, int]] = TypeAdapter(tuple[_Seq, _LastSeq])
_POSITION_FORM: TypeAdapter[tuple[int, str]] = TypeAdapter(
    tuple[_LastSeq, Annotated[str, Field(pattern="^[0-9a-f]{16}$")]]
)


class NotALog(ValueError):
    """The bytes are no frames of a log."""


@dataclass(frozen=True, slots=True)
class Begin:
    """The first event.

    Attributes:
        seq: Number of the first line that follows.
        last_seq: Number of the newest line of the log, which follows too unless it is before ``seq``.
    """

    seq: int
    last_seq: int


@dataclass(frozen=True, slots=True)
class Position:
    """The number of the owner's newest line; in a stream with lines it says that the bus has those that follow.

    Attributes:
        seq: The number.
        token: Which stream of the bus has the lines.
    """

    seq: int
    token: str


def position_frame(seq: int, token: str) -> bytes:
    """Return a frame for nodes that read lines from the bus."""
    return _frame(_POSITION, _POSITION_FORM.dump_json((seq, token)))


def begin_frame(seq: int, last_seq: int) -> bytes:
    """Return the first frame."""
    return _frame(_BEGIN, b"[%d,%d]" % (seq, last_seq))


def frames(event: Received) -> Iterator[bytes]:
    """Encode an event as one frame, or as several if it has many lines."""
    if isinstance(event, Batch):
        for first, last in _parts(event):
            yield _lines(event, first, last)
    elif isinstance(event, StatusChange):
        yield _frame(_STATUS, _STATUS_FORM.dump_json(event))
    elif isinstance(event, Gap):
        yield _frame(_GAP, _GAP_FORM.dump_json(event))
    else:
        yield _frame(_END, _END_FORM.dump_json(event))


class FrameReader:
    """Reads frames piece by piece.

    Args:
        preview_id: The preview of the log; the sender has no say in it.
    """

    def __init__(self, preview_id: str) -> None:
        self._preview_id = preview_id
        # The beginning of an incomplete frame.
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Begin | Position | Received]:
        """Return the events of the frames that are complete.

        Raises:
            NotALog: A frame is too long, or its content is not valid.
        """
        rest, events, at = self._rest, list[Begin | Position | Received](), 0
        rest += data
        while len(rest) - at >= _LENGTH_BYTES:
            size = int.from_bytes(rest[at : at + _LENGTH_BYTES], "big")
            if size > MAX_FRAME_BYTES:
                raise NotALog(f"a frame of {size} bytes")
            end = at + _LENGTH_BYTES + size
            if len(rest) < end:
                break
            if size:
                events.append(self._event(bytes(rest[at + _LENGTH_BYTES : end])))
            at = end
        del rest[:at]
        return events

    def _event(self, frame: bytes) -> Begin | Position | Received:
        kind, form = frame[:1], frame[1:]
        try:
            if kind == _LINES:
                return self._batch(form)
            if kind == _STATUS:
                return replace(_STATUS_FORM.validate_json(form), preview_id=self._preview_id)
            if kind == _END:
                return replace(_END_FORM.validate_json(form), preview_id=self._preview_id)
            if kind == _BEGIN:
                return Begin(*_BEGIN_FORM.validate_json(form))
            if kind == _POSITION:
                return Position(*_POSITION_FORM.validate_json(form))
            gap = _GAP_FORM.validate_json(form) if kind == _GAP else None
        except ValidationError as error:
            raise NotALog(f"a frame of kind {kind!r} is not valid") from error
        if gap is None or not 1 <= gap.first_seq <= gap.last_seq <= _MAX_SEQ:
            raise NotALog(f"a frame of kind {kind!r} is not valid")
        return gap

    def _batch(self, form: bytes) -> Batch:
        first, stamps, shown, messages, requests = _LINES_FORM.validate_json(form)
        marks = shown.encode("latin-1", "replace")
        if not 0 < len(messages) == len(stamps) == len(marks) or max(marks) >= len(MARKS):
            raise NotALog("lines without a mark or a time")
        if requests is not None and not all(0 <= at < len(messages) for at in requests):
            raise NotALog("a request of no line")
        return Batch(self._preview_id, first, stamps, marks, messages, requests or None)


def _parts(batch: Batch) -> Iterator[tuple[int, int]]:
    """Yield the positions of the first line of each frame, and of the line after its last one."""
    first = characters = 0
    for at, message in enumerate(batch.messages):
        if at > first and (characters + len(message) > _FRAME_CHARACTERS or at - first >= _FRAME_LINES):
            yield first, at
            first, characters = at, 0
        characters += len(message)
    yield first, len(batch)


def _lines(batch: Batch, first: int, last: int) -> bytes:
    requests = {at - first: one for at, one in (batch.requests or {}).items() if first <= at < last}
    columns = [
        batch.first_seq + first,
        list(batch.timestamps[first:last]),
        batch.marks[first:last].decode("latin-1"),
        list(batch.messages[first:last]),
        requests or None,
    ]
    return _frame(_LINES, json.dumps(columns, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))


def _frame(kind: bytes, form: bytes) -> bytes:
    return (len(form) + 1).to_bytes(_LENGTH_BYTES, "big") + kind + form
