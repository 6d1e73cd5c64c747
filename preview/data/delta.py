"""Difference between a project's folder and the generation's own files.

A snapshot has only this difference. So it holds no code, and restoring it brings no old code back. All functions block:
call them in a thread.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack
from pathlib import Path
from tarfile import BLOCKSIZE
from typing import BinaryIO

from preview.data.threads import check_cancelled
from preview.data.tree import save_tree
from preview.data.walk import FILE, FOLDER, open_file, reading, walk_folder

_CHUNK_BYTES = 1024 * 1024
_JOURNALS = ("-wal", "-journal")


def find_unchanged(project: Path, generation: Path, *, most_files: int) -> set[str]:
    """Return the paths of files that have the same content in both folders.

    A SQLite file with a journal beside is none of them: its newest rows are in the journal.

    Args:
        project: The project's folder; its code may run meanwhile.
        generation: Folder with the generation's files, of the service alone.
        most_files: Maximum number of names in the project.

    Raises:
        DataUnavailable: It is over the limit, or a file cannot be read.
    """
    same: set[str] = set()
    journals: set[str] = set()
    with ExitStack() as held:
        root = os.open(project, FOLDER)
        held.callback(os.close, root)
        for found in walk_folder(root, most=most_files):
            if found.is_folder or found.is_link or not found.is_saved:
                continue
            journals.update(found.path.removesuffix(one) for one in _JOURNALS if found.path.endswith(one))
            own = generation / found.path
            if not _is_file(own):
                continue
            with open_file(found) as theirs, reading(found.path):
                if theirs is not None and _is_same(theirs, own):
                    same.add(found.path)
    return same - journals


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # for instance a path that is too long
        return False


def _is_same(theirs: int, path: Path) -> bool:
    own = os.open(path, FILE)
    try:
        left = os.fstat(own).st_size
        if os.fstat(theirs).st_size != left:
            return False
        while left:
            check_cancelled()
            chunk = os.read(own, _CHUNK_BYTES)
            if not chunk or os.read(theirs, len(chunk)) != chunk:
                return False
            left -= len(chunk)
        return not os.read(theirs, 1)
    finally:
        os.close(own)


def write_whole(
    generation: Path | None, difference: Path | None, file: BinaryIO, *, most_bytes: int, most_files: int
) -> None:
    """Write a tar of the whole project: the generation's files, and the difference over them.

    Args:
        generation: Folder with the generation's files; None for a folder that has none.
        difference: Tar of a snapshot; None without any.
        file: An empty, seekable file.
        most_bytes: Maximum bytes of the generation's files.
        most_files: Maximum number of names of the generation.

    Raises:
        DataUnavailable: It is over a limit.
        OSError: A file cannot be read or written.
    """
    if generation is not None:
        save_tree(generation, file, leave_out=(), most_bytes=most_bytes, most_files=most_files)
    if difference is not None:
        # A later entry replaces an earlier one; see ``tar.read_index``.
        with difference.open("rb") as added:
            shutil.copyfileobj(added, file, _CHUNK_BYTES)
    # The end of a tar, which an empty one needs.
    file.write(bytes(2 * BLOCKSIZE))
    file.seek(0)
