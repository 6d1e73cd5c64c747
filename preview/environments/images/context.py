"""Pack what a build may copy: a tar archive without what ``.dockerignore`` names, and the digest of its content."""

from __future__ import annotations

import fnmatch
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from preview.core.descriptors import raise_want, walk
from preview.errors import EnvironmentFailed

DOCKERFILE: Final = ".preview.dockerfile"
"""Name of the checked Dockerfile in the archive; the engine takes it out again."""

_IGNORE: Final = ".dockerignore"
_IGNORE_BYTES: Final = 32 * 1024
_MOST_PATTERNS: Final = 200
_MOST_PATTERN: Final = 200
_MOST_FILES: Final = 50_000
_MOST_DEPTH: Final = 60
_EXECUTABLE: Final = 0o111
_READING = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


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
        if parts and ".." not in parts:
            found.append(Pattern(tuple(parts), takes_in))
    return found


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


def pack_context(folder: Path, dockerfile: str, target: IO[bytes], most_bytes: int) -> str:
    """Write the archive; return the digest of what it has. Blocks on the disk: call it in a thread.

    Links are packed as links, and never followed. Other special files are left out.

    Args:
        folder: The folder to pack; nobody else writes in it.
        dockerfile: The checked Dockerfile.
        target: File to write to.
        most_bytes: Size of all files together.

    Raises:
        EnvironmentFailed: The folder has more, or cannot be read.
    """
    patterns = read_ignored(_ignored_text(folder))
    said = hashlib.sha256(dockerfile.encode())
    with tarfile.open(fileobj=target, mode="w", format=tarfile.PAX_FORMAT) as archive:
        # The engine reads this list, and then takes both files out.
        for name, text in ((_IGNORE, f"{_IGNORE}\n{DOCKERFILE}\n"), (DOCKERFILE, dockerfile)):
            _add(archive, name, text.encode(), 0o644)
        left = most_bytes
        for count, name in enumerate(_names(folder, patterns)):
            size = _pack(archive, said, folder / name, name, left)
            left -= size
            if left < 0 or count >= _MOST_FILES:
                raise EnvironmentFailed(
                    f"The image cannot be built: its files have more than {most_bytes >> 20} MiB, or are more than "
                    f"{_MOST_FILES}; name what the image does not need in {_IGNORE}.",
                    reason="context_too_large",
                )
    return said.hexdigest()


def _ignored_text(folder: Path) -> str:
    content = _read(folder / _IGNORE, _IGNORE_BYTES)
    return "" if content is None else content[:_IGNORE_BYTES].decode("utf-8", "replace")


def _names(folder: Path, patterns: Sequence[Pattern]) -> Iterator[str]:
    """Yield all paths to pack, relative and sorted; folders before what they hold."""
    has_exceptions = any(one.takes_in for one in patterns)
    for above, folders, files in walk(folder):
        folders.sort()
        inside = os.path.relpath(above, folder)
        prefix = "" if inside == "." else f"{inside}/"
        for name in sorted((*folders, *files)):
            path = prefix + name
            if path in (_IGNORE, DOCKERFILE):
                continue
            if not is_ignored(path, patterns):
                yield path
            elif name in folders and not has_exceptions:
                folders.remove(name)
        if prefix.count("/") > _MOST_DEPTH:
            folders.clear()


def _pack(archive: tarfile.TarFile, said: hashlib._Hash, path: Path, name: str, most: int) -> int:
    """Add one file; return its size. ``most`` bytes are read at most."""
    try:
        status = path.lstat()
        mode = 0o755 if status.st_mode & _EXECUTABLE or stat.S_ISDIR(status.st_mode) else 0o644
        if stat.S_ISLNK(status.st_mode):
            link = os.readlink(path)  # noqa: PTH115
            member = _member(name, 0o777)
            member.type, member.linkname = tarfile.SYMTYPE, link
            archive.addfile(member)
            content: bytes = os.fsencode(link)
        elif stat.S_ISDIR(status.st_mode):
            member = _member(name, mode)
            member.type = tarfile.DIRTYPE
            archive.addfile(member)
            content = b""
        else:
            if status.st_size > most:
                return status.st_size
            read = _read(path, most)
            if read is None:
                return 0
            content = read
            _add(archive, name, content, mode)
    except OSError as error:
        raise_want(error)
        raise EnvironmentFailed(
            f"The image cannot be built: {name} cannot be read ({error.strerror}).", reason="disk", path=name
        ) from error
    said.update(f"\0{name}\0{stat.S_IFMT(status.st_mode)}\0{mode}\0{len(content)}\0".encode("utf-8", "surrogateescape"))
    said.update(content)
    return len(content)


def _read(path: Path, most: int) -> bytes | None:
    """Return a plain file's content, up to one byte more than ``most``; None for anything else."""
    try:
        descriptor = os.open(path, _READING)
    except OSError as error:
        raise_want(error)
        return None
    with os.fdopen(descriptor, "rb") as file:
        return file.read(most + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    member = _member(name, mode)
    member.size = len(content)
    archive.addfile(member, io.BytesIO(content))


def _member(name: str, mode: int) -> tarfile.TarInfo:
    # Always of the same owner and time: the engine caches by content.
    member = tarfile.TarInfo(name)
    member.mode = mode
    return member
