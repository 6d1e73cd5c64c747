"""A folder as an upload: what a generation of it would hold, and nothing else."""

from __future__ import annotations

import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import IO

import trio

from preview.generations import FolderGenerations

# Larger archives go to a file on disk.
_IN_MEMORY_BYTES = 8 * 1024 * 1024


@contextmanager
def packed(folder: Path) -> Iterator[IO[bytes]]:
    """The folder's files as a tar.gz, from its beginning; gone when the context is left.

    Which files belong to it is decided by ``FolderGenerations``, as for ``preview run``.

    Raises:
        InvalidGeneration: The folder holds something that cannot be uploaded, or nothing at all.
    """
    source = FolderGenerations(folder, generation_id="upload", user_id="upload", project_id="upload")
    with (
        tempfile.TemporaryDirectory(prefix="preview-push-") as name,
        tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES) as file,
    ):
        copy = Path(name)
        trio.run(partial(source.write_files, "upload", copy))
        with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as archive:
            for path in sorted(copy.rglob("*")):
                if path.is_file():
                    archive.add(path, arcname=str(path.relative_to(copy)), recursive=False, filter=_anonymous)
        file.seek(0)
        yield file


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    """Without this machine's user names and ids."""
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
