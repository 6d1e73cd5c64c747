"""Where environments lie and what stands beside them.

```
KEY/                       a finished environment, never changed afterwards
KEY/preview.json           what it is; written last
KEY.lock                   see ``locks``; its modification time is the last use
.building-KEY-PID-RANDOM/  being built, renamed to KEY when finished
.removing-KEY-PID-RANDOM/  renamed from KEY, being removed
```
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from preview.removal import remove_folder

__all__ = ["Layout", "measure_and_protect", "remove_tree"]

_MARKER = "preview.json"
_KEY = re.compile(r"[0-9a-f]{32}")
_TEMPORARY = re.compile(r"\.(?:building|removing)-(?P<key>[0-9a-f]{32})-\d+-[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of all environments."""

    root: Path

    def directory(self, key: str) -> Path:
        """The finished environment."""
        return self.root / key

    def python(self, key: str) -> Path:
        """Its interpreter."""
        return self.root / key / "bin" / "python"

    def lock(self, key: str) -> Path:
        """Its lock file."""
        return self.root / f"{key}.lock"

    def temporary(self, key: str, purpose: str) -> Path:
        """A new name beside the environment; ``purpose`` is ``building`` or ``removing``."""
        return self.root / f".{purpose}-{key}-{os.getpid()}-{secrets.token_hex(4)}"

    def is_usable(self, key: str) -> bool:
        """Whether the environment is finished and its interpreter's home is still there."""
        return (self.root / key / _MARKER).is_file() and self.python(key).exists()

    def size_bytes(self, key: str) -> int:
        """What it takes, as its marker says."""
        try:
            size = json.loads((self.root / key / _MARKER).read_text("utf-8"))["size_bytes"]
        except (OSError, ValueError, KeyError, TypeError):
            return 0
        return size if isinstance(size, int) else 0

    def decisions(self, key: str) -> list[str]:
        """What was decided when it was built, one sentence each, as its marker says."""
        try:
            found = json.loads((self.root / key / _MARKER).read_text("utf-8"))["decisions"]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []

    def all_keys(self) -> list[str]:
        """All environments, finished or broken."""
        return [entry.name for entry in self.root.iterdir() if _KEY.fullmatch(entry.name)] if self.root.is_dir() else []

    def leftovers(self, key: str | None = None) -> list[tuple[str, Path]]:
        """Key and path of temporary folders, of one key or all: somebody's work, unless its key can be locked."""
        if not self.root.is_dir():
            return []
        found = [(match["key"], entry) for entry in self.root.iterdir() if (match := _TEMPORARY.fullmatch(entry.name))]
        return [(owner, path) for owner, path in found if key in (None, owner)]


def measure_and_protect(directory: Path, facts: Mapping[str, object]) -> int:
    """Write the marker, then take the write permission from all folders; the size in bytes.

    Files keep theirs: they may be links to the installer's cache, which must stay writable there.
    """
    size = 0
    folders = []
    for folder, _, names in os.walk(directory):
        folders.append(folder)
        for name in names:
            status = os.lstat(os.path.join(folder, name))  # noqa: PTH118  thousands of files: strings are faster
            size += status.st_size if stat.S_ISREG(status.st_mode) else 0
    marker = directory / _MARKER
    with marker.open("w", encoding="utf-8") as file:
        json.dump({**facts, "size_bytes": size}, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    for folder in folders[1:]:  # the environment's own folder must stay movable
        Path(folder).chmod(0o555)
    return size


def remove_tree(directory: Path) -> None:
    """Remove a folder whose subfolders may be protected; none there is fine.

    Raises:
        OSError: Something cannot be removed.
    """
    remove_folder(directory)
    if directory.exists():
        raise OSError(errno.ENOTEMPTY, "it cannot be removed", str(directory))
