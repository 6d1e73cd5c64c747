"""Files and folders of environments.

```
KEY/                       a finished environment; never changes, except that compiled modules are added
KEY/preview.json           facts about the environment; written last
KEY/readable.json          written when all users can read the files; missing in environments of older versions
KEY/compiled.json          written when the modules are compiled, which happens while the environment is in use
KEY.refused                reason why the environment cannot be built for a newer Python (see ``trial``)
KEY.lock                   see ``locks``; its modification time is the last use, its content the number of launches
.building-KEY-PID-RANDOM/  an unfinished environment, renamed to KEY at the end; in the workshop if there is one
.scratch-KEY-PID-RANDOM/   home folder and temporary files of a build in a jail
.removing-KEY-PID-RANDOM/  an environment that is being removed, renamed from KEY
```
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

from preview.core.descriptors import walk
from preview.core.removal import remove_folder
from preview.environments.folders.reading import Opener

_MARKER = "preview.json"
_COMPILED = "compiled.json"
_READABLE = "readable.json"
_REFUSED = ".refused"
_BYTECODE = "__pycache__"
_PROTECTED, _WRITABLE = 0o555, 0o755
_KEY = re.compile(r"[0-9a-f]{32}")
_TEMPORARY = re.compile(r"\.(?:building|removing|scratch)-(?P<key>[0-9a-f]{32})-\d+-[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Layout:
    """The folder of all environments.

    Attributes:
        root: The folder.
        workshop: Folder for unfinished environments, on the same mount and only for this root; None uses ``root``.
    """

    root: Path
    workshop: Path | None = None

    def directory(self, key: str) -> Path:
        """Return the folder of a finished environment."""
        return self.root / key

    def python(self, key: str) -> Path:
        """Return the path of the environment's interpreter."""
        return self.root / key / "bin" / "python"

    def lock(self, key: str) -> Path:
        """Return the path of the environment's lock file."""
        return self.root / f"{key}.lock"

    def refusal(self, key: str) -> Path:
        """Return the path of the file with the reason why the environment cannot be built."""
        return self.root / f"{key}{_REFUSED}"

    def refusals(self) -> list[Path]:
        """Return the paths of all refusal files."""
        return [*self.root.glob(f"*{_REFUSED}"), *self.root.glob(f"{_REFUSED}-*")]

    def temporary(self, key: str, purpose: str) -> Path:
        """Return a new path next to the environment; ``purpose`` is ``building``, ``removing`` or ``scratch``."""
        folder = self.workshop if purpose == "building" and self.workshop is not None else self.root
        return folder / f".{purpose}-{key}-{os.getpid()}-{secrets.token_hex(4)}"

    def put(self, key: str, temporary: Path) -> None:
        """Move a finished folder to the environment's path; remove a broken environment there first."""
        place = self.directory(key)
        if place.exists():
            broken = self.temporary(key, "removing")
            place.rename(broken)
            remove_tree(broken)
        temporary.rename(place)

    def is_usable(self, key: str) -> bool:
        """Return whether the environment is finished and its interpreter still exists."""
        try:
            marker = (self.root / key / _MARKER).stat()
        except OSError:
            return False
        # An empty marker: the machine lost power before the disk had stored everything.
        return stat.S_ISREG(marker.st_mode) and marker.st_size > 0 and self.python(key).exists()

    def is_compiled(self, key: str) -> bool:
        """Return whether the environment's modules are compiled, as far as they can be."""
        return (self.root / key / _COMPILED).exists()

    def is_readable(self, key: str) -> bool:
        """Return whether all users can read the environment's files."""
        return (self.root / key / _READABLE).exists()

    def make_readable(self, key: str) -> None:
        """Let all users read the files of an environment that an older version has built. It may be in use.

        Raises:
            OSError: The disk reported an error, or the environment belongs to another user.
        """
        directory = self.directory(key)
        Opener().open_all(directory)
        _write_marker(directory / _READABLE, {})

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
        """Return the build's decisions from the marker, one sentence each."""
        try:
            found = json.loads((self.root / key / _MARKER).read_text("utf-8"))["decisions"]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []

    def key_for(self, key: str, builder: str) -> str:
        """Return the key; another one if its environment lacks a package that another builder could not build."""
        try:
            failed = json.loads((self.root / key / _MARKER).read_text("utf-8")).get("unbuilt_by")
        except (OSError, ValueError, AttributeError):
            return key
        if failed in {None, builder}:
            return key
        return hashlib.sha256(f"{key} {builder}".encode()).hexdigest()[: len(key)]

    def all_keys(self) -> list[str]:
        """Return the keys of all environments, finished or broken."""
        return [entry.name for entry in self.root.iterdir() if _KEY.fullmatch(entry.name)] if self.root.is_dir() else []

    def leftovers(self, key: str | None = None) -> list[tuple[str, Path]]:
        """Return key and path of temporary folders, of one key or all. They are in use while the key is locked."""
        folders = [folder for folder in (self.root, self.workshop) if folder is not None and folder.is_dir()]
        entries = [entry for folder in folders for entry in folder.iterdir()]
        found = [(match["key"], entry) for entry in entries if (match := _TEMPORARY.fullmatch(entry.name))]
        return [(owner, path) for owner, path in found if key in (None, owner)]


