"""The file of a backup: a zip with a manifest. Reading one believes nothing of it.

A backup may come from anywhere: a damaged disk, or a stranger. So each name must match ``_NAME``, each entry must be a
plain file, and each file must have the size and the hash that the manifest says. No path is ever taken from the file
as it is, links do not exist, and nothing is read beyond the size that was promised.
"""

from __future__ import annotations

import json
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Annotated, BinaryIO

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from preview.cli.exits import CommandFailed
from preview.core.quoting import quoted

DATABASE, MANIFEST = "database.sqlite", "manifest.json"
_FORMAT = 1
_PART = r"[A-Za-z0-9_][A-Za-z0-9._-]{0,120}"
# The names that a service's data folder has; ``preview.cli.backup.contents`` writes no others.
_NAME = re.compile(rf"{re.escape(DATABASE)}|secret|sealing-keys|(?:audit|journal)/{_PART}|snapshots/{_PART}/{_PART}")
# Each data snapshot has some files. A service with a thousand users and twenty snapshots each has as many.
MOST_FILES = 100_000
# A manifest takes some 150 bytes for each file; a zip's directory some 100.
_MOST_MANIFEST_BYTES = MOST_FILES * 400
_MOST_DIRECTORY_BYTES = MOST_FILES * 400
_CHUNK = 1024 * 1024
# APPNOTE.TXT 4.3.16, 4.3.15, 4.3.14: the end of a zip, before it the 64-bit locator, and before that the 64-bit end.
_END, _END_MAGIC = struct.Struct("<4s4H2LH"), b"PK\x05\x06"
_LOCATOR, _LOCATOR_MAGIC = struct.Struct("<4sLQL"), b"PK\x06\x07"
_END64, _END64_MAGIC = struct.Struct("<4sQ2H2L4Q"), b"PK\x06\x06"


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class SavedFile(_Model):
    """One file of a backup, as the manifest has it."""

    size: int = Field(ge=0, le=2**50)
    sha256: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Manifest(_Model):
    """The description of a backup.

    Attributes:
        format: Version of this form.
        preview: Version of the program that wrote it.
        created_at: RFC 3339.
        database: Kind of the database that was saved.
        revision: Its revision.
        files: The files by name.
    """

    format: int
    preview: str = Field(max_length=100)
    created_at: str = Field(max_length=40)
    database: Annotated[str, StringConstraints(pattern=r"^(sqlite|postgresql)$")]
    revision: Annotated[str, StringConstraints(pattern=r"^[0-9a-z]{1,32}$")]
    files: dict[str, SavedFile] = Field(max_length=MOST_FILES)

    @property
    def size_bytes(self) -> int:
        """Size of all files when they are unpacked."""
        return sum(one.size for one in self.files.values())

    def count(self, folder: str) -> int:
        """Return the number of files below a folder."""
        return sum(name.startswith(f"{folder}/") for name in self.files)


class BadArchive(CommandFailed):
    """The file is not a backup, is damaged, or tries something that no backup does."""

    code = "bad_archive"


class DamagedArchive(BadArchive):
    """The file was a backup, and has changed since: a part is missing, or is another one.

    Args:
        how: What is wrong, without a full stop.
    """

    def __init__(self, how: str) -> None:
        super().__init__(f"The backup is incomplete or damaged: {how}. Copy it again, or restore an older backup.")


