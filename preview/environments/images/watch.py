"""Watch over one build: what its steps write, what the engine's disk loses, and how many processes a step has.

Nothing that a step prints counts. Its containers are found by the engine's own description of them. What they write is
the engine's sum, which has neither deleted nor very small files; so the free space and the free inodes of the engine's
disk count too. Podman tells no such sum. There the service adds up the files that a step's root file system has, and
the processes have a group (``steps``). A step may leave its root (``chroot``): the folder of a root that was seen once
is measured until it is gone.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import trio

from preview.environments.images.steps import MOST_PROCESSES, StepGroup
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
# Deeper folders end the build: each level takes two descriptors.
_MOST_DEPTH: Final = 100
_BLOCK: Final = 512
_CHECKED_FILES: Final = 100
# A runtime's own process shows no root of a step for a moment.
_HIDING_S: Final = 10.0
# Of these no storage driver makes a root.
_NO_ROOTS: Final = frozenset(
    {"", "proc", "sysfs", "tmpfs", "ramfs", "devtmpfs", "devpts", "mqueue", "cgroup", "cgroup2"}
)
# A step may make very many mounts; the root is the first.
_MOUNTS_BYTES: Final = 32 * 1024
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_GONE: Final = frozenset({errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ESTALE})
_ESCAPED: Final = re.compile(r"\\([0-7]{3})")


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
    folders = StepFolders(root, most_bytes)
    measured = shown = trio.current_time()
    while True:
        await trio.sleep(_LOOK_S)
        try:
            if not await trio.to_thread.run_sync(lambda: folders.look(group.pids()), abandon_on_cancel=True):
                shown = trio.current_time()
            if trio.current_time() - measured >= _SIZE_S:
                await trio.to_thread.run_sync(folders.measure, trio.from_thread.check_cancelled, abandon_on_cancel=True)
                measured = trio.current_time()
        except TooMuch as error:
            end(str(error))
            return
        except OSError as error:
            end(f"what its steps write cannot be measured ({error.strerror})")
            return
        if trio.current_time() - shown > _HIDING_S:
            end("a step hides its root file system, so what it writes cannot be measured")
            return


class TooMuch(Exception):
    """Steps have written too much; the message is half a sentence."""


@dataclass(slots=True)
class StepFolders:
    """The folders to which the root file systems of a build's steps write. All methods block.

    Attributes:
        root: The engine's folder.
        most_bytes: What they may have together.
        written: The most bytes that each of them had.
    """

    root: Path
    most_bytes: int
    written: dict[Path, int] = field(default_factory=dict)

    def look(self, pids: Sequence[int]) -> bool:
        """Note the folders of these processes. Return whether a step runs, but none is known to which it writes."""
        hides = False
        for pid in pids:
            # A process that has ended has no mounts.
            with suppress(OSError):
                with Path(f"/proc/{pid}/mountinfo").open("rb") as file:
                    mounts = file.read(_MOUNTS_BYTES)
                kind, folder = root_of(mounts.decode("utf-8", "replace"), self.root)
                hides |= kind in _NO_ROOTS
                if folder is not None:
                    self.written.setdefault(folder, 0)
        return hides and not any(one.is_dir() for one in self.written)

    def measure(self, check: Callable[[], None]) -> None:
        """Measure all folders that are there; what is gone counts as it was.

        Args:
            check: Called now and then; what it raises ends the work.

        Raises:
            TooMuch: They have more than they may.
            OSError: One cannot be read.
        """
        for folder, before in self.written.items():
            others = sum(self.written.values()) - before
            self.written[folder] = max(before, size_below(folder, self.most_bytes - others, check))
            if sum(self.written.values()) > self.most_bytes:
                raise TooMuch(_too_much(self.most_bytes))


def root_of(mounts: str, root: Path) -> tuple[str, Path | None]:
    """Return the kind of a process's root file system, and the folder below the engine's to which it writes.

    Args:
        mounts: Its ``mountinfo``. What lies outside the process's root is not in it, so the kind may be empty.
        root: The engine's folder.
    """
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        if before.split(" ")[4:5] != ["/"]:
            continue
        kind, *others = after.split(" ")
        options = others[-1].split(",") if others else []
        for one in options:
            if kind == "overlay" and one.startswith("upperdir="):
                # With many layers the engine writes it relative to the driver's folder.
                name = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), one.removeprefix("upperdir="))
                folder = Path(os.path.realpath(root / "overlay" / name))
                if folder.is_relative_to(os.path.realpath(root)):
                    return kind, folder
        return kind, None
    return "", None


def size_below(folder: Path, most_bytes: int, check: Callable[[], None] = lambda: None) -> int:
    """Return the bytes on the disk below a folder that a hostile program may change. Blocks on the disk.

    Args:
        folder: The folder.
        most_bytes: When there are more, the rest is not looked at.
        check: Called now and then; what it raises ends the work.

    Raises:
        TooMuch: It has too many files, or folders that are too deep.
        OSError: It cannot be read.
    """
    found = _Measured(most_bytes, check)
    found.add(str(folder), None, 0)
    return found.bytes


@dataclass(slots=True)
class _Measured:
    """Bytes and files that were counted. One folder of each level is open, and no path and no list is in memory."""

    most_bytes: int
    check: Callable[[], None]
    bytes: int = 0
    files: int = 0

    def add(self, name: str, above: int | None, depth: int) -> None:
        """Add a folder, opened from the one above it, and never through a link; nothing if it has gone."""
        if depth > _MOST_DEPTH:
            raise TooMuch(f"its steps make folders that are more than {_MOST_DEPTH} deep")
        try:
            descriptor = os.open(name, _FOLDER, dir_fd=above)
            try:
                with os.scandir(descriptor) as entries:
                    for one in entries:
                        self._add_entry(one, descriptor, depth)
                        if self.bytes > self.most_bytes:
                            return
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno not in _GONE:
                raise

    def _add_entry(self, one: os.DirEntry[str], folder: int, depth: int) -> None:
        self.files += 1
        if self.files % _CHECKED_FILES == 0:
            self.check()
        if self.files > _MOST_FILES:
            raise TooMuch(f"its steps write more than {_MOST_FILES} files")
        with suppress(FileNotFoundError):
            self.bytes += one.stat(follow_symlinks=False).st_blocks * _BLOCK
            if one.is_dir(follow_symlinks=False):
                self.add(one.name, folder, depth + 1)


def _too_much(most_bytes: int) -> str:
    return f"its steps write more than {most_bytes >> 20} MiB (PREVIEW_IMAGE_MAX_BYTES)"
