"""A generation's files in a folder for a while, for those who only read them."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from shutil import rmtree

import trio

from preview.generations import GenerationSource

_REMOVAL_S = 10


@asynccontextmanager
async def open_files(source: GenerationSource, generation_id: str) -> AsyncIterator[Path]:
    """The files, written to a folder of their own that goes with the context.

    Raises:
        GenerationNotFound: They are gone.

    Cancellation: the folder is removed, within a bound.
    """
    directory = Path(await trio.to_thread.run_sync(partial(tempfile.mkdtemp, prefix="preview-files-")))
    try:
        await source.write_files(generation_id, directory)
        yield directory
    finally:
        with trio.move_on_after(_REMOVAL_S, shield=True):
            await trio.to_thread.run_sync(partial(rmtree, directory, ignore_errors=True))
