"""The free space of the disks that previews use."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from preview.errors import DiskFull
from preview.settings import Settings

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Free:
    """Free space of a preview's disks.

    Attributes:
        available_bytes: Free space for the service's user, on the disk with the least.
        mark: Changes at every write or removal on the disks.
    """

    available_bytes: int
    mark: tuple[int, ...]


def free_of(*folders: Path) -> Free:
    """Read the free space; takes a few microseconds per folder.

    Raises:
        OSError: A folder does not exist, or its disk does not respond.
    """
    return free_by([os.statvfs(folder) for folder in folders])


def free_by(found: Sequence[os.statvfs_result]) -> Free:
    """Combine the free space of several disks."""
    mark = tuple(number for one in found for number in (one.f_bfree, one.f_ffree))
    return Free(min(one.f_bavail * one.f_frsize for one in found), mark)


def check_free_disk(settings: Settings) -> None:
    """Check that the service's own disks have space for one more preview. Takes microseconds.

    Raises:
        DiskFull: Less space is free than the operator has configured.
    """
    for folder in (settings.data_dir, settings.resolved_db_path):
        try:
            free_bytes = free_of(folder).available_bytes
        except FileNotFoundError:  # the first preview creates this folder
            continue
        except OSError as error:
            raise DiskFull(
                f"The disk with the service's data does not answer ({error.strerror}); try again."
            ) from error
        if free_bytes < settings.min_free_disk_bytes:
            raise DiskFull(
                f"The disk with the service's data is full ({free_bytes // _MIB} MB are free, "
                f"{settings.min_free_disk_bytes // _MIB} MB must stay free), so launches fail; free some space, or "
                "lower PREVIEW_MIN_FREE_DISK.",
                free_bytes=free_bytes,
                limit_bytes=settings.min_free_disk_bytes,
            )