@dataclass(slots=True)
class ArchiveWriter:
    """Adds files to a new backup, and remembers them for the manifest."""

    _zip: zipfile.ZipFile
    files: dict[str, SavedFile] = field(default_factory=dict)

    def add(self, name: str, source: BinaryIO) -> None:
        """Add a file's content as it is now; a file that grows meanwhile is cut there.

        Raises:
            CommandFailed: There are too many files, or the name is none of a data folder's.
        """
        if not _NAME.fullmatch(name):
            raise CommandFailed(
                f"The data folder has {quoted(name)}, which this service does not create; move it elsewhere."
            )
        if len(self.files) >= MOST_FILES:
            raise CommandFailed(
                f"The data folder has more than {MOST_FILES} files to save; "
                "delete data snapshots that are no longer needed."
            )
        left = os.fstat(source.fileno()).st_size
        size, digest = 0, sha256()
        with self._zip.open(name, "w", force_zip64=True) as target:
            while left > 0 and (piece := source.read(min(_CHUNK, left))):
                target.write(piece)
                digest.update(piece)
                size += len(piece)
                left -= len(piece)
        self.files[name] = SavedFile(size=size, sha256=digest.hexdigest())

    def finish(self, manifest: Mapping[str, object]) -> Manifest:
        """Write the manifest."""
        made = Manifest.model_validate({**manifest, "format": _FORMAT, "files": self.files})
        self._zip.writestr(MANIFEST, made.model_dump_json())
        return made


@contextmanager
def write_archive(path: Path) -> Iterator[ArchiveWriter]:
    """Write a backup that exists under its name only when it is complete, for this user alone (mode 0600).

    Raises:
        CommandFailed: The file exists, or cannot be written.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.part")
    there = CommandFailed(f"{quoted(str(path))} exists already; name another file.")
    if path.exists() or path.is_symlink():
        raise there
    try:
        descriptor = os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w+b") as file:
            # The fastest level: rows and lines become a quarter of their size with any.
            with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                yield ArchiveWriter(archive)
            file.flush()
            os.fsync(file.fileno())
        # Unlike a rename, a link never replaces a file.
        os.link(draft, path)
    except FileExistsError as error:
        raise there from error
    except OSError as error:
        raise CommandFailed(f"{quoted(str(path))} cannot be written: {error.strerror or error}.") from error
    finally:
        draft.unlink(missing_ok=True)


class ArchiveReader:
    """A backup whose names, kinds and sizes have been checked. Contents are checked while they are read.

    Attributes:
        manifest: Its description.
    """

    def __init__(self, archive: zipfile.ZipFile, manifest: Manifest) -> None:
        self._archive = archive
        self.manifest = manifest

    def check(self) -> None:
        """Read everything once.

        Raises:
            BadArchive: A file differs from the manifest.
        """
        for name in self.manifest.files:
            for _ in self._pieces(name):
                pass

    def extract(self, name: str, path: Path) -> None:
        """Write one file into a new file of this user (mode 0600).

        Raises:
            BadArchive: The file differs from the manifest.
            OSError: It cannot be written.
        """
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            for piece in self._pieces(name):
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())

    def _pieces(self, name: str) -> Iterator[bytes]:
        expected, digest, size = self.manifest.files[name], sha256(), 0
        with _damage(name), self._archive.open(name) as source:
            while piece := source.read(_CHUNK):
                size += len(piece)
                if size > expected.size:
                    raise DamagedArchive(f"{name} is larger than its manifest says")
                digest.update(piece)
                yield piece
        if (size, digest.hexdigest()) != (expected.size, expected.sha256):
            raise DamagedArchive(f"{name} is not the file that was saved (its checksum differs)")


@contextmanager
def read_archive(path: Path) -> Iterator[ArchiveReader]:
    """Open a backup and check everything but the contents.

    Raises:
        BadArchive: It is no backup, damaged, or of a newer format.
        CommandFailed: It cannot be read.
    """
    try:
        opened = path.open("rb")
    except OSError as error:
        raise CommandFailed(f"{quoted(str(path))} cannot be read: {error.strerror or error}.") from error
    with opened as file:
        with _damage(MANIFEST):
            _check_directory(file)
            archive = zipfile.ZipFile(file)
            manifest = _checked(archive)
        with archive:
            yield ArchiveReader(archive, manifest)


@contextmanager
def _damage(name: str) -> Iterator[None]:
    # zipfile raises these for content that is not a zip's: OSError for places before the file's beginning, and
    # NotImplementedError for methods that it does not know.
    kinds = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError, ValueError, IndexError)
    try:
        yield
    except kinds as error:
        raise DamagedArchive(f"{name} cannot be read") from error


def _check_directory(file: BinaryIO) -> None:
    """Check the size of the zip's directory, which ``zipfile`` reads into memory as a whole.

    Raises:
        BadArchive: The file is no zip, or the directory is larger than that of any backup.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - _END64.size - _LOCATOR.size - _END.size))
    tail = file.read()
    last = tail[-_END.size :]
    # A backup has no comment.
    if len(last) < _END.size or not last.startswith(_END_MAGIC) or not last.endswith(b"\0\0"):
        raise BadArchive("The file is not a backup, or it is incomplete.")
    end = _END.unpack(last)
    entries, directory = end[4], end[5]
    locator = tail[-_END.size - _LOCATOR.size : -_END.size]
    if locator.startswith(_LOCATOR_MAGIC):
        # ``zipfile`` does not follow the locator: it takes the record right before it.
        record = tail[: -_END.size - _LOCATOR.size]
        place = size - len(tail)
        if not record.startswith(_END64_MAGIC) or _LOCATOR.unpack(locator)[2] != place:
            raise DamagedArchive("its end cannot be read")
        end64 = _END64.unpack(record)
        entries, directory = end64[7], end64[8]
    if directory > _MOST_DIRECTORY_BYTES or entries > MOST_FILES + 1:
        raise BadArchive(f"The file has more than {MOST_FILES} entries, so it is not a backup.")
    file.seek(0)


