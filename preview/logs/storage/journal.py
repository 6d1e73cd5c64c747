"""Lines on their way to the database, kept where a kill of this process does not reach them.

A subscriber has a line within some milliseconds, the database some 100 ms later. Were the service killed in
between, the line would be gone although somebody has read it. So each batch is first appended to a file: what ``write``
has taken is the kernel's, and outlives the process (it does not outlive a power cut: nothing waits for the disk). The
next start reads its records, see ``recover_lines``.
"""

from __future__ import annotations

import errno
import json
import os
import struct
import sys
import zlib
from array import array
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from preview.logs.model.batch import Batch
from preview.logs.model.events import Requests
from preview.settings import Settings

_log = structlog.get_logger(__name__)

# A file of this size is followed by a new one; each is removed when all of it is in the database.
_SEGMENT_BYTES = 4 * 1024 * 1024
_MAGIC = b"PVJ1"
# Records of lines that have requests; their payload begins with the ids, as JSON, and how long that is.
_MAGIC_REQUESTS = b"PVJ2"
_REQUESTS = struct.Struct("<I")
# Magic, then the payload's length and CRC-32: a record that a full disk or a kill has cut short is found by these.
_HEAD = struct.Struct("<4sII")
# Length of the preview's id in bytes, number of the first line, how many lines.
_BATCH = struct.Struct("<HQI")
_STAMP = "q"
_MAGICS = (_MAGIC, _MAGIC_REQUESTS)


def journal_folder(settings: Settings) -> Path:
    """Return the folder of a service's journal. The service holds the lock of the data folder."""
    return settings.data_dir / "journal"


@dataclass(slots=True)
class _Segment:
    """One file.

    Attributes:
        last_seqs: The last number in it of each preview.
        size_bytes: Whole records only.
    """

    path: Path
    descriptor: int
    last_seqs: dict[str, int] = field(default_factory=dict)
    size_bytes: int = 0


class Journal:
    """Appended to by the writer, and emptied by it. Synchronous: a copy into the kernel's memory takes microseconds.

    A journal that cannot be written (a full disk) is reported once in the service's log and keeps nobody waiting:
    the lines are in memory, as without it.

    Args:
        folder: Made if needed; nothing in it is needed any more (see ``recover_lines``).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # The last one is written to.
        self._segments: deque[_Segment] = deque()
        self._made = 0
        self._failing = False

    @property
    def size_bytes(self) -> int:
        """Size on disk."""
        return sum(segment.size_bytes for segment in self._segments)

    def append(self, batch: Batch) -> None:
        """Keep a batch."""
        try:
            segment = self._current()
            _append(segment, _encode(batch))
        except OSError as error:
            if not self._failing:
                _log.warning("journal not written", reason=error.strerror or str(error))
            self._failing = True
            return
        self._failing = False
        segment.last_seqs[batch.preview_id] = batch.last_seq

    def release(self, is_settled: Callable[[str, int], bool]) -> None:
        """Release what is in the database.

        Args:
            is_settled: Whether no line of this preview up to this number is still on its way.
        """
        while self._segments:
            oldest = self._segments[0]
            if not all(is_settled(preview_id, seq) for preview_id, seq in oldest.last_seqs.items()):
                return
            if len(self._segments) == 1:
                self._empty(oldest)
                return
            self._segments.popleft()
            _remove(oldest)

    def close(self) -> None:
        """Close the files. Those that hold what is not in the database stay for the next start."""
        while self._segments:
            segment = self._segments.popleft()
            if segment.size_bytes:
                os.close(segment.descriptor)
            else:
                _remove(segment)

    def _current(self) -> _Segment:
        if self._segments and self._segments[-1].size_bytes < _SEGMENT_BYTES:
            return self._segments[-1]
        path = self._folder / f"{self._made:08d}.lines"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC
            descriptor = os.open(path, flags, 0o600)
        except OSError:
            if self._segments:
                # No descriptor is free: rather one that grows than none.
                return self._segments[-1]
            raise
        self._made += 1
        self._segments.append(_Segment(path, descriptor))
        return self._segments[-1]

    def _empty(self, segment: _Segment) -> None:
        if segment.size_bytes:
            with suppress(OSError):
                os.ftruncate(segment.descriptor, 0)
                segment.size_bytes = 0
                segment.last_seqs.clear()


@contextmanager
def open_journal(folder: Path) -> Iterator[Journal]:
    """Provide a journal, closed at the end; unstored lines stay for the next start."""
    journal = Journal(folder)
    try:
        yield journal
    finally:
        journal.close()


def _append(segment: _Segment, record: bytes) -> None:
    written = os.write(segment.descriptor, record)
    if written < len(record):
        # The disk is full. What follows must not stand behind half a record.
        os.ftruncate(segment.descriptor, segment.size_bytes)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    segment.size_bytes += written


def _remove(segment: _Segment) -> None:
    os.close(segment.descriptor)
    with suppress(OSError):
        segment.path.unlink()


def _encode(batch: Batch) -> bytes:
    name = batch.preview_id.encode()
    stamps = array(_STAMP, batch.timestamps)
    if sys.byteorder == "big":
        stamps.byteswap()
    payload = b"".join(
        [
            _BATCH.pack(len(name), batch.first_seq, len(batch)),
            name,
            stamps.tobytes(),
            batch.marks,
            # No line holds a line end: that is what makes it one.
            "\n".join(batch.messages).encode(),
        ]
    )
    magic = _MAGIC
    if batch.requests is not None:
        requests = json.dumps(batch.requests).encode()
        magic, payload = _MAGIC_REQUESTS, _REQUESTS.pack(len(requests)) + requests + payload
    return _HEAD.pack(magic, len(payload), zlib.crc32(payload)) + payload


def read_segments(folder: Path) -> Iterator[tuple[Path, list[Batch]]]:
    """Yield a journal's files with their batches, oldest first; a file ends at an incomplete record.

    Args:
        folder: See ``journal_folder``; one that is not there holds none.
    """
    for path in sorted(folder.glob("*.lines")):
        yield path, list(_read(path.read_bytes()))


def _read(content: bytes) -> Iterator[Batch]:
    place = 0
    while len(content) - place >= _HEAD.size:
        magic, length, checksum = _HEAD.unpack_from(content, place)
        payload = content[place + _HEAD.size : place + _HEAD.size + length]
        if magic not in _MAGICS or len(payload) < length or zlib.crc32(payload) != checksum:
            return
        yield _decode(payload) if magic == _MAGIC else _decode_requests(payload)
        place += _HEAD.size + length


def _decode_requests(payload: bytes) -> Batch:
    (length,) = _REQUESTS.unpack_from(payload)
    at_batch = _REQUESTS.size + length
    requests = json.loads(payload[_REQUESTS.size : at_batch])
    return _decode(payload[at_batch:], {int(position): request for position, request in requests.items()})


def _decode(payload: bytes, requests: Requests | None = None) -> Batch:
    name_bytes, first_seq, count = _BATCH.unpack_from(payload)
    at_name = _BATCH.size
    at_stamps = at_name + name_bytes
    at_marks = at_stamps + 8 * count
    at_text = at_marks + count
    stamps = array(_STAMP, payload[at_stamps:at_marks])
    if sys.byteorder == "big":
        stamps.byteswap()
    messages = payload[at_text:].decode().split("\n")
    name, marks = payload[at_name:at_stamps].decode(), payload[at_marks:at_text]
    return Batch(name, first_seq, stamps.tolist(), marks, messages, requests)
