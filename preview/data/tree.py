"""Save a preview's project folder as a tar, and bring the folder back to it.

While a folder is saved, running code may change it at any moment: see ``walk``. While it is restored, no code runs in
it, but links, pipes and closed folders may lie anywhere. All functions block: call them in a thread.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from preview.core.quoting import quoted
from preview.data.restore import Restore
from preview.data.tar import companions, read_index, write_entry, write_file
from preview.data.walk import FOLDER, look_at, open_file, walk_folder
from preview.errors import DataUnavailable


@dataclass(frozen=True, slots=True)
class Tree:
    """Size of a saved folder.

    Attributes:
        files: Number of files and links.
        size_bytes: Bytes of all files.
    """

    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class TreeChange:
    """Paths that a restore has changed.

    Attributes:
        written: Files and links.
        removed: What was removed, the first 10,000; a folder stands for all its content.
    """

    written: tuple[str, ...]
    removed: tuple[str, ...]


def save_tree(
    project: Path,
    file: BinaryIO,
    *,
    leave_out: Collection[str],
    unchanged: Collection[str] = (),
    most_bytes: int,
    most_files: int,
) -> Tree:
    """Write regular files, folders and links of a project into a tar. The project's code may run meanwhile.

    Left out are folders that tools make again (``node_modules``, ``venv``), links that lead out of the project,
    sockets, pipes and devices, and files named ``.env``. Hard links become files. A file that is written to meanwhile
    may be torn.

    Args:
        project: The project's folder.
        file: An empty, seekable file.
        leave_out: Paths of SQLite files; these and their journals are left out. Each must be added by ``add_copy``, as
            ``restore_tree`` removes files that the tar lacks.
        unchanged: Paths of other files to leave out.
        most_bytes: Maximum bytes of all files; of a sparse file, all bytes count.
        most_files: Maximum number of names, also of those that are left out.

    Raises:
        DataUnavailable: It is over a limit, or a file cannot be read or written.
    """
    left_out = companions(leave_out) | frozenset(unchanged)
    files = size_bytes = 0
    with _writing_snapshot(), _opened(project) as root:
        # The folder itself, so that no tar is empty.
        write_entry(file, ".", os.fstat(root))
        for found in walk_folder(root, most=most_files):
            if not found.is_saved or found.path in left_out:
                continue
            files += not found.is_folder
            if found.is_folder or found.is_link:
                write_entry(file, found.path, found.status, found.target)
                continue
            with open_file(found) as descriptor:
                if descriptor is not None:
                    size_bytes += write_file(file, found.path, descriptor, most_bytes - size_bytes)
    return Tree(files, size_bytes)


def add_copy(file: BinaryIO, path: str, copy: Path, *, most_bytes: int) -> int:
    """Add the consistent copy of a SQLite file to a tar that ``save_tree`` has written, under the file's own path.

    Args:
        file: The tar, at its end.
        path: Path in the project.
        copy: The copy, made by a confined program: it may be anything.
        most_bytes: Maximum size.

    Returns:
        Number of bytes.

    Raises:
        DataUnavailable: The copy is larger, is no regular file, or cannot be read or written.
    """
    with _writing_snapshot(), _opened(copy.parent) as folder:
        found = look_at(folder, copy.name, path)
        if found is not None and stat.S_ISREG(found.status.st_mode):
            # The name of the copy, the path of the original.
            with open_file(found) as descriptor:
                if descriptor is not None:
                    return write_file(file, path, descriptor, most_bytes)
    raise DataUnavailable(f"The copy of {quoted(path)} is not a regular file.")


def restore_tree(file: BinaryIO, project: Path, *, most_bytes: int, most_files: int) -> TreeChange:
    """Make a project's folder the same as the saved one. None of the project's code may run meanwhile.

    Writes only what differs, each file under another name and then renamed. Removes what the tar lacks, but nothing
    that ``save_tree`` leaves out by kind. Files get the folder's owner and their saved permissions.

    Args:
        file: The tar.
        project: The project's folder.
        most_bytes: Limit of ``save_tree``, with the copies.
        most_files: Limit of ``save_tree``, with the copies.

    Raises:
        DataUnavailable: The tar is damaged or over a limit, and nothing has changed; or the disk refuses a change, and
            the folder is between both states.
    """
    try:
        index = read_index(file, most_bytes=most_bytes, most_files=most_files)
    except OSError as error:
        raise DataUnavailable(f"The snapshot cannot be read: {error.strerror or error}.") from error
    with Restore(project, file, index) as restore:
        restore.remove_others()
        restore.write_all()
        restore.set_modes()
        return TreeChange(tuple(restore.written), tuple(restore.removed))


@contextmanager
def _writing_snapshot() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataUnavailable(f"The snapshot cannot be written: {error.strerror or error}.") from error


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    try:
        descriptor = os.open(folder, FOLDER)
    except OSError as error:
        raise DataUnavailable(f"The preview's folder cannot be opened: {error.strerror or error}.") from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)
