"""Unpack uploaded archives into memory; an archive is accepted or rejected as a whole.

Headers are untrusted. Sizes are counted while unpacking, and one read cannot be larger than a valid archive needs. A
single top-level folder (as in GitHub's archives) is preserved: files are stored under the paths that were sent.
"""

from __future__ import annotations

import gzip
import io
import itertools
import re
import stat
import struct
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import IO, cast

from preview.errors import InvalidGeneration, TooLarge
from preview.generations.files import PathCheck, named, require_some, shown
from preview.generations.interface import Budget, GenerationLimits
from preview.generations.repository_part import RepositoryPart


class BoundedReads:
    """Read-only view of a seekable file, for parsers whose read sizes come from a header.

    Args:
        file: The seekable file.
        limit_bytes: Maximum size of one read.
        kind: The archive's format, for messages.
        refused: Pattern that makes a read fail, except inside ``content()``.
    """

    def __init__(
        self, file: IO[bytes], limit_bytes: int, kind: str, *, refused: re.Pattern[bytes] | None = None
    ) -> None:
        self._file = file
        self._limit = limit_bytes
        self._kind = kind
        self._refused = refused
        self._in_content = False

    def read(self, size: int = -1, /) -> bytes:
        """Read up to ``size`` bytes, or the rest of the file if negative.

        Raises:
            InvalidGeneration: The read is over the limit, or its bytes match ``refused``.
        """
        if size < 0:
            size = self._left()
        if size > self._limit:
            raise InvalidGeneration(
                f"The {self._kind} archive has a header of {size} bytes, which is too long; pack it again with "
                "an ordinary tool.",
                format=self._kind,
            )
        found = self._file.read(size)
        if self._refused is not None and not self._in_content and self._refused.search(found):
            raise InvalidGeneration(
                f"The {self._kind} archive has an invalid header; pack it again with an ordinary tool.",
                format=self._kind,
            )
        return found

    @contextmanager
    def content(self) -> Iterator[None]:
        """Mark reads in the body as reads of a file's content: ``refused`` does not apply."""
        self._in_content = True
        try:
            yield
        finally:
            self._in_content = False

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position, like any file."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """Return the position, like any file."""
        return self._file.tell()

    def seekable(self) -> bool:
        """Return true, like any file."""
        return True

    def _left(self) -> int:
        here = self._file.tell()
        end = self._file.seek(0, io.SEEK_END)
        self._file.seek(here)
        return end - here


_CHUNK_BYTES = 64 * 1024
# zipfile reads this much to find the archive's end: the longest comment, and the end record.
_ZIP_TAIL_BYTES = 66 * 1024
# A record of the central directory: 46 bytes, the name, extra fields. Doubled for the folders.
_ZIP_RECORD_BYTES = 2 * 256
# Blocks of a tar besides the content: header, padding, and the same for a pax header.
_TAR_OVERHEAD_BYTES = 4 * 512
# Maximum size of one pax or long-name header. Longest path: 1 KiB; some tools add extended attributes.
_TAR_HEADER_BYTES = 64 * 1024
# A number in a pax header has 20 digits. tarfile before Python 3.11.10 takes quadratic time over longer runs
# (CVE-2024-6232) while holding the GIL.
_DIGITS = re.compile(rb"[0-9]{64}")
_ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_GZIP = b"\x1f\x8b"
_MAC_FOLDER = "__MACOSX"

# Exceptions that zipfile, zlib, gzip and tarfile raise on malformed input.
_BROKEN = (
    zipfile.BadZipFile,
    tarfile.TarError,
    gzip.BadGzipFile,
    zlib.error,
    EOFError,
    struct.error,
    ValueError,
    OverflowError,
    NotImplementedError,
    IndexError,
    RecursionError,
)


def unpack(source: IO[bytes], limits: GenerationLimits, plain: IO[bytes] | None = None) -> dict[str, bytes]:
    """Unpack an archive, whose format is detected from its content.

    Args:
        source: Seekable file at position 0. Read in this thread.
        limits: Limits of the unpacked files.
        plain: An empty file that receives the decompressed tar; None creates a temporary file.

    Raises:
        InvalidGeneration: The file is neither a zip nor a tar.gz archive, or see ``unpack_zip`` and ``unpack_tar_gz``.
        TooLarge: As these.
    """
    head = source.read(len(_ZIP))
    source.seek(0)
    if head in (_ZIP, _EMPTY_ZIP):
        return unpack_zip(source, limits)
    if head.startswith(_GZIP):
        return unpack_tar_gz(source, limits, plain)
    raise InvalidGeneration("The file is neither a zip nor a tar.gz archive.")


def unpack_repository(source: IO[bytes], limits: GenerationLimits, part: RepositoryPart) -> dict[str, bytes]:
    """Return the files of a repository's zip archive, without its top folder and without symbolic links.

    Args:
        source: Seekable file at position 0. Read in this thread.
        limits: Limits of the unpacked files.
        part: What is unpacked; receives what was left out.

    Raises:
        InvalidGeneration: As ``unpack_zip``, or nothing is in the folder.
        TooLarge: As ``unpack_zip``.
    """
    head = source.read(len(_ZIP))
    source.seek(0)
    if head != _ZIP:
        raise InvalidGeneration("The download is not a zip archive; try again.")
    return unpack_zip(source, limits, part)


def unpack_zip(
    source: IO[bytes] | Path, limits: GenerationLimits, part: RepositoryPart | None = None
) -> dict[str, bytes]:
    """Return the files of a zip archive. Leaves out empty folders and the folder that macOS adds (``__MACOSX``).

    Args:
        source: A file's path, or a seekable file at position 0. Read in this thread.
        limits: Limits of the unpacked files.
        part: Unpack a part, as of a repository; None unpacks all entries under their own names.

    Raises:
        InvalidGeneration: The archive is broken or encrypted, or contains entries that are not allowed.
        TooLarge: It unpacks to too many files or bytes.
    """
    with _opened(source) as file, _refusing_broken("zip"):
        bounded = BoundedReads(file, _ZIP_TAIL_BYTES + limits.files * _ZIP_RECORD_BYTES, "zip")
        with zipfile.ZipFile(cast("IO[bytes]", bounded)) as archive:
            return _read_zip(archive, limits, part)


def unpack_tar_gz(
    source: IO[bytes] | Path, limits: GenerationLimits, plain: IO[bytes] | None = None
) -> dict[str, bytes]:
    """Return the files of a tar.gz archive. Leaves out empty folders.

    Args:
        source: A file's path, or a file at position 0. Read in this thread.
        limits: Limits of the unpacked files.
        plain: See ``unpack``.

    Raises:
        InvalidGeneration: The archive is broken, or contains links, devices or other special files.
        TooLarge: It unpacks to too many files or bytes.
    """
    own = tempfile.TemporaryFile(prefix="preview-unpack-") if plain is None else nullcontext(plain)  # noqa: SIM115  entered below
    with _opened(source) as file, own as inflated, _refusing_broken("tar.gz"):
        _inflate(file, inflated, limits)
        bounded = BoundedReads(inflated, _TAR_HEADER_BYTES, "tar.gz", refused=_DIGITS)
        with tarfile.open(fileobj=cast("IO[bytes]", bounded), mode="r:", encoding="utf-8") as archive:
            return _read_tar(archive, bounded, limits)


def plain_bytes(limits: GenerationLimits) -> int:
    """Return the maximum size in bytes of a decompressed tar."""
    return limits.size_bytes + 2 * limits.files * _TAR_OVERHEAD_BYTES + tarfile.RECORDSIZE


def _read_zip(archive: zipfile.ZipFile, limits: GenerationLimits, part: RepositoryPart | None) -> dict[str, bytes]:
    entries = archive.infolist()
    _check_overlap(entries)
    check, budget, files = PathCheck(limits), Budget(limits), {}
    members = []
    if part is not None:
        part.find_installed(entries)
    for entry in entries:
        # ``filename`` is cut at a NUL, which would hide the rest of the name.
        name = entry.orig_filename
        if name.partition("/")[0] == _MAC_FOLDER:
            continue
        if part is not None:
            chosen = part.name_of(entry)
            if chosen is None:
                continue
            name = chosen
        _check_zip_entry(entry, name)
        if name.endswith("/"):
            check.add_folder(name)
        else:
            members.append((check.add_file(name), entry))
    # All headers are valid now. Nothing is unpacked before.
    for path, entry in members:
        with archive.open(entry) as content:
            files[path] = _read_bounded(content.read, budget)
    if part is not None and not files:
        where = f"The repository has no files in the folder {shown(part.folder)}" if part.folder else "It has no files"
        raise InvalidGeneration(f"{where}; check its address.", path=named(part.folder))
    require_some(files)
    return files


def _check_zip_entry(entry: zipfile.ZipInfo, name: str) -> None:
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        _refuse_kind(name, "a link" if kind == stat.S_IFLNK else "a device or another special file")
    if entry.flag_bits & 0x41:
        raise InvalidGeneration(
            f"The file {shown(name)} is encrypted; pack the archive without a password.", path=named(name)
        )
    # Headers of bzip2 and LZMA determine how much memory is used. Common tools do not use either by default.
    if entry.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise InvalidGeneration(
            f"The file {shown(name)} is compressed in an unsupported way; use deflate, which is every tool's default.",
            path=named(name),
        )


def _check_overlap(entries: list[zipfile.ZipInfo]) -> None:
    """Reject overlapping entries. Archives with shared bytes unpack to far more than their size (zip bombs)."""
    ordered = sorted(entries, key=lambda entry: entry.header_offset)
    for one, following in itertools.pairwise(ordered):
        # 30 bytes: the fixed part of a local header, before the name.
        if one.header_offset + 30 + one.compress_size > following.header_offset:
            raise InvalidGeneration("The zip archive's files overlap; pack it again with an ordinary tool.")


def _inflate(source: IO[bytes], target: IO[bytes], limits: GenerationLimits) -> None:
    """Decompress the gzip layer and count its bytes. The headers of tar are then read from a file of fixed size."""
    left = plain_bytes(limits)
    with gzip.GzipFile(fileobj=source, mode="rb") as unpacked:
        while chunk := unpacked.read(_CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                raise TooLarge(
                    f"The archive unpacks to more than {limits.size_bytes} bytes; leave out what the project does not "
                    "need to run (data, builds, dependencies).",
                    limit_bytes=limits.size_bytes,
                )
            target.write(chunk)
    target.seek(0)


def _read_tar(archive: tarfile.TarFile, source: BoundedReads, limits: GenerationLimits) -> dict[str, bytes]:
    check, budget, files = PathCheck(limits), Budget(limits), {}
    # ``next`` also appends each entry to a list. A folder may occur many times; ``check`` counts it once.
    for entries, member in enumerate(iter(archive.next, None)):
        if entries > 2 * limits.files:
            raise TooLarge(f"The archive has more than {2 * limits.files} entries.", limit_entries=2 * limits.files)
        if member.isdir():
            check.add_folder(member.name)
            continue
        if not member.isreg() or member.issparse():
            _refuse_kind(member.name, _tar_kind(member))
        path = check.add_file(member.name)
        content = archive.extractfile(member)
        assert content is not None, "it is a regular file"  # noqa: S101
        with content, source.content():
            files[path] = _read_bounded(content.read, budget)
    require_some(files)
    return files


def _tar_kind(member: tarfile.TarInfo) -> str:
    if member.issym() or member.islnk():
        return "a link"
    return "a sparse file" if member.issparse() else "a device or another special file"


@contextmanager
def _opened(source: IO[bytes] | Path) -> Iterator[IO[bytes]]:
    context: AbstractContextManager[IO[bytes]] = source.open("rb") if isinstance(source, Path) else nullcontext(source)
    with context as file:
        yield file


@contextmanager
def _refusing_broken(kind: str) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise InvalidGeneration(
            f"The file is not a valid {kind} archive ({type(error).__name__}); pack and send it again.",
            format=kind,
        ) from error


def _read_bounded(read: Callable[[int], bytes], budget: Budget) -> bytes:
    content = bytearray()
    while chunk := read(_CHUNK_BYTES):
        budget.take(len(chunk))
        content += chunk
    return bytes(content)


def _refuse_kind(name: str, kind: str) -> None:
    raise InvalidGeneration(
        f"The archive's entry {shown(name)} is {kind}; only files and folders are allowed.",
        path=named(name),
    )