def measure_and_protect(directory: Path, facts: Mapping[str, object]) -> int:
    """Write the marker, let all users read, nobody write the folders, and return the size in bytes.

    Files stay writable: they may be hard links to the installer's cache, which must stay writable. The size excludes
    compiled modules; ``finish_compiling`` records theirs.
    """
    size = 0
    folders = []
    opener = Opener()
    for folder, _, names in walk(directory):
        folders.append(folder)
        if folder.endswith(f"/{_BYTECODE}"):
            continue
        for name in names:
            path = f"{folder}/{name}"
            status = os.lstat(path)
            opener.open_file(path, status)
            size += status.st_size if stat.S_ISREG(status.st_mode) else 0
    _write_marker(directory / _READABLE, {})
    _write_marker(directory / _MARKER, {**facts, "size_bytes": size})
    directory.chmod(_WRITABLE)
    for folder in folders[1:]:  # renaming the environment's own folder needs its write permission
        os.chmod(folder, _PROTECTED)  # noqa: PTH101
    return size


def prepare_compiling(directory: Path) -> None:
    """Create writable folders for the compiled modules, next to all installed modules.

    The build skips this step because creating a folder takes a disk longer than filling one.
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
    """Let all users read the compiled modules, nobody write them, and write the marker with their size in bytes."""
    size = 0
    opener = Opener()
    for folder, _, names in walk(directory):
        if folder.endswith(f"/{_BYTECODE}"):
            for name in names:
                status = os.lstat(f"{folder}/{name}")
                opener.open_file(f"{folder}/{name}", status)
                size += status.st_size
            os.chmod(folder, _PROTECTED)  # noqa: PTH101
    _write_marker(directory / _COMPILED, {"size_bytes": size})


def site_packages(directory: Path) -> list[Path]:
    """Return the folders of the environment's packages."""
    return sorted(directory.glob("lib/python*/site-packages"))


def installed_versions(folder: Path) -> dict[str, str]:
    """Return the installed packages: normalised name to version. Blocks on the disk."""
    found: dict[str, str] = {}
    for packages in site_packages(folder):
        for info in packages.glob("*.dist-info"):
            name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
            found[canonicalize_name(name)] = version
    return found


def _write_marker(marker: Path, facts: Mapping[str, object]) -> None:
    """Write the marker and rename it into place: it is complete, or empty after a power loss.

    No fsync: it would take as long as the rest of the build, and the environment's files are not synced either.
    """
    new = marker.with_name(f"{marker.name}.new")
    for path in (marker, new):
        path.unlink(missing_ok=True)  # an installed package may have put a link to another file there
    with new.open("x", encoding="utf-8") as file:
        json.dump(facts, file, indent=1)
    new.rename(marker)


def remove_tree(directory: Path) -> None:
    """Remove a folder with its protected subfolders; do nothing if it does not exist.

    Raises:
        OSError: Something could not be removed.
    """
    remove_folder(directory)
    if directory.exists():
        raise OSError(errno.ENOTEMPTY, "it cannot be removed", str(directory))
