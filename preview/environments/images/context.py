"""Pack what a build may copy: a tar archive without what ``.dockerignore`` names, and the digest of its content."""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final, cast

from preview.core.descriptors import file_of, raise_want
from preview.errors import EnvironmentFailed

DOCKERFILE: Final = ".preview.dockerfile"
"""Name of the checked Dockerfile in the archive; the engine takes it out again."""

EMPTY: Final = ".preview.empty"
"""Name of an empty folder in the archive."""

_IGNORE: Final = ".dockerignore"
_IGNORE_BYTES: Final = 32 * 1024
_MOST_PATTERNS: Final = 200
_MOST_PATTERN: Final = 200
_MOST_ANY: Final = 3
_MOST_FILES: Final = 50_000
_MOST_DEPTH: Final = 60
_EXECUTABLE: Final = 0o111
# Entries of folders that are looked at, also those that are left out.
_MOST_LOOKED: Final = 500_000
_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_GONE = frozenset({errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO})


@dataclass(frozen=True, slots=True)
class Pattern:
    """One line of ``.dockerignore``: the parts of its path, and whether it takes files in again."""

    parts: tuple[str, ...]
    takes_in: bool


def read_ignored(text: str) -> list[Pattern]:
    """Return the patterns of a ``.dockerignore``; lines beyond the bounds do not count."""
    found: list[Pattern] = []
    for line in map(str.strip, text.splitlines()[: 4 * _MOST_PATTERNS]):
        if not line or line.startswith("#") or len(line) > _MOST_PATTERN or len(found) == _MOST_PATTERNS:
            continue
        takes_in = line.startswith("!")
        parts = [one for one in line.removeprefix("!").strip().split("/") if one not in ("", ".")]
        # No real file has more; each one multiplies the time that a path takes.
        if parts and ".." not in parts and parts.count("**") <= _MOST_ANY:
            found.append(Pattern(tuple(parts), takes_in))
    return found


def read_ignored_of(project: Path, folder: str) -> list[Pattern]:
    """Return the patterns of a folder of the project.

    Raises:
        OSError: There is no such folder.
    """
    with open_below(project, f"{folder}/.") as (root, _):
        return read_ignored(read_small(root, _IGNORE, _IGNORE_BYTES) or "")


def is_ignored(path: str, patterns: Sequence[Pattern]) -> bool:
    """Return whether the last pattern that fits the path, or a folder above it, leaves it out."""
    parts = path.split("/")[:_MOST_DEPTH]
    return next((not one.takes_in for one in reversed(patterns) if _fits(one.parts, parts)), False)


def _fits(pattern: Sequence[str], parts: Sequence[str]) -> bool:
    """Return whether the pattern fits the path, or the beginning of it."""
    reached = {0}
    for index, one in enumerate(pattern):
        if one == "**":
            # At the end it stands for at least one part.
            least = 1 if index == len(pattern) - 1 else 0
            reached = set(range(min(reached) + least, len(parts) + 1)) if reached else reached
        else:
            reached = {at + 1 for at in reached if at < len(parts) and fnmatch.fnmatchcase(parts[at], one)}
    return bool(reached)


def pack_context(
    project: Path,
    folder: str,
    dockerfile: str,
    target: IO[bytes],
    most_bytes: int,
    check: Callable[[], None] = lambda: None,
) -> str:
    """Write the archive; return the digest of what it has. Blocks on the disk: call it in a thread.

    Links are packed as links, and never followed: each folder is opened from the one above it, so a folder that becomes
    a link meanwhile is left out. Other special files are left out. Of a file, a piece at a time is in memory.

    Args:
        project: The project's folder.
        folder: The folder to pack, relative to it.
        dockerfile: The checked Dockerfile.
        target: File to write to.
        most_bytes: Size of all files together.
        check: Called before each file and each piece; what it raises ends the work.

    Raises:
        EnvironmentFailed: The folder has more, or cannot be read.
    """
    with open_below(project, f"{folder}/.") as (root, _):
        patterns = read_ignored(read_small(root, _IGNORE, _IGNORE_BYTES) or "")
        packer = _Packer(patterns, most_bytes, check, hashlib.sha256(dockerfile.encode()))
        with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
            # The engine reads this list, and then takes both files out.
            for name, text in ((_IGNORE, f"{_IGNORE}\n{DOCKERFILE}\n"), (DOCKERFILE, dockerfile)):
                content = text.encode()
                archive.addfile(member_of(name, 0o644, len(content)), io.BytesIO(content))
            archive.addfile(member_of(EMPTY, 0o755, kind=tarfile.DIRTYPE))
            try:
                packer.pack(archive, root, "")
            except OSError as error:
                raise_want(error)
                raise EnvironmentFailed(
                    f"The image cannot be built: a file of the project cannot be read ({error.strerror or error}).",
                    reason="disk",
                ) from error
    return packer.said.hexdigest()


def read_small(folder: int, name: str, most_bytes: int) -> str | None:
    """Return a plain file's text, cut to a number of bytes; None for anything else, or none.

    Args:
        folder: Descriptor of its folder.
        name: Its name.
        most_bytes: Bytes to read at most.

    Raises:
        OSError: No descriptor is free.
    """
    try:
        descriptor = os.open(name, _READING, dir_fd=folder)
    except OSError as error:
        raise_want(error)
        return None
    with file_of(descriptor) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        return file.read(most_bytes).decode("utf-8", "replace")


