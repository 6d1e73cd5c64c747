"""Change files in the folder of a running preview: each file atomically, and never through a link.

Running code may rename, link and replace anything in the folder at the same time. So each step opens the next folder
relative to the last one and never follows a link (openat(2), O_NOFOLLOW). A file is written under another name and then
renamed, which replaces a link instead of following it (rename(2)).
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
    """Remove and write files; nothing else in the folder changes. Blocks: call this in a thread.

    Each file has its old or its new content at any moment. If one file fails, others may have changed. Written files
    get the folder's owner.

    Args:
        project: The preview's project folder.
        change: Changes with checked relative paths.

    Raises:
        LaunchFailed: Something that the application has created is in the way of a file, or the disk refuses it.
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
                f"The file {quoted(path)} cannot be changed where the preview runs: the application has created "
                "something else at that path. Stop the preview and launch it again.",
                reason="file_in_the_way",
                path=path,
            ) from error
        raise LaunchFailed(
            f"The file {quoted(path)} cannot be changed where the preview runs: {error.strerror or error}.",
            reason="disk",
            path=path,
        ) from error


def _remove(root: int, path: str) -> None:
    """Remove the file, and parent folders that become empty."""
    folders, _, name = path.rpartition("/")
    with suppress(FileNotFoundError), _folder(root, folders, make=False) as parent:
        os.unlink(name, dir_fd=parent)
    while folders:
        folders, _, name = folders.rpartition("/")
        try:
            with _folder(root, folders, make=False) as parent:
                os.rmdir(name, dir_fd=parent)
        except OSError:  # the folder is not empty, or is no folder any more
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
    """Return the mode for the file; a file that is executable now stays executable."""
    with suppress(FileNotFoundError):
        before = os.stat(name, dir_fd=parent, follow_symlinks=False)
        if stat.S_ISREG(before.st_mode) and before.st_mode & stat.S_IXUSR:
            return 0o755
    return 0o644


@contextmanager
def _folder(root: int, path: str, *, make: bool) -> Iterator[int]:
    """Open a folder below ``root``; ``make`` creates missing folders."""
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
    """Give the file the owner of the project's folder, which is the preview's own user if it has one."""
    if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, owner.st_uid, owner.st_gid)
