"""The tar of a preview's files: written and read by the service alone, with the names and content of strangers."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Collection
from typing import BinaryIO

from preview.core.quoting import quoted
from preview.data.threads import check_cancelled
from preview.data.walk import leads_out, reading
from preview.errors import DataUnavailable

CHUNK_BYTES = 1024 * 1024
_ENCODING, _ERRORS = "utf-8", "surrogateescape"
# Files of a SQLite database: the copy replaces all of them.
_COMPANIONS = ("", "-wal", "-shm", "-journal")
_MODE = 0o777
_KINDS = (tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE)


def write_entry(file: BinaryIO, path: str, status: os.stat_result, target: str = "") -> None:
    """Write a folder or a link.

    Raises:
        OSError: The tar cannot be written.
    """
    kind = tarfile.DIRTYPE if stat.S_ISDIR(status.st_mode) else tarfile.SYMTYPE
    file.write(_header(path, status, kind, target=target))


def write_file(file: BinaryIO, path: str, descriptor: int, left_bytes: int) -> int:
    """Write a regular file with the bytes that it has now: no more if it grows meanwhile, fewer if it shrinks.

    Args:
        file: The tar.
        path: The file's path in the tar.
        descriptor: The open file.
        left_bytes: Maximum size.

    Returns:
        Number of bytes.

    Raises:
        DataUnavailable: The file is larger, or cannot be read.
        OSError: The tar cannot be written.
    """
    status = os.fstat(descriptor)
    if status.st_size > left_bytes:
        raise DataUnavailable(
            f"The files are too large for a snapshot; {quoted(path)} with {status.st_size} bytes exceeds the limit."
        )
    start = file.tell()
    file.write(_header(path, status, tarfile.REGTYPE, size=status.st_size))
    count = 0
    while count < status.st_size:
        check_cancelled()
        with reading(path):
            chunk = os.read(descriptor, min(CHUNK_BYTES, status.st_size - count))
            if not chunk:
                break
        file.write(chunk)
        count += len(chunk)
    file.write(bytes(-count % tarfile.BLOCKSIZE))
    if count < status.st_size:
        end = file.tell()
        file.seek(start)
        file.write(_header(path, status, tarfile.REGTYPE, size=count))
        file.seek(end)
    return count


def _header(path: str, status: os.stat_result, kind: bytes, *, size: int = 0, target: str = "") -> bytes:
    info = tarfile.TarInfo(path)
    info.type, info.size, info.linkname = kind, size, target
    info.mode, info.mtime = status.st_mode & _MODE, int(status.st_mtime)
    return info.tobuf(tarfile.GNU_FORMAT, _ENCODING, _ERRORS)


def companions(paths: Collection[str]) -> frozenset[str]:
    """Return the paths of all files that belong to these SQLite files."""
    return frozenset(f"{path}{ending}" for path in paths for ending in _COMPANIONS)


Index = dict[str, tarfile.TarInfo]


def read_index(file: BinaryIO, *, most_bytes: int, most_files: int) -> Index:
    """Return the entries by path; each path's folders are entries too. Nothing is believed but that it is a tar.

    A later entry replaces an earlier one at the same path, or one that is in the way of its folders.

    Raises:
        DataUnavailable: Something is not as ``write_entry`` and ``write_file`` write it, or over a limit.
    """
    index: Index = {}
    try:
        with tarfile.open(fileobj=file, mode="r:", encoding=_ENCODING, errors=_ERRORS) as archive:
            for info in archive:
                if info.name == "." and info.isdir():
                    continue
                most_bytes -= info.size
                most_files -= 1
                if most_bytes < 0 or most_files < 0 or not _is_sound(info):
                    raise DataUnavailable("The snapshot's files are over a limit, or damaged.")
                _add(index, info)
    except (tarfile.TarError, ValueError, OverflowError) as error:
        raise DataUnavailable("The snapshot's files are damaged.") from error
    return index


def _add(index: Index, info: tarfile.TarInfo) -> None:
    parts = info.name.split("/")
    for end in range(1, len(parts)):
        above = "/".join(parts[:end])
        if above not in index or not index[above].isdir():
            index[above] = tarfile.TarInfo(above)
            index[above].type, index[above].mode = tarfile.DIRTYPE, 0o755
    if not info.isdir() and info.name in index and index[info.name].isdir():
        # An application may put a file or a link in place of a folder of its generation.
        for below in [path for path in index if path.startswith(f"{info.name}/")]:
            del index[below]
    index[info.name] = info


def _is_sound(info: tarfile.TarInfo) -> bool:
    parts = info.name.split("/")
    is_inside = not any(part in ("", ".", "..") for part in parts) and "\0" not in info.name
    is_link_inside = not info.issym() or not (leads_out(info.name, info.linkname) or "\0" in info.linkname)
    return info.type in _KINDS and is_inside and is_link_inside and bool(info.linkname or not info.issym())


def copy_out(file: BinaryIO, info: tarfile.TarInfo, write: Callable[[bytes], object]) -> None:
    """Pass the content of a regular file on in chunks.

    Raises:
        OSError: The tar cannot be read, or ``write`` fails.
        DataUnavailable: The tar is shorter than it was.
    """
    file.seek(info.offset_data)
    left = info.size
    while left:
        check_cancelled()
        chunk = file.read(min(CHUNK_BYTES, left))
        if not chunk:
            raise DataUnavailable("The snapshot's files are damaged.")
        write(chunk)
        left -= len(chunk)
