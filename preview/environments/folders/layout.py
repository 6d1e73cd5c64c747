"""Files and folders of environments.

```
KEY/                       a finished environment; but for its compiled modules never changed afterwards
KEY/preview.json           what it is; written last
KEY/compiled.json          written when its modules are compiled, which is done while it is used
KEY.refused                why what was tried in a newer Python (see ``trial``) is not to be had there
KEY.lock                   see ``locks``; its modification time is the last use, its content the number of launches
.building-KEY-PID-RANDOM/  being built, renamed to KEY when finished; in the workshop where there is one
.scratch-KEY-PID-RANDOM/   home and temporary files of a build in a jail
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

from preview.core.descriptors import walk
from preview.core.removal import remove_folder

_MARKER = "preview.json"
_COMPILED = "compiled.json"
_REFUSED = ".refused"
_BYTECODE = "__pycache__"
_PROTECTED, _WRITABLE = 0o555, 0o755
_KEY = re.compile(r"[0-9a-f]{32}")
_TEMPORARY = re.compile(r"\.(?:building|removing|scratch)-(?P<key>[0-9a-f]{32})-\d+-[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of all environments.

    Attributes:
        root: Itself.
        workshop: Where they are built instead of there; on the same mount, and this folder's alone.
    """

    root: Path
    workshop: Path | None = None

    def directory(self, key: str) -> Path:
        """Return the finished environment."""
        return self.root / key

    def python(self, key: str) -> Path:
        """Its interpreter."""
        return self.root / key / "bin" / "python"

    def lock(self, key: str) -> Path:
        """Its lock file."""
        return self.root / f"{key}.lock"

    def refusal(self, key: str) -> Path:
        """Return the path of the note why it cannot be built."""
        return self.root / f"{key}{_REFUSED}"

    def refusals(self) -> list[Path]:
        """All of them."""
        return [*self.root.glob(f"*{_REFUSED}"), *self.root.glob(f"{_REFUSED}-*")]

    def temporary(self, key: str, purpose: str) -> Path:
        """Return a new name beside the environment; ``purpose`` is ``building``, ``removing`` or ``scratch``."""
        folder = self.workshop if purpose == "building" and self.workshop is not None else self.root
        return folder / f".{purpose}-{key}-{os.getpid()}-{secrets.token_hex(4)}"

    def put(self, key: str, temporary: Path) -> None:
        """Put a finished folder in the environment's place; a broken one there goes first."""
        place = self.directory(key)
        if place.exists():
            broken = self.temporary(key, "removing")
            place.rename(broken)
            remove_tree(broken)
        temporary.rename(place)

    def is_usable(self, key: str) -> bool:
        """Return whether the environment is finished and its interpreter's home is still there."""
        try:
            marker = (self.root / key / _MARKER).stat()
        except OSError:
            return False
        # Empty: the machine lost its power before the disk had it all.
        return stat.S_ISREG(marker.st_mode) and marker.st_size > 0 and self.python(key).exists()

    def is_compiled(self, key: str) -> bool:
        """Return whether its modules are compiled, as far as they can be."""
        return (self.root / key / _COMPILED).exists()

    def size_bytes(self, key: str) -> int:
        """Return the environment's size in bytes, as its marker files record it."""
        size = 0
        for name in (_MARKER, _COMPILED):
            try:
                part = json.loads((self.root / key / name).read_text("utf-8"))["size_bytes"]
            except (OSError, ValueError, KeyError, TypeError):
                continue
            size += part if isinstance(part, int) else 0
        return size

    def decisions(self, key: str) -> list[str]:
        """Return the decisions of its build from its marker, one sentence each."""
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
        folders = [folder for folder in (self.root, self.workshop) if folder is not None and folder.is_dir()]
        entries = [entry for folder in folders for entry in folder.iterdir()]
        found = [(match["key"], entry) for entry in entries if (match := _TEMPORARY.fullmatch(entry.name))]
        return [(owner, path) for owner, path in found if key in (None, owner)]


def measure_and_protect(directory: Path, facts: Mapping[str, object]) -> int:
    """Write the marker, then take the write permission from all folders; the size in bytes.

    Files keep theirs: they may be links to the installer's cache, which must stay writable there. What compiled modules
    take is left to ``finish_compiling``.
    """
    size = 0
    folders = []
    for folder, _, names in walk(directory):
        folders.append(folder)
        if folder.endswith(f"/{_BYTECODE}"):
            continue
        for name in names:
            status = os.lstat(os.path.join(folder, name))  # noqa: PTH118  thousands of files: strings are faster
            size += status.st_size if stat.S_ISREG(status.st_mode) else 0
    _write_marker(directory / _MARKER, {**facts, "size_bytes": size})
    for folder in folders[1:]:  # the environment's own folder must stay movable
        os.chmod(folder, _PROTECTED)  # noqa: PTH101
    return size


def prepare_compiling(directory: Path) -> None:
    """Make the folders that compiled modules go to: beside all modules that are installed, and writable.

    Not while the environment is built: making a folder takes a disk longer than filling one.
    """
    for top in site_packages(directory):
        for folder, below, names in walk(top):
            if folder.endswith(f"/{_BYTECODE}"):
                os.chmod(folder, _WRITABLE)  # noqa: PTH101
            elif _BYTECODE not in (*below, *names) and any(name.endswith(".py") for name in names):
                os.chmod(folder, _WRITABLE)  # noqa: PTH101
                os.mkdir(f"{folder}/{_BYTECODE}", _WRITABLE)  # noqa: PTH102
                os.chmod(folder, _PROTECTED)  # noqa: PTH101


def finish_compiling(directory: Path) -> None:
    """Protect the compiled modules as all the rest, and note that they are there, with their size in bytes."""
    size = 0
    for folder, _, names in walk(directory):
        if folder.endswith(f"/{_BYTECODE}"):
            size += sum(os.lstat(f"{folder}/{name}").st_size for name in names)
            os.chmod(folder, _PROTECTED)  # noqa: PTH101
    _write_marker(directory / _COMPILED, {"size_bytes": size})


def site_packages(directory: Path) -> list[Path]:
    """Return the folders of the environment's packages."""
    return sorted(directory.glob("lib/python*/site-packages"))


def _write_marker(marker: Path, facts: Mapping[str, object]) -> None:
    """Write it whole: it is there only with all its content, unless the machine loses its power: then it may be empty.

    Waiting for the disk would take as long as all else, and the environment's files are not waited for either.
    """
    new = marker.with_name(f"{marker.name}.new")
    for path in (marker, new):
        path.unlink(missing_ok=True)  # what was installed may have left a link to another file there
    with new.open("x", encoding="utf-8") as file:
        json.dump(facts, file, indent=1)
    new.rename(marker)


def remove_tree(directory: Path) -> None:
    """Remove a folder whose subfolders may be protected; none there is fine.

    Raises:
        OSError: Something cannot be removed.
    """
    remove_folder(directory)
    if directory.exists():
        raise OSError(errno.ENOTEMPTY, "it cannot be removed", str(directory))
