"""The form of an archived log: JSON Lines, compressed with Zstandard, with an index.

A file is a sequence of Zstandard frames (RFC 8878), each with some thousand whole lines, so that a reader unpacks only
the part that it needs. Two skippable frames follow (section 3.1.2): the index as JSON, and the index's position.
``zstd -d`` skips them, and prints the lines.

A line is ``{"seq":1,"timestamp":1795857220000,"level":"INFO","source":"child.preview","message":"…"}``, and has
``"request_id"`` at its end if the request is known. Times are in milliseconds since the epoch.
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
_LEVEL = 5
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

        self._compressor = zstandard.ZstdCompressor(level=_LEVEL)
        self._lines: list[str] = []
        self._characters = 0
        self._first = self._last = self._count = 0
        self._offset = 0
        self._frames: list[Frame] = []
        self._holes: list[tuple[int, int]] = []

    def add(self, rows: Iterable[StoredLine]) -> Iterator[bytes]:
        """Add lines; yield the frames that are full."""
        for seq, timestamp, level, source, message, request in rows:
            if self._last and seq > self._last + 1 and len(self._holes) < _MOST_HOLES:
                self._holes.append((self._last + 1, seq - 1))
            if not self._lines:
                self._first = seq
            self._last = seq
            end = "}\n" if request is None else f',"request_id":{encode_basestring(request)}}}\n'
            self._lines.append(
                f'{{"seq":{seq},"timestamp":{timestamp},"level":"{_NAMES[level]}","source":"{source}",'
                f'"message":{encode_basestring(message)}{end}'
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
        data = self._compressor.compress("".join(self._lines).encode("utf-8", "surrogatepass"))
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
    """Return the lines of JSON Lines, as rows.

    Raises:
        DamagedFile: A line is none of this module.
    """
    try:
        # One call for all lines. A line end in a text is escaped, so each one here ends a line.
        found = json.loads(b"[" + text.rstrip(b"\n").replace(b"\n", b",") + b"]")
        return [_row(one) for one in found]
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedFile("a line is damaged") from error


def _row(one: dict[str, Any]) -> StoredLine:
    return one["seq"], one["timestamp"], _LEVELS[one["level"]], one["source"], one["message"], one.get("request_id")
