"""The image from which a build copies texts of its Dockerfile, and files whose permissions it sets.

In the folder that the build copies from, ``COPY . .`` would copy them too. So the service imports an image with nothing
else. It is there while builds use it.
"""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import stat
import tarfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from preview.core.descriptors import file_of
from preview.environments.images.context import is_ignored, member_of, open_below, read_ignored_of
from preview.environments.images.instructions import CopiedFile
from preview.errors import EnvironmentFailed
from preview.runtime.container.images import Images

_MOST_BYTES: Final = 8 * 1024 * 1024
_REMOVAL_S: Final = 30.0


def pack_files(project: Path, folder: str, files: Sequence[CopiedFile]) -> bytes:
    """Return an archive with the files. Blocks on the disk: call it in a thread.

    Args:
        project: The project's folder.
        folder: The folder that the build copies from, relative to it.
        files: The files.

    Raises:
        EnvironmentFailed: One is no plain file of the project, or together they are too large.
        OSError: No descriptor is free.
    """
    packed, size = io.BytesIO(), 0
    patterns = read_ignored_of(project, folder)
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for one in files:
            left = _MOST_BYTES - size
            if one.text is not None:
                content: bytes | None = one.text.encode()
            else:
                content = None if is_ignored(one.source, patterns) else _read(project, f"{folder}/{one.source}", left)
            if content is None or len(content) > left:
                raise EnvironmentFailed(
                    f"COPY --chmod: {one.source[:100] or 'a text'} is no plain file of the project, or the files are "
                    f"more than {_MOST_BYTES >> 20} MiB. Set the permissions by RUN chmod in the next line.",
                    reason="dockerfile",
                    path=one.source,
                )
            size += len(content)
            archive.addfile(member_of(one.path, one.mode, len(content)), io.BytesIO(content))
    return packed.getvalue()


def _read(project: Path, path: str, most_bytes: int) -> bytes | None:
    """Return a plain file's content, or its first bytes if it has more; None if it is none."""
    try:
        with open_below(project, posixpath.normpath(path)) as (above, name):
            descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=above)
            with file_of(descriptor) as file:
                return file.read(most_bytes + 1) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
    except OSError:
        return None


class FilesImages:
    """Images with the files of builds, each while a build uses it.

    Args:
        images: The engine's images.
    """

    def __init__(self, images: Images) -> None:
        self._images = images
        self._used: Counter[str] = Counter()
        self._lock = trio.Lock()

    def name_of(self, archive: bytes) -> str:
        """Return the name of the image with these files."""
        return self._images.name_of(hashlib.sha256(archive).hexdigest(), "files")

    @asynccontextmanager
    async def open_image(self, archive: bytes) -> AsyncIterator[None]:
        """Provide the image; nothing without files.

        Raises:
            EngineError: The engine refuses.

        Cancellation: it is removed within 30 s, unless another build uses it.
        """
        name = self.name_of(archive)
        if not archive:
            yield
            return
        self._used[name] += 1
        try:
            async with self._lock:
                await self._images.import_files(name, archive)
            yield
        finally:
            self._used -= Counter([name])
            with trio.move_on_after(_REMOVAL_S, shield=True):
                async with self._lock:
                    if not self._used[name]:
                        await self._images.remove_named(name)
