"""Journal of lines that are queued for the database, which survives a kill of this process.

A subscriber gets a line within some milliseconds, the database some 100 ms later. If the service were killed in
between, a line that somebody has read would be lost. So each batch is first appended to a file. After ``write`` the
kernel has the data, which survives the process, but not a power cut: nothing is synced to the disk. The next start
reads the records, see ``recover_lines``.
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

# A file of this size is followed by a new one. A file is removed when all its lines are in the database.
_SEGMENT_BYTES = 4 * 1024 * 1024
_MAGIC = b"PVJ1"
# Records with request ids: their payload starts with the length of a JSON object and the object.
_MAGIC_REQUESTS = b"PVJ2"
_REQUESTS = struct.Struct("<I")
# Magic, length and CRC-32 of the payload, which detect a record that a full disk or a kill has truncated.
_HEAD = struct.Struct("<4sII")
# Length of the preview's id in bytes, number of the first line, number of lines.
_BATCH = struct.Struct("<HQI")
_STAMP = "q"
_MAGICS = (_MAGIC, _MAGIC_REQUESTS)


def journal_folder(settings: Settings) -> Path:
    """Return the folder of the service's journal. The lock of the data folder protects it."""
    return settings.data_dir / "journal"


@dataclass(slots=True)
class _Segment:
    """One file of the journal.

    Attributes:
        last_seqs: Number of the last line in the file, by preview.
        size_bytes: Size of the complete records.
    """

    path: Path
    descriptor: int
    last_seqs: dict[str, int] = field(default_factory=dict)
    size_bytes: int = 0


class Journal:
    """Append-only files, written and released by the log writer. Synchronous: a write takes microseconds.

    A journal that cannot be written (a full disk) is logged once and blocks nobody: the lines are then only in memory.

    Args:
        folder: Created if missing. Files in it are overwritten, so recover them first (see ``recover_lines``).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # Oldest first; the last one is written to.
        self._segments: deque[_Segment] = deque()
        self._made = 0
        self._failing = False

    @property
    def size_bytes(self) -> int:
        """Size on disk."""
        return sum(segment.size_bytes for segment in self._segments)

    def append(self, batch: Batch) -> None:
        """Append a batch."""
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
        """Release files whose lines are all in the database.

        Args:
            is_settled: Returns True if no line of this preview up to this number is queued.
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
        """Close the files. Files with lines that the database lacks stay for the next start."""
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
                # No descriptor is free: let the last file grow.
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
    """Open a journal; close it at the end. Lines that are not stored stay for the next start."""
    journal = Journal(folder)
    try:
        yield journal
    finally:
        journal.close()


def _append(segment: _Segment, record: bytes) -> None:
    written = os.write(segment.descriptor, record)
    if written < len(record):
        # The disk is full. Remove the partial record, so that later records can be read.
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
            # Messages contain no line ends.
            "\n".join(batch.messages).encode(),
        ]
    )
    magic = _MAGIC
    if batch.requests is not None:
        requests = json.dumps(batch.requests).encode()
        magic, payload = _MAGIC_REQUESTS, _REQUESTS.pack(len(requests)) + requests + payload
    return _HEAD.pack(magic, len(payload), zlib.crc32(payload)) + payload


def read_segments(folder: Path) -> Iterator[tuple[Path, list[Batch]]]:
    """Yield a journal's files with their batches, oldest first; reading a file stops at an incomplete record.

    Args:
        folder: See ``journal_folder``; may be missing.
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
