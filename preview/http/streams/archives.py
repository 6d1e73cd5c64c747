"""Send a generation's files as one archive."""

from __future__ import annotations

import re
from collections.abc import Sequence

import trio

from preview.generations import ArchiveKind, Generation, GenerationLibrary, Packer
from preview.http.core.piecewise import PiecewiseBody

_NOT_PLAIN = re.compile(r"[^A-Za-z0-9._-]")
_NAME_CHARACTERS = 60


def archive_name(generation: Generation, kind: ArchiveKind) -> str:
    """Return a name for the file, of ASCII letters, digits, ``.``, ``_`` and ``-`` only."""
    plain = _NOT_PLAIN.sub("-", generation.name[:_NAME_CHARACTERS]).strip(".-")
    return f"{plain or _NOT_PLAIN.sub('-', generation.id)}.{kind}"


class ArchiveBody(PiecewiseBody):
    """The body of a download. One group of files is in memory at a time.

    If the database fails meanwhile, the connection is broken off, so that a partial archive cannot look complete.

    Args:
        library: Stores the files.
        generation: Its files are sent.
        groups: Paths, from ``GenerationLibrary.file_groups``.
        kind: The format.
    """

    def __init__(
        self, library: GenerationLibrary, generation: Generation, groups: Sequence[list[str]], kind: ArchiveKind
    ) -> None:
        self._library = library
        self._id = generation.id
        self._groups = iter(groups)
        self._packer = Packer(kind, generation.created_at)

    async def __anext__(self) -> bytes:
        """Return the next bytes of the archive. Cancellation: the archive stays incomplete."""
        while not self._over:
            group = next(self._groups, None)
            if group is None:
                self._over = True
                return await trio.to_thread.run_sync(self._packer.finish)
            piece = await self._library.pack(self._id, group, self._packer)
            if piece:
                return piece
        raise StopAsyncIteration
