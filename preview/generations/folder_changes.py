"""Detect changes in a folder since the last scan."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from preview.core.descriptors import raise_want
from preview.errors import InvalidGeneration
from preview.generations.files import shown
from preview.generations.folder import Found, kept_folders, read_found, scan_folder
from preview.generations.interface import Budget, GenerationLimits

# Timestamps have the resolution of the kernel's tick; some file systems store seconds (ext3) or two seconds (FAT). A
# file modified so recently may change again without a new timestamp.
_UNSURE_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class FolderChange:
    """Files that changed.

    Attributes:
        written: Content of new or changed files, by path.
        removed: Paths of removed files.
    """

    written: Mapping[str, bytes]
    removed: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.written or self.removed)

    def then(self, later: FolderChange) -> FolderChange:
        """Combine this change with a later one."""
        written = {path: content for path, content in self.written.items() if path not in later.removed}
        removed = [path for path in self.removed if path not in later.written and path not in later.removed]
        return FolderChange(written | dict(later.written), [*removed, *later.removed])


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file at the last scan.

    Attributes:
        sha256: Of the content, hex.
        mark: Size, timestamps and inode; None if a later change might leave them equal.
    """

    sha256: str
    mark: tuple[int, ...] | None


class FolderChanges:
    """Detects changes between scans of the files that ``FolderGenerations`` selects. Blocks: call in a thread.

    Args:
        limits: None means the defaults of a service without any settings.
    """

    def __init__(self, directory: Path, limits: GenerationLimits | None = None) -> None:
        self._directory = directory.absolute()
        self._limits = limits or GenerationLimits.default()
        self._seen: dict[str, _Seen] = {}

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file, hex, at the last scan."""
        return {path: seen.sha256 for path, seen in self._seen.items()}

    def folders(self) -> list[Path]:
        """Return the folders to watch: those that may contain files of the generation."""
        return kept_folders(self._directory)

    def look(self) -> FolderChange:
        """Return the changes since the last call; the first call returns all files. Modified files are read again.

        Raises:
            InvalidGeneration, TooLarge: The folder is not a valid generation. The saved state does not change.
        """
        budget, seen, written = Budget(self._limits), dict[str, _Seen](), dict[str, bytes]()
        for one in scan_folder(self._directory, self._limits):
            before = self._seen.get(one.path)
            try:
                mark = _mark(one)
                if before is not None and before.mark is not None and before.mark == mark:
                    budget.take(mark[0], one.path)
                    seen[one.path] = before
                    continue
                content = read_found(one, budget)
            except FileNotFoundError:
                continue  # removed since the listing
            except OSError as error:
                raise_want(error)
                raise InvalidGeneration(
                    f"{shown(one.path)} cannot be read ({error.strerror}); fix its permissions, or leave it out.",
                    path=one.path,
                ) from error
            now = _Seen(sha256(content).hexdigest(), _lasting(mark))
            seen[one.path] = now
            if before is None or before.sha256 != now.sha256:
                written[one.path] = content
        removed = [path for path in self._seen if path not in seen]
        self._seen = seen
        return FolderChange(written, removed)


def _mark(one: Found) -> tuple[int, ...]:
    """Return size, timestamps and inode. Call before reading: a write during the read then changes the mark."""
    status = one.source.stat()
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _lasting(mark: tuple[int, ...]) -> tuple[int, ...] | None:
    return mark if max(mark[1:3]) < time.time_ns() - _UNSURE_NS else None
