"""Bring a project folder back to a saved one. No code runs in it, but it is as hostile code has left it."""

from __future__ import annotations

import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tarfile import TarInfo
from typing import BinaryIO, Self

from preview.core.descriptors import file_of
from preview.core.quoting import quoted
from preview.core.removal import remove_folder
from preview.data.tar import CHUNK_BYTES, Index, copy_out
from preview.data.walk import FILE, FOLDER, Found, look_at
from preview.errors import DataUnavailable

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_ONLY_NAMED = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Hostile code makes millions of files.
MOST_NAMED = 10_000


class Restore:
    """One restore. Entering the context opens the project's folder.

    Attributes:
        written: Paths of files and links that were written.
        removed: Paths of what was removed, the first ``MOST_NAMED``; a folder stands for all its content.
    """

    def __init__(self, project: Path, file: BinaryIO, index: Index) -> None:
        """Prepare to restore ``index``, which was read from ``file``."""
        self.written: list[str] = []
        self.removed: list[str] = []
        self._project = project
        self._file = file
        self._index = index
        # The folder of the last path: most paths share it with the one before.
        self._parent: tuple[str, int] | None = None

    def __enter__(self) -> Self:
        """Open the folder."""
        with _restoring(""):
            self._root = _open_folder(str(self._project), None)
            self._owner = os.fstat(self._root)
        return self

    def __exit__(self, *_: object) -> None:
        """Close all descriptors."""
        self._forget_parent()
        os.close(self._root)

    def remove_others(self) -> None:
        """Remove everything that the saved folder does not have, or has as another kind.

        What ``save_tree`` leaves out stays, unless a saved name needs its place, or its folder goes.
        """
        folders = sorted(path for path, info in self._index.items() if info.isdir())
        for path in ("", *folders):
            with _restoring(path), suppress(FileNotFoundError):
                folder = self._open_below(path)
                try:
                    # A file system may leave names out while others are removed (readdir(3)).
                    while self._remove_in(folder, f"{path}/" if path else ""):
                        pass
                finally:
                    os.close(folder)

    def _remove_in(self, folder: int, prefix: str) -> bool:
        """Remove from one folder; return whether something was removed. A list of its names may be too long."""
        has_removed = False
        with os.scandir(folder) as entries:
            for entry in entries:
                path = f"{prefix}{entry.name}"
                found = look_at(folder, entry.name, path)
                if found is not None and not self._is_kept(found):
                    self._remove(folder, found)
                    has_removed = True
        return has_removed

    def _is_kept(self, found: Found) -> bool:
        wanted = self._index.get(found.path)
        return wanted.isdir() == found.is_folder if wanted is not None else not found.is_saved

    def _remove(self, folder: int, found: Found) -> None:
        if len(self.removed) < MOST_NAMED:
            self.removed.append(found.path)
        if not found.is_folder:
            os.unlink(found.name, dir_fd=folder)
            return
        with suppress(OSError, RecursionError):
            shutil.rmtree(found.name, dir_fd=folder)
            return
        # Closed to its owner, or very deep.
        remove_folder(self._project / found.path)
        if look_at(folder, found.name, found.path) is not None:
            raise DataUnavailable(f"The folder {quoted(found.path)} cannot be removed.")

    def write_all(self) -> None:
        """Write every folder, link and file of the index that is not there yet; folders come before their content."""
        for path, info in sorted(self._index.items()):
            with _restoring(path):
                folder, name = self._parent_of(path), path.rpartition("/")[2]
                if info.isdir():
                    self._make_folder(folder, name)
                elif info.issym():
                    self._make_link(folder, name, path, info.linkname)
                elif not self._is_same(folder, name, info):
                    self._write_file(folder, name, info)
                    self.written.append(path)

    def _make_folder(self, folder: int, name: str) -> None:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
            made = _open_folder(name, folder)
            try:
                self._give(made)
            finally:
                os.close(made)

    def _make_link(self, folder: int, name: str, path: str, target: str) -> None:
        with suppress(OSError):
            if os.readlink(name, dir_fd=folder) == target:
                return
        with _renamed(folder, name) as other_name:
            os.symlink(target, other_name, dir_fd=folder)
            if self._is_given:
                os.chown(other_name, self._owner.st_uid, self._owner.st_gid, dir_fd=folder, follow_symlinks=False)
        self.written.append(path)

    def _is_same(self, folder: int, name: str, info: TarInfo) -> bool:
        """Return whether the file has this content; sets its permissions then."""
        try:
            file = file_of(descriptor := os.open(name, FILE, dir_fd=folder))
        except OSError:
            return False
        with file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size != info.size:
                return False
            has_mode = stat.S_IMODE(status.st_mode) == info.mode
            # The other names of the file keep their permissions.
            if not has_mode and status.st_nlink > 1:
                return False
            self._file.seek(info.offset_data)
            left = info.size
            while left:
                chunk = file.read(min(CHUNK_BYTES, left))
                if not chunk or chunk != self._file.read(len(chunk)):
                    return False
                left -= len(chunk)
            if not has_mode:
                os.fchmod(descriptor, info.mode)
            return True

    def _write_file(self, folder: int, name: str, info: TarInfo) -> None:
        with _renamed(folder, name) as other_name:
            descriptor = os.open(other_name, _NEW_FILE, 0o600, dir_fd=folder)
            with open(descriptor, "wb", buffering=0) as made:  # noqa: PTH123  a descriptor, not a path
                copy_out(self._file, info, made.write)
                self._give(descriptor)
                os.fchmod(descriptor, info.mode)
                time_ns = int(info.mtime) * 1_000_000_000
                os.utime(descriptor, ns=(time_ns, time_ns))

    def set_modes(self) -> None:
        """Set the permissions of all folders, the inner ones first."""
        for path, info in sorted(self._index.items(), reverse=True):
            if info.isdir():
                with _restoring(path):
                    descriptor = _open_folder(path.rpartition("/")[2], self._parent_of(path))
                    try:
                        if stat.S_IMODE(os.fstat(descriptor).st_mode) != info.mode:
                            os.fchmod(descriptor, info.mode)
                    finally:
                        os.close(descriptor)

    @property
    def _is_given(self) -> bool:
        """True if files belong to another user: the preview's own."""
        return (self._owner.st_uid, self._owner.st_gid) != (os.geteuid(), os.getegid())

    def _give(self, descriptor: int) -> None:
        if self._is_given:
            os.fchown(descriptor, self._owner.st_uid, self._owner.st_gid)

    def _parent_of(self, path: str) -> int:
        """Return a descriptor of the folder of a path, valid until the next call."""
        above = path.rpartition("/")[0]
        if self._parent is None or self._parent[0] != above:
            self._forget_parent()
            self._parent = above, self._open_below(above)
        return self._parent[1]

    def _forget_parent(self) -> None:
        if self._parent is not None:
            os.close(self._parent[1])
            self._parent = None

    def _open_below(self, path: str) -> int:
        folder = os.dup(self._root)
        for name in path.split("/") if path else ():
            try:
                inner = _open_folder(name, folder)
            finally:
                os.close(folder)
            folder = inner
        return folder


def _open_folder(name: str, parent: int | None) -> int:
    """Open a folder; one that is closed to this user is opened to it first.

    Raises:
        OSError: It is no folder, or belongs to another user.
    """
    named = os.open(name, _ONLY_NAMED, dir_fd=parent)
    try:
        mode = os.fstat(named).st_mode
        if mode & stat.S_IRWXU != stat.S_IRWXU:
            # fchmod(2) refuses such a descriptor; its link leads to the folder itself.
            os.chmod(f"/proc/self/fd/{named}", stat.S_IMODE(mode) | stat.S_IRWXU)  # noqa: PTH101
        return os.open(".", FOLDER, dir_fd=named)
    finally:
        os.close(named)


@contextmanager
def _renamed(folder: int, name: str) -> Iterator[str]:
    """Yield another name in the folder; what has been made there then gets the name."""
    other_name = f".preview-{secrets.token_hex(8)}"
    try:
        yield other_name
        os.rename(other_name, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(other_name, dir_fd=folder)
        raise


@contextmanager
def _restoring(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = quoted(path) if path else "The preview's folder"
        raise DataUnavailable(f"{place} cannot be restored: {error.strerror or error}.") from error
