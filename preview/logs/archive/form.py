"""The form of an archived log: JSON Lines, compressed with Zstandard, with an index.

A file is a sequence of Zstandard frames (RFC 8878), each with some thousand whole lines, so that a reader unpacks only
the part that it needs. Two skippable frames follow (section 3.1.2): the index as JSON, and the index's position.
``zstd -d`` skips them, and prints the lines.

A line is ``{"seq":1,"timestamp":1795857220000,"level":"INFO","source":"child.preview","message":"…"}``, and has
``"request_id"`` at its end if the request is known. Times are in milliseconds since the epoch.

Numbers that grow compress badly: a third of a file would be theirs. So a line has ``seq`` only if it is not the number
after the line before it, and ``timestamp`` only if it is another time. The first line of a frame has both.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from json.encoder import encode_basestring
from typing import Any

from preview.logs.model.batch import StoredLine
from preview.logs.model.events import Level

MOST_LINES = 8_192
"""Lines of a frame."""
_MOST_CHARACTERS = 4 * 1024 * 1024
# A frame's text in JSON: six bytes for one character at most, and the lines' other fields.
_MOST_BYTES = 32 * 1024 * 1024
# The largest index that is read: some hundred thousand frames.
MOST_INDEX_BYTES = 16 * 1024 * 1024
# Ranges of missing lines that an index names; later ones read as if they had never been printed.
_MOST_HOLES = 10_000
# Measured on access lines, tracebacks and JSON: 1 microsecond a line more than level 5, and a tenth smaller.
_LEVEL = 10
_SHORTEST_MATCH = 6
# Logarithms: bytes that are looked back over; entries of the table for it; candidates that are compared.
# Lines that resemble the one before are smallest and fastest with a small table: only near matches stay in it, whose
# distances are short. Long texts that come again, such as tracebacks, need the large one. The level's own, of 8 MiB, is
# in no processor's cache: a quarter of the time more, for sizes that differ by less than 2 %.
_SEARCHES = ({"window_log": 17, "hash_log": 12, "search_log": 6}, {"window_log": 18, "hash_log": 17})
# The search that makes this part of a frame smaller packs the next frames.
_TRIAL_BYTES = 256 * 1024
_FRAMES_OF_TRIAL = 8
# Above this number of lines that may match, all of a frame are read at once.
_MOST_SINGLE = 512
_LONGEST_NUMBER = 24
_WRONG_LINE = (ValueError, KeyError, TypeError, AttributeError)
_SKIPPABLE = 0x184D2A50
_HEAD = struct.Struct("<II")
TAIL = struct.Struct("<IIQ")
"""The last bytes of a file: a skippable frame with the index's position."""
_NAMES = {level.value: level.name for level in Level}
_LEVELS = {level.name: level.value for level in Level}


class DamagedFile(ValueError):
    """A file is no archived log, or is damaged."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A compressed part of a file.

    Attributes:
        offset: Position in the file.
        size: Bytes.
        first: Number of the first line.
        last: Number of the last line.
    """

    offset: int
    size: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Index:
    """The content of a file, and its positions.

    Attributes:
        frames: In order.
        holes: First and last numbers of missing lines between the first and the last one.
        lines: Number of lines.
    """

    frames: tuple[Frame, ...]
    holes: tuple[tuple[int, int], ...]
    lines: int

    @property
    def first(self) -> int:
        """Number of the first line; 0 without lines."""
        return self.frames[0].first if self.frames else 0

    @property
    def last(self) -> int:
        """Number of the last line; 0 without lines."""
        return self.frames[-1].last if self.frames else 0


class Packer:
    """Packs the lines of one log, in order.

    Raises:
        ImportError: The extra ``archive`` is not installed.
    """

    def __init__(self) -> None:
        import zstandard  # noqa: PLC0415  an extra

        self._compressors = [
            zstandard.ZstdCompressor(
                compression_params=zstandard.ZstdCompressionParameters.from_level(
                    _LEVEL,
                    source_size=1024 * 1024,
                    min_match=_SHORTEST_MATCH,
                    write_checksum=True,
                    **search,
                )
            )
            for search in _SEARCHES
        ]
        self._compressor = self._compressors[0]
        self._lines: list[str] = []
        self._characters = 0
        self._first = self._last = self._count = 0
        self._timestamp = 0
        self._offset = 0
        self._frames: list[Frame] = []
        self._holes: list[tuple[int, int]] = []

    def add(self, rows: Iterable[StoredLine]) -> Iterator[bytes]:
        """Add lines; yield the frames that are full."""
        for seq, timestamp, level, source, message, request in rows:
            if self._last and seq > self._last + 1 and len(self._holes) < _MOST_HOLES:
                self._holes.append((self._last + 1, seq - 1))
            start = "{"
            if not self._lines:
                self._first = seq
                start = f'{{"seq":{seq},"timestamp":{timestamp},'
            else:
                if seq != self._last + 1:
                    start = f'{{"seq":{seq},'
                if timestamp != self._timestamp:
                    start = f'{start}"timestamp":{timestamp},'
            self._last, self._timestamp = seq, timestamp
            end = "}\n" if request is None else f',"request_id":{encode_basestring(request)}}}\n'
            self._lines.append(
                f'{start}"level":"{_NAMES[level]}","source":"{source}","message":{encode_basestring(message)}{end}'
            )
            self._characters += len(message)
            if len(self._lines) >= MOST_LINES or self._characters >= _MOST_CHARACTERS:
                yield self._frame()

    def finish(self) -> tuple[bytes, Index]:
        """Return the rest of the file, and its index."""
        rest = self._frame() if self._lines else b""
        index = Index(tuple(self._frames), tuple(self._holes), self._count)
        text = json.dumps(
            {
                "frames": [(one.offset, one.size, one.first, one.last) for one in index.frames],
                "holes": index.holes,
                "lines": index.lines,
            },
            separators=(",", ":"),
        ).encode()
        rest += _HEAD.pack(_SKIPPABLE, len(text)) + text + TAIL.pack(_SKIPPABLE, 8, self._offset)
        return rest, index

    def _frame(self) -> bytes:
        text = "".join(self._lines).encode("utf-8", "surrogatepass")
        if len(self._frames) % _FRAMES_OF_TRIAL == 0:
            part = text[:_TRIAL_BYTES]
            self._compressor = min(self._compressors, key=lambda one: len(one.compress(part)))
        data = self._compressor.compress(text)
        self._frames.append(Frame(self._offset, len(data), self._first, self._last))
        self._offset += len(data)
        self._count += len(self._lines)
        self._lines.clear()
        self._characters = 0
        return data


