"""Watches what previews' folders hold, as often as it can for a fiftieth of a core, all of them together."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import trio

from preview.settings import Settings
from preview.supervisor.limits.disk import DiskUse, Free, free_by, measure
from preview.supervisor.limits.limits import stop_for
from preview.supervisor.preview.live_preview import LivePreview

log = structlog.get_logger(__name__)

_MIB = 1024 * 1024
# A look that took a millisecond is followed by 49 without one: 2 % of a core.
_REST = 49
# When the disk has lost as much as this preview had left, it is looked at sooner: 10 % of a core.
_URGENT_REST = 9
# Somebody else may have removed as much as this one wrote, to the byte: then the free room shows nothing.
_LONGEST_SKIP_S = 2.0
# Of the interval: an answer of the disk's that is no older does for all previews.
_SHARED = 0.2


@dataclass(slots=True)
class Watchers:
    """The previews that are watched now: they share what looking may cost, and how much is free.

    Attributes:
        count: This many.
    """

    count: int = 0
    # What a disk has said, and when, by its device number. Bounded by the machine's disks.
    _said: dict[int, tuple[float, os.statvfs_result]] = field(default_factory=dict)

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count one for as long as this is open."""
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1

    def free(self, places: Mapping[int, Path], age_s: float) -> Free:
        """Return the free space of the disks; each is read once in ``age_s`` seconds for all.

        Args:
            places: For each device number a folder on it.
            age_s: How old an answer may be.

        Raises:
            OSError: There is no such folder, or its disk does not answer.
        """
        now = trio.current_time()
        for device, folder in places.items():
            asked_at, _ = self._said.get(device, (-math.inf, None))
            if now - asked_at >= age_s:
                self._said[device] = now, os.statvfs(folder)
        return free_by([self._said[device][1] for device in places])


@dataclass(frozen=True, slots=True)
class DiskWatch:
    """Facts to watch one preview's disk.

    Attributes:
        folders: Its own.
        settings: The limit and the interval.
        watchers: All that watch.
    """

    folders: tuple[Path, ...]
    settings: Settings
    watchers: Watchers


@dataclass(slots=True)
class Pace:
    """Decides when to look again. Times are trio's, in seconds.

    Attributes:
        limit_bytes: What the preview may hold.
        looked_at: When the last look was over; -inf before the first.
        took_s: How long it took.
        used_bytes: What it found.
        free: What was free then.
    """

    limit_bytes: int
    looked_at: float = -math.inf
    took_s: float = 0.0
    used_bytes: int = 0
    free: Free | None = None

    def is_due(self, now: float, free: Free, watched: int = 1) -> bool:
        """Return whether to measure now, as one of ``watched`` previews."""
        if self.free is None:
            return True
        since_s = now - self.looked_at
        if free.mark == self.free.mark and since_s < _LONGEST_SKIP_S:
            return False
        lost_bytes = self.free.available_bytes - free.available_bytes
        is_urgent = lost_bytes > self.limit_bytes - self.used_bytes
        return since_s >= self.took_s * (_URGENT_REST if is_urgent else _REST * max(1, watched))

    def note(self, started: float, ended: float, found: DiskUse, free: Free) -> None:
        """Take in a look."""
        self.looked_at, self.took_s = ended, ended - started
        self.used_bytes, self.free = found.used_bytes, free


async def watch_disk(
    preview: LivePreview, members: Callable[[], Iterable[int]], disk: DiskWatch, *, is_step: bool = False
) -> None:
    """End the preview when its folders hold more than they may.

    What is written faster than it is looked at goes over the limit by as much as the disk takes in
    ``disk_interval_s``, a fifth more, and one look.

    Args:
        preview: Whose folders.
        members: The pids of its tree, for files that have no name any more.
        disk: See ``DiskWatch``.
        is_step: For the words.

    Cancellation: a look under way ends with the folder that it is in.
    """
    settings = disk.settings
    pace = Pace(settings.disk_limit_mb * _MIB)
    shared_s = settings.disk_interval_s * _SHARED
    places: dict[int, Path] = {}
    with disk.watchers.one_more():
        while True:
            try:
                # Not in a thread: it takes microseconds, and the disk has answered to this preview before.
                places = places or {folder.stat().st_dev: folder for folder in disk.folders}
                free = disk.watchers.free(places, shared_s)
                if pace.is_due(trio.current_time(), free, disk.watchers.count):
                    found = await _look(list(members()), disk, pace, free)
                    _judge(preview, found, settings, is_step=is_step)
            except OSError as error:
                log.warning("disk not measured", preview_id=preview.id, error=str(error))
            await trio.sleep(settings.disk_interval_s)


async def _look(pids: list[int], disk: DiskWatch, pace: Pace, free: Free) -> DiskUse:
    started, check = trio.current_time(), trio.from_thread.check_cancelled
    found = await trio.to_thread.run_sync(measure, disk.folders, pids, pace.limit_bytes, check)
    pace.note(started, trio.current_time(), found, free)
    return found


def _judge(preview: LivePreview, found: DiskUse, settings: Settings, *, is_step: bool) -> None:
    limit_bytes = settings.disk_limit_mb * _MIB
    if found.used_bytes > limit_bytes:
        who = "a step used" if is_step else "used"
        message = f"stopped: {who} more than {settings.disk_limit_mb} MB of disk"
        stop_for(preview, "disk", message, disk_bytes=found.used_bytes, limit_bytes=limit_bytes)
    elif found.is_too_deep:
        stop_for(preview, "disk", "stopped: its folders are nested too deep for their size to be measured")