def _checked(archive: zipfile.ZipFile) -> Manifest:
    entries = archive.infolist()
    if len(entries) > MOST_FILES + 1 or len({one.filename for one in entries}) < len(entries):
        raise BadArchive("The file has duplicate names, or too many names, so it is not a backup.")
    found = next((one for one in entries if one.filename == MANIFEST), None)
    if found is None:
        raise BadArchive("The file is not a backup: it has no manifest.")
    if found.file_size > _MOST_MANIFEST_BYTES:
        raise BadArchive("The backup's manifest is too large.")
    with archive.open(found) as source:
        text = source.read(_MOST_MANIFEST_BYTES + 1)
    manifest = _parsed(text)
    wrong = {one.filename for one in entries} ^ {*manifest.files, MANIFEST}
    wrong |= {name for name in manifest.files if not _NAME.fullmatch(name)}
    wrong |= {one.filename for one in entries if one.is_dir() or one.flag_bits & 1 or not _is_plain(one)}
    if wrong:
        raise BadArchive(f"The file has an entry that does not belong in a backup: {quoted(min(wrong))}.")
    sizes = {one.filename: one.file_size for one in entries if one.filename != MANIFEST}
    if sizes != {name: one.size for name, one in manifest.files.items()}:
        raise DamagedArchive("sizes of its files differ from its manifest")
    if DATABASE not in manifest.files:
        raise BadArchive("The file is not a backup: it has no database.")
    return manifest


def _parsed(text: bytes) -> Manifest:
    try:
        raw = json.loads(text)
        number = raw.get("format") if isinstance(raw, dict) else None
        if isinstance(number, int) and number > _FORMAT:
            raise BadArchive("A newer version of preview wrote this backup; restore it with that version.")
        manifest = Manifest.model_validate(raw)
    except (ValueError, RecursionError, ValidationError):
        # Without the cause, which repeats the file's texts.
        raise BadArchive("The file is not a backup: its manifest cannot be read.") from None
    if manifest.format != _FORMAT:
        raise BadArchive("The file is not a backup: its format is unknown.")
    return manifest


def _is_plain(entry: zipfile.ZipInfo) -> bool:
    """Return whether an entry is a regular file; the upper half of its attributes is a Unix mode, or 0."""
    kind = entry.external_attr >> 16 & 0o170000
    return kind in {0, 0o100000}
