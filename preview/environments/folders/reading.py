"""Permission to read an environment's files, for previews that have users of their own.

The installer keeps the umask's modes and the modes of its cache, whose files it links into environments. A file with
several links is therefore replaced by a copy: a change of its mode would change the user's cache.
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from preview.core.descriptors import walk

_READ, _SEARCH = 0o444, 0o555
_MOST_SENT = 1 << 30


class Opener:
    """Lets all users read the files of one folder. Call it in a thread, while no process writes there.

    Links between files of the folder are kept, and so are holes: the copies take no more disk than the files.
    """

    def __init__(self) -> None:
        self._copies: dict[tuple[int, int], str] = {}

    def open_all(self, directory: Path) -> None:
        """Let all users read the folder with all its content.

        Raises:
            OSError: The disk reported an error.
        """
        for folder, _, names in walk(directory):
            mode = stat.S_IMODE(os.lstat(folder).st_mode)
            if mode & _SEARCH != _SEARCH:
                os.chmod(folder, mode | _SEARCH)  # noqa: PTH101
            for name in names:
                path = f"{folder}/{name}"
                self.open_file(path, os.lstat(path))

    def open_file(self, path: str, status: os.stat_result) -> None:
        """Let all users read a file, and execute it if its owner may; links and the like stay.

        Args:
            path: The file.
            status: Result of ``os.lstat``.

        Raises:
            OSError: The disk reported an error.
        """
        mode = stat.S_IMODE(status.st_mode)
        wanted = mode | (_SEARCH if mode & stat.S_IXUSR else _READ)
        if wanted == mode or not stat.S_ISREG(status.st_mode):
            return
        if status.st_nlink == 1:
            os.chmod(path, wanted)  # noqa: PTH101
            return
        # The owner itself may not read it, and the package works without it.
        with suppress(PermissionError):
            self._replace(path, (status.st_dev, status.st_ino), wanted)

    def _replace(self, path: str, inode: tuple[int, int], mode: int) -> None:
        new = f"{path}.{secrets.token_hex(4)}"
        with _writable(os.path.dirname(path)):  # noqa: PTH120
            try:
                if inode in self._copies:
                    os.link(self._copies[inode], new)
                else:
                    _copy(path, new, mode)
                os.rename(new, path)  # noqa: PTH104
            except BaseException:
                with suppress(FileNotFoundError):
                    os.unlink(new)  # noqa: PTH108
                raise
        self._copies[inode] = path


@contextmanager
def _writable(folder: str) -> Iterator[None]:
    mode = stat.S_IMODE(os.lstat(folder).st_mode)
    if mode & stat.S_IWUSR:
        yield
        return
    os.chmod(folder, mode | stat.S_IWUSR)  # noqa: PTH101
    try:
        yield
    finally:
        os.chmod(folder, mode)  # noqa: PTH101


def _copy(source: str, target: str, mode: int) -> None:
    """Copy the file's data and holes."""
    with Path(source).open("rb") as old, Path(target).open("xb") as new:
        size = os.fstat(old.fileno()).st_size
        os.truncate(new.fileno(), size)
        for start, end in _data(old.fileno(), size):
            os.lseek(new.fileno(), start, os.SEEK_SET)
            done = start
            while done < end and (sent := os.sendfile(new.fileno(), old.fileno(), done, min(end - done, _MOST_SENT))):
                done += sent
        os.fchmod(new.fileno(), mode)


def _data(descriptor: int, size: int) -> Iterator[tuple[int, int]]:
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        end = os.lseek(descriptor, start, os.SEEK_HOLE)
        yield start, end
