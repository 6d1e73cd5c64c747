"""Changes files in the folder of a preview that runs: each at once, and never through a link that it has planted.

What runs there may rename, link and replace whatever lies in the folder while this is under way. So each step goes
from one open folder to the next and never through a link (openat(2), O_NOFOLLOW); a file is written under another name
and then put in its place, which replaces a link and does not follow it (rename(2)).
"""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from preview.core.quoting import quoted
from preview.errors import LaunchFailed
from preview.supervisor.preview.control import FilesChange

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_IN_THE_WAY = frozenset({errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.EACCES})


def place_files(project: Path, change: FilesChange) -> None:
    """Remove and write the files; nothing else in the folder is touched. Blocks: for threads.

    Each file is there as it was or as it is to be, at any moment; of several some may be changed when one fails. What
    is written belongs to whom the folder belongs to.

    Args:
        project: The preview's own folder.
        change: Relative paths, checked.

    Raises:
        LaunchFailed: Something that the application has made is in the way of a file, or the disk does not take it.
    """
    root = os.open(project, _FOLDER)
    try:
        for path in change.removed:
            if path not in change.written:
                with _explained(path):
                    _remove(root, path)
        for path, content in change.written.items():
            with _explained(path):
                _write(root, path, content)
    finally:
        os.close(root)


@contextmanager
def _explained(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _IN_THE_WAY:
            raise LaunchFailed(
                f"The file {quoted(path)} cannot be changed where the preview runs: something that the application has "
                "made there is in its way. Stop the preview and launch it again.",
                reason="file_in_the_way",
                path=path,
            ) from error
        raise LaunchFailed(
            f"The file {quoted(path)} cannot be changed where the preview runs: {error.strerror or error}.",
            reason="disk",
            path=path,
        ) from error


def _remove(root: int, path: str) -> None:
    """Remove the file, and folders that become empty."""
    folders, _, name = path.rpartition("/")
    with suppress(FileNotFoundError), _folder(root, folders, make=False) as parent:
        os.unlink(name, dir_fd=parent)
    while folders:
        folders, _, name = folders.rpartition("/")
        try:
            with _folder(root, folders, make=False) as parent:
                os.rmdir(name, dir_fd=parent)
        except OSError:  # something else is in it, or it is no folder any more
            return


def _write(root: int, path: str, content: bytes) -> None:
    folders, _, name = path.rpartition("/")
    owner = os.fstat(root)
    with _folder(root, folders, make=True) as parent:
        other_name = f".preview-{secrets.token_hex(8)}"
        descriptor = os.open(other_name, _NEW_FILE, 0o600, dir_fd=parent)
        try:
            with open(descriptor, "wb") as file:  # noqa: PTH123  a descriptor, not a path
                file.write(content)
                os.fchmod(descriptor, _mode(name, parent))
                _give(descriptor, owner)
            os.rename(other_name, name, src_dir_fd=parent, dst_dir_fd=parent)
        except BaseException:
            with suppress(OSError):
                os.unlink(other_name, dir_fd=parent)
            raise


def _mode(name: str, parent: int) -> int:
    """Return the mode of a generation's files; an executable one stays executable."""
    with suppress(FileNotFoundError):
        before = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISREG(before.st_mode) and before.st_mode & stat.S_IXUSR:
            return 0o755
    return 0o644


@contextmanager
def _folder(root: int, path: str, *, make: bool) -> Iterator[int]:
    """Provide the folder, open; ``make``: with what is missing of it."""
    folder = os.dup(root)
    try:
        for component in path.split("/") if path else ():
            following = _descend(folder, component, make=make)
            os.close(folder)
            folder = following
        yield folder
    finally:
        os.close(folder)


def _descend(folder: int, component: str, *, make: bool) -> int:
    try:
        return os.open(component, _FOLDER, dir_fd=folder)
    except FileNotFoundError:
        if not make:
            raise
    os.mkdir(component, 0o755, dir_fd=folder)
    made = os.open(component, _FOLDER, dir_fd=folder)
    try:
        _give(made, os.fstat(folder))
    except BaseException:
        os.close(made)
        raise
    return made


def _give(descriptor: int, owner: os.stat_result) -> None:
    """Let it belong to whom the project's folder belongs: the preview's own user, where it has one."""
    if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
