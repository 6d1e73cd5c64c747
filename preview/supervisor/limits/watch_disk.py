"""Monitoring of previews' disk use, as often as is possible with 2 % of a core for all previews together."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import structlog
import trio

from preview.runtime import DiskUse, measure
from preview.settings import Settings
from preview.supervisor.limits.disk import Free, free_by
from preview.supervisor.limits.limits import stop_for
from preview.supervisor.preview.live_preview import LivePreview

log = structlog.get_logger(__name__)

_MIB = 1024 * 1024
# A measurement of one millisecond is followed by a pause of 49: 2 % of a core.
_REST = 49
# If the disk has lost as much space as the preview had left, measure sooner: 10 % of a core.
_URGENT_REST = 9
# Another process may have freed exactly as much as the preview wrote, which leaves the free space unchanged.
_LONGEST_SKIP_S = 2.0
# Share of the interval: a reading of a disk's free space that is not older is used for all previews.
_SHARED = 0.2


@dataclass(slots=True)
class Watchers:
    """State shared by all watched previews: how many there are, and the free space of their disks.

    Attributes:
        count: Number of watched previews.
    """

    count: int = 0
    # Time and result of the last reading, by device number. Bounded by the number of the machine's disks.
    _said: dict[int, tuple[float, os.statvfs_result]] = field(default_factory=dict)

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count one more preview while the context is open."""
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1

    def free(self, places: Mapping[int, Path], age_s: float) -> Free:
        """Return the free space of the disks; each disk is read once in ``age_s`` seconds for all previews.

        Args:
            places: A folder on each disk, by device number.
            age_s: Maximum age of a reading in seconds.

        Raises:
            OSError: A folder does not exist, or its disk does not respond.
        """
        now = trio.current_time()
        for device, folder in places.items():
            asked_at, _ = self._said.get(device, (-math.inf, None))
            if now - asked_at >= age_s:
                self._said[device] = now, os.statvfs(folder)
        return free_by([self._said[device][1] for device in places])


@dataclass(frozen=True, slots=True)
class DiskWatch:
    """Everything needed to watch one preview's disk use.

    Attributes:
        folders: The preview's folders.
        settings: Limit and interval.
        watchers: State shared with other previews.
    """

    folders: tuple[Path, ...]
    settings: Settings
    watchers: Watchers


@dataclass(slots=True)
class Pace:
    """Decides when to measure again. Times are trio's, in seconds.

    Attributes:
        limit_bytes: Limit of the preview.
        looked_at: End of the last measurement; -inf before the first.
        took_s: Its duration.
        used_bytes: Its result.
        free: Free space at that time.
    """

    limit_bytes: int
    looked_at: float = -math.inf
    took_s: float = 0.0
    used_bytes: int = 0
    free: Free | None = None

    def is_due(self, now: float, free: Free, watched: int = 1) -> bool:
        """Return True if it is time to measure, with ``watched`` previews sharing the CPU time."""
        if self.free is None:
            return True
        since_s = now - self.looked_at
        if free.mark == self.free.mark and since_s < _LONGEST_SKIP_S:
            return False
        lost_bytes = self.free.available_bytes - free.available_bytes
        is_urgent = lost_bytes > self.limit_bytes - self.used_bytes
        return since_s >= self.took_s * (_URGENT_REST if is_urgent else _REST * max(1, watched))

    def note(self, started: float, ended: float, found: DiskUse, free: Free) -> None:
        """Record a measurement."""
        self.looked_at, self.took_s = ended, ended - started
        self.used_bytes, self.free = found.used_bytes, free


async def watch_disk(
    preview: LivePreview, members: Callable[[], Iterable[int]], disk: DiskWatch, *, is_step: bool = False
) -> None:
    """End the preview when its folders exceed the disk limit.

    A fast writer can exceed the limit. The excess is at most the bytes written during 1.2 times ``disk_interval_s`` and
    one measurement.

    Args:
        preview: The preview.
        members: Returns the pids of its processes, for deleted files that are still open.
        disk: See ``DiskWatch``.
        is_step: True for a step, in messages.

    Cancellation: a running measurement ends after its current folder.
    """
    settings = disk.settings
    pace = Pace(settings.disk_limit_mb * _MIB)
    shared_s = settings.disk_interval_s * _SHARED
    places: dict[int, Path] = {}
    with disk.watchers.one_more():
        while True:
            try:
                # No thread needed: this takes microseconds, and the disk has responded to this preview before.
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
