"""Transfer of an unpacked archive from a worker to the service: one file with all contents, concatenated."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from preview.errors import PreviewError
from preview.generations import GenerationLimits, RepositoryPart, check_files, plain_bytes, unpack, unpack_repository
from preview.worker.checks import Forged

_PIECE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class ArchiveAnswer:
    """The files of an archive.

    Attributes:
        files: Path and size in bytes of each file, in the order of their contents.
        links: Paths of symbolic links of a repository, which were left out; at most ``MOST_LINKS``.
        installed: Folders of installed packages of a repository, which were left out; as many.
    """

    files: Sequence[tuple[str, int]]
    links: Sequence[str] = ()
    installed: Sequence[str] = ()


MOST_LINKS: Final = 100
_LONGEST_LINK: Final = 200


@dataclass(frozen=True, slots=True)
class Unpacked:
    """The files of a repository: content by path, and paths of symbolic links and of folders that were left out."""

    files: Mapping[str, bytes]
    links: Sequence[str]
    installed: Sequence[str] = ()


def file_bytes(limits: GenerationLimits) -> int:
    """Return the size limit for files that a worker writes while it unpacks an archive."""
    return max(limits.size_bytes, plain_bytes(limits))


def unpack_into(
    archive: int, contents: int, plain: int, limits: GenerationLimits, folder: str | None = None
) -> ArchiveAnswer:
    """Unpack an archive. Runs in the worker.

    Args:
        archive: Descriptor of the archive.
        contents: Descriptor of an empty file, which receives the contents of all files.
        plain: Descriptor of an empty file, which receives the decompressed tar.
        limits: Limits on the unpacked files.
        folder: Folder of a repository, whose archive this is; empty for all of it. None: another archive.

    Raises:
        PreviewError: The same errors as ``unpack`` raises.
    """
    with os.fdopen(archive, "rb") as source, os.fdopen(plain, "rb+") as inflated, os.fdopen(contents, "wb") as target:
        source.seek(0)
        part = RepositoryPart(folder or "")
        files = unpack(source, limits, inflated) if folder is None else unpack_repository(source, limits, part)
        for content in files.values():
            target.write(content)
    sizes = [(path, len(content)) for path, content in files.items()]
    return ArchiveAnswer(sizes, shown_links(part.links), shown_links([*part.installed]))


def shown_links(links: Sequence[str]) -> Sequence[str]:
    """Return some of the paths, shortened."""
    return [one[:_LONGEST_LINK] for one in links[:MOST_LINKS]]


def contents_of(answer: ArchiveAnswer, contents: int, limits: GenerationLimits) -> dict[str, bytes]:
    """Return the files, checked like files that a client uploads one by one. Blocks on the disk.

    Raises:
        Forged: No archive within the limits can have these files.
    """
    if len({path for path, _ in answer.files}) != len(answer.files):
        raise Forged("two files have the same path")
    left, offset, found = limits.size_bytes, 0, {}
    for path, size in answer.files:
        left -= size
        if size < 0 or left < 0:
            raise Forged("the files are larger than an archive may be")
        found[path] = _read(contents, offset, size)
        offset += size
    try:
        checked = check_files(found, limits)
    except PreviewError as error:
        raise Forged(error.message) from error
    if checked.keys() != found.keys():
        raise Forged("a path is not in its normalized form")
    return checked


def _read(descriptor: int, offset: int, size: int) -> bytes:
    pieces = []
    while size:
        piece = os.pread(descriptor, min(size, _PIECE_BYTES), offset)
        if not piece:
            raise Forged("a file is shorter than declared")
        pieces.append(piece)
        offset += len(piece)
        size -= len(piece)
    return b"".join(pieces)