@contextmanager
def open_below(folder: Path, path: str) -> Iterator[tuple[int, str]]:
    """Yield the descriptor of the folder that holds ``path``, and its last name; no link is followed.

    Raises:
        OSError: There is no such folder.
    """
    *above, name = path.split("/")
    with ExitStack() as held:
        descriptor = held.enter_context(_open_folder(folder))
        for one in above:
            if one in ("", "."):
                continue
            if one == "..":
                raise NotADirectoryError(path)
            descriptor = held.enter_context(_open_folder(one, descriptor))
        yield descriptor, name


@contextmanager
def _open_folder(path: Path | str, above: int | None = None) -> Iterator[int]:
    descriptor = os.open(path, _FOLDER if above is not None else _FOLDER & ~os.O_NOFOLLOW, dir_fd=above)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


class _Packer:
    """Packs folders, and counts.

    Args:
        patterns: Names to leave out.
        most_bytes: Size of all files together.
        check: See ``pack_context``.
        said: Digest of the content.
    """

    def __init__(
        self, patterns: Sequence[Pattern], most_bytes: int, check: Callable[[], None], said: hashlib._Hash
    ) -> None:
        self.said = said
        self._patterns = patterns
        self._has_exceptions = any(one.takes_in for one in patterns)
        self._most_bytes = most_bytes
        self._check = check
        self._bytes = 0
        self._files = 0
        self._looked = 0

    def pack(self, archive: tarfile.TarFile, folder: int, prefix: str) -> None:
        """Add what a folder has.

        Raises:
            EnvironmentFailed: It is too much.
            OSError: It cannot be read.
        """
        for name in sorted(self._names(folder)):
            self._check()
            path = prefix + name
            if path in (_IGNORE, DOCKERFILE, EMPTY):
                continue
            is_left_out = is_ignored(path, self._patterns)
            try:
                status = os.stat(name, dir_fd=folder, follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISDIR(status.st_mode):
                self._pack_folder(archive, folder, path, is_left_out=is_left_out)
            elif not is_left_out:
                self._pack_one(archive, folder, path, status.st_mode)

    def _names(self, folder: int) -> list[str]:
        names: list[str] = []
        with os.scandir(folder) as found:
            for one in found:
                self._looked += 1
                names.append(one.name)
                if self._looked > _MOST_LOOKED:
                    raise self._too_much()
        return names

    def _pack_folder(self, archive: tarfile.TarFile, above: int, path: str, *, is_left_out: bool) -> None:
        if is_left_out and not self._has_exceptions:
            return
        try:
            held = _open_folder(path.rpartition("/")[2], above)
            with held as folder:
                if not is_left_out:
                    self._count(path, tarfile.DIRTYPE, 0o755, 0)
                    archive.addfile(member_of(path, 0o755, kind=tarfile.DIRTYPE))
                if path.count("/") < _MOST_DEPTH:
                    self.pack(archive, folder, f"{path}/")
        except OSError as error:
            # It has gone, or is a link now.
            if error.errno not in _GONE:
                raise

    def _pack_one(self, archive: tarfile.TarFile, folder: int, path: str, mode: int) -> None:
        name = path.rpartition("/")[2]
        if stat.S_ISLNK(mode):
            link = os.readlink(name, dir_fd=folder)
            self._count(path, tarfile.SYMTYPE, 0o777, len(link))
            self.said.update(os.fsencode(link))
            archive.addfile(member_of(path, 0o777, kind=tarfile.SYMTYPE, link=link))
            return
        try:
            descriptor = os.open(name, _READING, dir_fd=folder)
        except OSError as error:
            if error.errno in _GONE:
                return
            raise
        with file_of(descriptor) as file:
            status = os.fstat(descriptor)
            if stat.S_ISREG(status.st_mode):
                mode = 0o755 if status.st_mode & _EXECUTABLE else 0o644
                self._count(path, tarfile.REGTYPE, mode, status.st_size)
                # A file that becomes shorter meanwhile is an error, a longer one is cut.
                reader = _Reader(file, self.said, self._check)
                archive.addfile(member_of(path, mode, status.st_size), cast("IO[bytes]", reader))

    def _count(self, path: str, kind: bytes, mode: int, size: int) -> None:
        self._files += 1
        self._bytes += size
        if self._files > _MOST_FILES or self._bytes > self._most_bytes:
            raise self._too_much()
        head = f"\0{path}\0{kind!r}\0{mode}\0{size}\0"
        self.said.update(head.encode("utf-8", "surrogateescape"))

    def _too_much(self) -> EnvironmentFailed:
        return EnvironmentFailed(
            f"The image cannot be built: its files have more than {self._most_bytes >> 20} MiB, or are more than "
            f"{_MOST_FILES}; name what the image does not need in {_IGNORE}.",
            reason="context_too_large",
        )


class _Reader:
    """A file that adds to the digest what is read of it."""

    def __init__(self, file: IO[bytes], said: hashlib._Hash, check: Callable[[], None]) -> None:
        self._file = file
        self._said = said
        self._check = check

    def read(self, size: int) -> bytes:
        """Return the next piece."""
        self._check()
        piece = self._file.read(size)
        self._said.update(piece)
        return piece


def member_of(name: str, mode: int, size: int = 0, *, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    """Return an entry of an archive, always of the same owner and time: the engine caches by content."""
    member = tarfile.TarInfo(name)
    member.mode, member.size, member.type, member.linkname = mode, size, kind, link
    return member
