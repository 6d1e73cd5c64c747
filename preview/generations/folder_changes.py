"""Changes saved in a folder since the last look."""

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

# The kernel writes times by its tick, and some file systems by the second (ext3, FAT: two): what was written so
# shortly before it was looked at may have been written again since, with nothing to tell by.
_UNSURE_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class FolderChange:
    """Files that are not as they were.

    Attributes:
        written: Content of those that are new or different, by path.
        removed: Paths of those that are gone.
    """

    written: Mapping[str, bytes]
    removed: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.written or self.removed)

    def then(self, later: FolderChange) -> FolderChange:
        """Both as one."""
        written = {path: content for path, content in self.written.items() if path not in later.removed}
        removed = [path for path in self.removed if path not in later.written and path not in later.removed]
        return FolderChange(written | dict(later.written), [*removed, *later.removed])


@dataclass(frozen=True, slots=True)
class _Seen:
    """A file when it was looked at.

    Attributes:
        sha256: Of its content, hex.
        mark: What the file system says of it; None where it may change without that being different.
    """

    sha256: str
    mark: tuple[int, ...] | None


class FolderChanges:
    """The files of a folder, as ``FolderGenerations`` takes them, from look to look. Methods block: for threads.

    Args:
        limits: None means those of a service where nothing is set.
    """

    def __init__(self, directory: Path, limits: GenerationLimits | None = None) -> None:
        self._directory = directory.absolute()
        self._limits = limits or GenerationLimits.default()
        self._seen: dict[str, _Seen] = {}

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of each file, hex, as of the last look."""
        return {path: seen.sha256 for path, seen in self._seen.items()}

    def folders(self) -> list[Path]:
        """Return the folders to watch: those that may contain files of the generation."""
        return kept_folders(self._directory)

    def look(self) -> FolderChange:
        """Return changes since the last call; at first, all files. Unreadable files are read again.

        Raises:
            InvalidGeneration, TooLarge: The folder cannot be a generation as it is; the next look starts from the same.
        """
        budget, seen, written = Budget(self._limits), dict[str, _Seen](), dict[str, bytes]()
        for one in scan_folder(self._directory, self._limits):
            before = self._seen.get(one.path)
            try:
                mark = _mark(one)
                if before is not None and before.mark is not None and before.mark == mark:
                    budget.take(mark[0])
                    seen[one.path] = before
                    continue
                content = read_found(one, budget)
            except FileNotFoundError:
                continue  # gone since it was listed
            except OSError as error:
                raise_want(error)
                raise InvalidGeneration(
                    f"{shown(one.path)} cannot be read ({error.strerror}); allow it, or leave it out.", path=one.path
                ) from error
            now = _Seen(sha256(content).hexdigest(), _lasting(mark))
            seen[one.path] = now
            if before is None or before.sha256 != now.sha256:
                written[one.path] = content
        removed = [path for path in self._seen if path not in seen]
        self._seen = seen
        return FolderChange(written, removed)


def _mark(one: Found) -> tuple[int, ...]:
    """Of before the content is read: what is written meanwhile makes another."""
    status = one.source.stat()
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _lasting(mark: tuple[int, ...]) -> tuple[int, ...] | None:
    return mark if max(mark[1:3]) < time.time_ns() - _UNSURE_NS else None
