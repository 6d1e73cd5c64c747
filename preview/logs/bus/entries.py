"""Entries of a log's Redis Stream. Pure.

The stream of a preview has lines only. An entry's id is the number of its last line, so Redis itself refuses lines
that are there already, and a reader asks for those after a number. Its content is signed with a key of the cluster:
others may write into Redis, but cannot make a line. Each time that an owner begins to write a log, it writes into a
stream of another name, which the signature covers: an earlier entry that somebody repeats is not accepted.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from preview.logs.bus.redis import Reply
from preview.logs.model.batch import Batch
from preview.logs.model.wire import FrameReader, NotALog, frames

MOST_ENTRIES = 500
"""Entries of one stream, about; older ones are trimmed."""
EXPIRY_S = 60
"""Seconds after which a stream that nobody writes is gone."""
MOST_ENTRY_BYTES = 512 * 1024
"""Content of one entry; a line that is longer goes the other way."""
READ_ENTRIES = 16
"""Entries of one reply."""
MOST_REPLY_BYTES = READ_ENTRIES * (MOST_ENTRY_BYTES + 1024)

_ENTRY_CHARACTERS = 64 * 1024
_ENTRY_LINES = 1000
_SIGNATURE_BYTES = 32
_FIELD = b"f"
_NAME = re.compile(rb"[0-9]{1,16}-0")


class BusFault(Exception):
    """The bus fails, leaves lines out, or has something that the owner did not write."""


@dataclass(frozen=True, slots=True)
class BusStream:
    """A stream of a preview's lines.

    Attributes:
        preview_id: The preview.
        token: Random; another each time that an owner begins to write.
    """

    preview_id: str
    token: str

    @property
    def name(self) -> str:
        """The stream's name in Redis."""
        return f"preview:lines:{self.preview_id}:{self.token}"


def entries_of(stream: BusStream, batches: Sequence[Batch], key: bytes) -> Iterator[tuple[str, bytes]]:
    """Yield ids and contents of lines that follow each other; short batches share an entry.

    Raises:
        BusFault: A line is too long.
    """
    for part in _parts(joined(batches)):
        made = b"".join(frames(part))
        if len(made) + _SIGNATURE_BYTES > MOST_ENTRY_BYTES:
            raise BusFault("a line is too long")
        name = f"{part.last_seq}-0"
        yield name, _signature(key, stream, name.encode(), made) + made


def joined(batches: Sequence[Batch]) -> Batch:
    """Return batches that follow each other as one."""
    if len(batches) == 1:
        return batches[0]
    first = batches[0]
    requests = {
        one.first_seq - first.first_seq + at: name for one in batches for at, name in (one.requests or {}).items()
    }
    return Batch(
        first.preview_id,
        first.first_seq,
        [time for one in batches for time in one.timestamps],
        b"".join(one.marks for one in batches),
        [message for one in batches for message in one.messages],
        requests or None,
    )


# One command: a connection that breaks between two would leave a new stream without an expiry.
_ADD = (
    "redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], ARGV[2], ARGV[3], ARGV[4]) "
    "return redis.call('EXPIRE', KEYS[1], ARGV[5])"
)


def add_command(stream: BusStream, name: str, content: bytes) -> tuple[str | bytes | int, ...]:
    """Return the command that writes an entry and renews the expiry of its stream."""
    return ("EVAL", _ADD, 1, stream.name, MOST_ENTRIES, name, _FIELD, content, EXPIRY_S)


def batches_in(reply: Reply, stream: BusStream, key: bytes) -> list[Batch]:
    """Return the lines in a reply of ``XREAD``.

    Raises:
        BusFault: An entry is not one of the owner's.
    """
    match reply:
        case None:
            return []
        case [[bytes(), list() as entries]]:
            return [batch for entry in entries for batch in _batches(entry, stream, key)]
    raise BusFault("a reply of another form")


def _batches(entry: Reply, stream: BusStream, key: bytes) -> list[Batch]:
    match entry:
        case [bytes() as name, [field, bytes() as content]] if field == _FIELD and _NAME.fullmatch(name):
            pass
        case _:
            raise BusFault("an entry of another form")
    if len(content) > MOST_ENTRY_BYTES:
        raise BusFault("an entry is too long")
    made = content[_SIGNATURE_BYTES:]
    if not hmac.compare_digest(content[:_SIGNATURE_BYTES], _signature(key, stream, name, made)):
        raise BusFault("an entry without the cluster's signature")
    try:
        found = FrameReader(stream.preview_id).feed(made)
    except NotALog as error:
        raise BusFault("an entry that has no lines") from error
    return [one for one in found if isinstance(one, Batch)]


def _signature(key: bytes, stream: BusStream, name: bytes, made: bytes) -> bytes:
    # Unambiguous: neither the stream's name nor the entry's has a NUL.
    return hmac.digest(key, b"%b\0%b\0%b" % (stream.name.encode(), name, made), hashlib.sha256)


def _parts(batch: Batch) -> Iterator[Batch]:
    """Yield the lines in batches that fit into an entry, as far as single lines do."""
    if len(batch) <= _ENTRY_LINES and batch.size_bytes <= _ENTRY_CHARACTERS:
        yield batch
        return
    first = characters = 0
    for at, message in enumerate(batch.messages):
        if at > first and (characters + len(message) > _ENTRY_CHARACTERS or at - first >= _ENTRY_LINES):
            yield _part(batch, first, at)
            first, characters = at, 0
        characters += len(message)
    yield _part(batch, first, len(batch))


def _part(batch: Batch, first: int, last: int) -> Batch:
    requests = {at - first: one for at, one in (batch.requests or {}).items() if first <= at < last}
    return Batch(
        batch.preview_id,
        batch.first_seq + first,
        batch.timestamps[first:last],
        batch.marks[first:last],
        batch.messages[first:last],
        requests or None,
    )
