"""Watch over one build: what its steps write, what the engine's disk loses, and how many processes a step has.

Nothing that a step prints counts. Its containers are found by the engine's own description of them. What they write is
the engine's sum, which has neither deleted nor very small files; so the free space and the free inodes of the engine's
disk count too. Podman tells no such sum. There the service adds up the files that a step's root file system has, and
the processes have a group (``steps``).
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import trio

from preview.environments.images.steps import MOST_PROCESSES, StepGroup, size_below, written_folders
from preview.runtime.container import EngineError
from preview.runtime.container.images import Images

_LOOK_S: Final = 0.25
_SIZE_S: Final = 2.0
# Steps that end while they are looked at are a few in a row.
_MOST_FAILURES: Final = 40
# The engine's disk may lose this many times the limit of one build: it counts what all others write too.
_TIMES: Final = 2
_MOST_FILES: Final = 1_000_000
_LEAST_BYTES: Final = 1 << 30
_LEAST_FILES_SHARE: Final = 0.02


@dataclass(frozen=True, slots=True)
class DiskState:
    """Free space of a disk; ``files`` is None where the file system has no fixed number of inodes."""

    bytes: int
    files: int | None
    all_files: int

    @property
    def fault(self) -> str:
        """Reason against a build, as half a sentence; empty if one may run."""
        if self.bytes < _LEAST_BYTES:
            return f"the engine's disk has less than {_LEAST_BYTES >> 20} MiB left"
        if self.files is not None and self.files < self.all_files * _LEAST_FILES_SHARE:
            return "the engine's disk has almost no inodes left"
        return ""


def look_at_disk(folder: Path) -> DiskState:
    """Return the state of the disk of a folder. Blocks on the disk.

    Raises:
        OSError: The folder cannot be seen.
    """
    found = os.statvfs(folder)
    free = found.f_favail if found.f_files else None
    return DiskState(found.f_bavail * found.f_frsize, free, found.f_files)


async def watch_build(
    images: Images,
    token: str,
    group: StepGroup,
    root: Path,
    before: DiskState,
    most_bytes: int,
    end: Callable[[str], None],
) -> None:
    """End a build that takes too much. Runs until cancelled, or until it has ended the build.

    Args:
        images: The engine's images.
        token: The build's name; see ``Images.open_build``.
        group: The group of its steps.
        root: The engine's folder.
        before: State of its disk before the build.
        most_bytes: What the build may write, in all its steps.
        end: Ends the build; called with half a sentence, once.

    Cancellation: no effect.
    """
    async with trio.open_nursery() as nursery:

        def stop(reason: str) -> None:
            nursery.cancel_scope.cancel()
            end(reason)

        nursery.start_soon(_watch_disk, root, before, most_bytes, stop)
        if images.is_podman:
            nursery.start_soon(_watch_folders, group, root, most_bytes, stop)
        else:
            nursery.start_soon(_watch_steps, images, token, most_bytes, stop)


async def _watch_disk(root: Path, before: DiskState, most_bytes: int, end: Callable[[str], None]) -> None:
    while True:
        await trio.sleep(_LOOK_S)
        try:
            now = await trio.to_thread.run_sync(look_at_disk, root, abandon_on_cancel=True)
        except OSError as error:
            end(f"the engine's disk cannot be seen any more ({error.strerror})")
            return
        files = 0 if now.files is None or before.files is None else before.files - now.files
        if now.fault:
            end(now.fault)
        elif before.bytes - now.bytes > _TIMES * most_bytes:
            most = _TIMES * most_bytes >> 20
            end(f"the engine's disk lost more than {most} MiB meanwhile (twice PREVIEW_IMAGE_MAX_BYTES)")
        elif files > _MOST_FILES:
            end(f"the engine's disk lost more than {_MOST_FILES} inodes meanwhile")
        else:
            continue
        return


async def _watch_steps(images: Images, token: str, most_bytes: int, end: Callable[[str], None]) -> None:
    written: dict[str, int] = {}
    looked, failures = float("-inf"), 0
    while True:
        await trio.sleep(_LOOK_S)
        try:
            running = await images.steps_of(token)
            for one in running:
                if one not in written:
                    # Known once it has its limit: an engine that does not answer now is asked again.
                    await images.limit_processes(one, MOST_PROCESSES)
                    written[one] = 0
            if trio.current_time() - looked < _SIZE_S:
                continue
            looked = trio.current_time()
            for one in running:
                written[one] = max(written[one], await images.written_bytes(one))
        except (EngineError, OSError) as error:
            failures += 1
            if failures >= _MOST_FAILURES:
                end(f"the engine does not describe its steps any more ({error})")
                return
            continue
        failures = 0
        if sum(written.values()) > most_bytes:
            end(_too_much(most_bytes))
            return


async def _watch_folders(group: StepGroup, root: Path, most_bytes: int, end: Callable[[str], None]) -> None:
    written: dict[Path, int] = {}

    def look() -> None:
        for folder in written_folders(group.pids(), root):
            written[folder] = max(written.get(folder, 0), size_below(folder))

    while sum(written.values()) <= most_bytes:
        await trio.sleep(_SIZE_S)
        await trio.to_thread.run_sync(look)
    end(_too_much(most_bytes))


def _too_much(most_bytes: int) -> str:
    return f"its steps write more than {most_bytes >> 20} MiB (PREVIEW_IMAGE_MAX_BYTES)"
