"""Pack a generation's files into an archive, piece by piece."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import IO, cast

# Times that both formats can express: zip has no years before 1980 and none after 2107.
_FIRST_YEAR, _LAST_YEAR = 1980, 2107
_READABLE = 0o644
_LEVEL = 6


class ArchiveKind(StrEnum):
    """Format of an archive."""

    ZIP = "zip"
    TAR_GZ = "tar.gz"


class Packer:
    """Writes an archive of files at their own paths, without a folder around them. Methods block: call in a thread.

    The archive holds no name and no id of this machine's users.

    Args:
        kind: The format.
        modified: The time of all files, aware.
    """

    def __init__(self, kind: ArchiveKind, modified: datetime) -> None:
        self._made = _Sink()
        moment = modified.astimezone(UTC)
        self._modified = moment.replace(year=min(max(moment.year, _FIRST_YEAR), _LAST_YEAR))
        self._zip: zipfile.ZipFile | None = None
        self._tar: tarfile.TarFile | None = None
        self._gzip: gzip.GzipFile | None = None
        if kind is ArchiveKind.ZIP:
            self._zip = zipfile.ZipFile(cast("IO[bytes]", self._made), "w", zipfile.ZIP_DEFLATED, compresslevel=_LEVEL)
        else:
            self._gzip = gzip.GzipFile(fileobj=cast("IO[bytes]", self._made), mode="wb", compresslevel=_LEVEL, mtime=0)
            self._tar = tarfile.open(fileobj=self._gzip, mode="w|")  # noqa: SIM115  see finish

    def add(self, files: Iterable[tuple[str, bytes]]) -> bytes:
        """Add files; return the bytes of the archive that are complete now, which may be none."""
        for path, content in files:
            if self._zip is not None:
                entry = zipfile.ZipInfo(path, self._modified.timetuple()[:6])
                entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, _READABLE << 16
                self._zip.writestr(entry, content)
            if self._tar is not None:
                member = tarfile.TarInfo(path)
                member.size, member.mtime, member.mode = len(content), int(self._modified.timestamp()), _READABLE
                self._tar.addfile(member, io.BytesIO(content))
        return self._made.take()

    def finish(self) -> bytes:
        """Complete the archive; return its last bytes."""
        for archive in (self._zip, self._tar, self._gzip):
            if archive is not None:
                archive.close()
        return self._made.take()


class _Sink:
    """Collects written bytes; it cannot seek, so the writers never go back to earlier bytes.

    It is never closed: an archive that was given up writes its end when it is collected.
    """

    def __init__(self) -> None:
        self._pieces = bytearray()

    def write(self, data: bytes | bytearray | memoryview) -> int:
        written = bytes(data)
        self._pieces += written
        return len(written)

    def flush(self) -> None:
        """Do nothing: what is written is there."""

    def take(self) -> bytes:
        taken = bytes(self._pieces)
        self._pieces.clear()
        return taken
