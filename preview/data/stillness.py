"""Keeps an application still while its data is saved, so that all parts are of one moment."""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from pathlib import Path

import trio

from preview.data.walk import FILE
from preview.runtime import Freeze, beside

# Databases of the size that previews may have are saved in less. Longer, requests to the preview would fail.
MOST_STILL_S = 3.0
# SQLite holds a lock that keeps readers out for the moment of a commit; an application that was stopped there goes on.
_MOST_TRIES = 40
_PAUSE_S = 0.003
# https://www.sqlite.org/src/file/src/os.h: the byte of a pending lock, then the reserved one, then 510 shared ones.
_PENDING, _RESERVED_BYTES, _SHARED_BYTES = 0x40000000, 1, 510
_FLOCK = struct.Struct("hhqqi4x")


class Stillness:
    """Stops an application's processes for as long as its data is saved, and at most for 3 s.

    Args:
        members: Returns the pids of its processes.
        turn: Held meanwhile. The service holds it while it starts a process, or places files.
        say: Logs a sentence for the preview's owner.
    """

    def __init__(self, members: Callable[[], Iterable[int]], turn: trio.Semaphore, say: Callable[[str], None]) -> None:
        self._members = members
        self._turn = turn
        self._say = say

    @asynccontextmanager
    async def keep(self, files: Sequence[Path]) -> AsyncIterator[None]:
        """Keep the application still while the context is open.

        Args:
            files: Its SQLite files. It is stopped where none of them is being committed to.

        Raises:
            OSError: No file descriptor is free.

        Cancellation: the application goes on.
        """
        freeze, held = Freeze(), ExitStack()
        await self._turn.acquire()
        held.callback(self._turn.release)
        held.callback(freeze.thaw)
        try:
            began = trio.current_time()
            for _ in range(_MOST_TRIES):
                began = trio.current_time()
                await trio.to_thread.run_sync(freeze.stop, self._members)
                if not await trio.to_thread.run_sync(partial(_is_any_locked, files)):
                    break
                freeze.thaw()
                await trio.sleep(_PAUSE_S)
            else:
                await trio.to_thread.run_sync(freeze.stop, self._members)
            async with beside(partial(self._end_in_time, held)):
                yield
        finally:
            was_still = freeze.is_frozen
            held.close()
        if was_still:
            self._say(f"the application was paused for {trio.current_time() - began:.2f} s while its data was saved")

    async def _end_in_time(self, held: ExitStack) -> None:
        await trio.sleep(MOST_STILL_S)
        held.close()
        self._say(
            f"the application was resumed after {MOST_STILL_S:g} s, before all its data was saved: files may be "
            "newer than the databases"
        )


def _is_any_locked(files: Sequence[Path]) -> bool:
    return any(_is_locked(path) for path in files)


def _is_locked(path: Path) -> bool:
    """Return whether a process keeps readers of a SQLite file out. A link or a special file is not looked at."""
    try:
        descriptor = os.open(path, FILE)
    except OSError:
        return False
    try:
        # A lock for reading that another process's lock for writing is in the way of. The reserved byte alone does not
        # keep readers out, so the ranges before and after it are asked for.
        for start, count in ((_PENDING, 1), (_PENDING + 1 + _RESERVED_BYTES, _SHARED_BYTES)):
            asked = _FLOCK.pack(fcntl.F_RDLCK, os.SEEK_SET, start, count, 0)
            found = fcntl.fcntl(descriptor, fcntl.F_GETLK, asked)
            if _FLOCK.unpack(found)[0] != fcntl.F_UNLCK:
                return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
