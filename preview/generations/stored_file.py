"""Facts of one stored file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256

# One thread reads and writes this much at once: a fraction of a second on a slow disk, so cancellation is quick.
_PART_BYTES = 4 * 1024 * 1024
PART_FILES = 200
"""Most files of a part."""


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the store.

    Attributes:
        sha256: Of the content, hex.
        is_text: Whether the content is UTF-8 without NUL.
    """

    path: str
    size_bytes: int
    sha256: str
    is_text: bool


def hashed(path: str, content: bytes) -> StoredFile:
    """Return the file's entry for a list, with its hash."""
    return StoredFile(path, len(content), sha256(content).hexdigest(), is_text(content))


def facts_of(files: Mapping[str, bytes]) -> dict[str, StoredFile]:
    """Return the facts of each file. Takes a second for some hundred megabytes: call in a thread."""
    return {path: hashed(path, content) for path, content in files.items()}


def is_text(content: bytes) -> bool:
    """Return whether the content is UTF-8 without NUL."""
    if b"\0" in content:
        return False
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True


def parts_of(sizes: Iterable[tuple[str, int]]) -> Iterator[list[str]]:
    """Yield paths in groups that one thread reads and writes at once; a larger file is a group by itself.

    Args:
        sizes: Paths, and sizes in bytes.
    """
    part: list[str] = []
    size = 0
    for path, size_bytes in sizes:
        if part and (size + size_bytes > _PART_BYTES or len(part) == PART_FILES):
            yield part
            part, size = [], 0
        part.append(path)
        size += size_bytes
    if part:
        yield part