def index_position(tail: bytes, size: int) -> int:
    """Return the index's position in a file.

    Args:
        tail: The last ``TAIL.size`` bytes.
        size: The file's size in bytes.

    Raises:
        DamagedFile: The file has none.
    """
    if len(tail) != TAIL.size:
        raise DamagedFile("the file is too short")
    magic, length, offset = TAIL.unpack(tail)
    room = size - TAIL.size - offset - _HEAD.size
    if (magic, length) != (_SKIPPABLE, 8) or not 0 <= room <= MOST_INDEX_BYTES:
        raise DamagedFile("the file has no index")
    return int(offset)


def read_index(data: bytes) -> Index:
    """Return the index.

    Args:
        data: The file from the index's position to ``TAIL``.

    Raises:
        DamagedFile: It is none.
    """
    try:
        magic, length = _HEAD.unpack(data[: _HEAD.size])
        found = json.loads(data[_HEAD.size :])
        if magic != _SKIPPABLE or length != len(data) - _HEAD.size:
            raise DamagedFile("the index is damaged")
        frames = tuple(Frame(*map(int, one)) for one in found["frames"])
        holes = tuple((int(low), int(high)) for low, high in found["holes"])
        return Index(frames, holes, int(found["lines"]))
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise DamagedFile("the index is damaged") from error


def unpack(data: bytes) -> bytes:
    """Return the lines of a frame, as JSON Lines in UTF-8.

    Raises:
        DamagedFile: The frame is damaged, or larger than any that this module makes.
        ImportError: The extra ``archive`` is not installed.
    """
    import zstandard  # noqa: PLC0415  an extra

    try:
        if not 0 < zstandard.frame_content_size(data) <= _MOST_BYTES:
            raise DamagedFile("a frame has no size, or is too large")
        return zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise DamagedFile("a frame is damaged") from error


def read_lines(text: bytes) -> list[StoredLine]:
    """Return the lines of a frame, as rows.

    Raises:
        DamagedFile: A line is none of this module.
    """
    try:
        return list(_filled(_parsed(text)))
    except _WRONG_LINE as error:
        raise DamagedFile("a line is damaged") from error


def find_lines(text: bytes, hint: bytes) -> list[StoredLine] | None:
    """Return the lines of a frame that may have a text, as rows; None if most may.

    Args:
        text: The frame.
        hint: In lower case; it has no character that JSON escapes.

    Raises:
        DamagedFile: See ``read_lines``.
    """
    # Colours may stand inside the words, and are ignored by filters.
    if b"\\u001b" in text or b"\x1b" in text:
        return None
    lowered = text.lower()
    found: list[bytes] = []
    numbers: list[tuple[int, int]] = []
    # Start, number and time of the last line that was looked at.
    before, seq, timestamp = 0, 0, 0
    try:
        at = lowered.find(hint)
        while at >= 0:
            start = text.rfind(b"\n", 0, at) + 1
            end = text.find(b"\n", at) + 1 or len(text)
            # A quote in a text is escaped: outside of keys, neither of these can occur.
            named = text.rfind(b'{"seq":', before, end)
            timed = text.rfind(b'"timestamp":', before, end)
            if named >= 0:
                seq, before = _number(text, named + 7), named
            seq += text.count(b"\n", before, start)
            if timed >= 0:
                timestamp = _number(text, timed + 12)
            before = start
            found.append(text[start:end])
            numbers.append((seq, timestamp))
            if len(found) > _MOST_SINGLE:
                return None
            at = lowered.find(hint, end)
        rows = _parsed(b"".join(found))
        return [(*number, *_rest(one)) for number, one in zip(numbers, rows, strict=True)]
    except _WRONG_LINE as error:
        raise DamagedFile("a line is damaged") from error


def _number(text: bytes, at: int) -> int:
    return int(text[at : text.index(b",", at, at + _LONGEST_NUMBER)])


def _parsed(text: bytes) -> list[dict[str, Any]]:
    # One call for all lines. A line end in a text is escaped, so each one here ends a line.
    return json.loads(b"[" + text.rstrip(b"\n").replace(b"\n", b",") + b"]")  # type: ignore[no-any-return]


def _filled(found: Iterable[dict[str, Any]]) -> Iterator[StoredLine]:
    seq, timestamp = 0, 0
    for one in found:
        seq = one.get("seq", seq + 1)
        timestamp = one.get("timestamp", timestamp)
        yield seq, timestamp, *_rest(one)


def _rest(one: dict[str, Any]) -> tuple[int, str, str, str | None]:
    return _LEVELS[one["level"]], one["source"], one["message"], one.get("request_id")
