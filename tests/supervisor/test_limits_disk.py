"""How much of the disk a preview holds, however it hides it, and when it is looked at."""

from __future__ import annotations

import errno
import os
import resource
from contextlib import ExitStack
from pathlib import Path

import pytest
from limit_kit import no_descriptor_free

from preview.errors import DiskFull
from preview.runtime import DiskUse, disk_use, measure
from preview.settings import Settings
from preview.supervisor import check_free_disk
from preview.supervisor.limits.disk import Free
from preview.supervisor.limits.watch_disk import Pace, Watchers

MIB = 1024 * 1024
GIB = 1024 * MIB


def used(folder: Path, *pids: int, limit_bytes: int = GIB) -> int:
    return measure([folder], pids, limit_bytes).used_bytes


async def test_what_is_written_counts(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"x" * MIB)
    assert MIB <= used(tmp_path) <= MIB + 100_000


async def test_a_sparse_file_counts_as_what_was_written_to_it(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(GIB)
    assert used(tmp_path) <= 100_000


async def test_empty_files_are_not_free(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / str(number)).touch()
    assert used(tmp_path) == 100 * 4096


async def test_a_file_with_many_names_is_one_file(tmp_path: Path) -> None:
    (tmp_path / "0").write_bytes(b"x" * MIB)
    for number in range(1, 10):
        os.link(tmp_path / "0", tmp_path / str(number))
    assert used(tmp_path) <= 2 * MIB


async def test_links_are_not_followed(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    inside.mkdir()
    (outside / "file").write_bytes(b"x" * MIB)
    (inside / "file").symlink_to(outside / "file")
    (inside / "folder").symlink_to(outside)
    assert used(inside) <= 100_000


async def test_a_file_that_was_deleted_counts_while_it_is_open(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.write(b"x" * MIB)
        file.flush()
        (tmp_path / "file").unlink()
        assert used(tmp_path) < MIB
        assert used(tmp_path, os.getpid()) >= MIB
    assert used(tmp_path, os.getpid()) < MIB


async def test_a_folder_that_its_program_has_closed_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "file").write_bytes(b"x" * MIB)
    (tmp_path / "closed").chmod(0)
    assert used(tmp_path) >= MIB


async def test_folders_nested_without_end_are_found_to_be_too_deep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk_use, "_MOST_LEVELS", 5)
    (tmp_path / "/".join("abc")).mkdir(parents=True)
    assert not measure([tmp_path], (), GIB).is_too_deep
    (tmp_path / "/".join("abcdefgh")).mkdir(parents=True)
    assert measure([tmp_path], (), GIB).is_too_deep


async def test_nothing_more_is_counted_once_the_limit_is_passed(tmp_path: Path) -> None:
    for number in range(1000):
        (tmp_path / str(number)).touch()
    assert used(tmp_path, limit_bytes=10 * 4096) == 11 * 4096


async def test_what_is_not_there_counts_nothing(tmp_path: Path) -> None:
    assert measure([tmp_path / "gone"], [2**22 + 1], GIB) == DiskUse(0)


async def test_a_look_without_a_descriptor_is_told_and_hides_nothing(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as held:
        # Enough for the first two folders, each of which takes two.
        spare = [os.dup(0) for _ in range(4)]
        held.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(spare) + 1, hard))
        for one in spare:
            os.close(one)
        with pytest.raises(OSError, match="Too many open files") as raised:
            measure([tmp_path], (), GIB)
    assert raised.value.errno == errno.EMFILE


async def test_nameless_files_that_cannot_be_looked_for_are_not_none(tmp_path: Path) -> None:
    with no_descriptor_free(), pytest.raises(OSError, match="Too many open files"):
        measure([], [os.getpid()], GIB)


def free(available_bytes: int) -> Free:
    return Free(available_bytes, (available_bytes,))


def looked(took_s: float, used_bytes: int = 0) -> Pace:
    pace = Pace(100 * MIB)
    assert pace.is_due(0.0, free(GIB))
    pace.note(0.0, took_s, DiskUse(used_bytes), free(GIB))
    return pace


async def test_a_disk_that_has_not_changed_is_not_looked_at() -> None:
    pace = looked(0.001)
    assert not pace.is_due(1.9, free(GIB))
    assert pace.is_due(2.1, free(GIB))


async def test_a_long_look_makes_the_next_one_late() -> None:
    pace = looked(1.0)
    assert not pace.is_due(45.0, free(GIB - MIB))
    assert pace.is_due(50.0, free(GIB - MIB))


async def test_previews_share_what_looking_may_cost() -> None:
    pace = looked(0.1)
    assert pace.is_due(10.0, free(GIB - MIB), watched=2)
    assert not pace.is_due(10.0, free(GIB - MIB), watched=100)


async def test_a_disk_that_has_lost_what_was_left_is_looked_at_soon() -> None:
    pace = looked(1.0, used_bytes=60 * MIB)
    assert not pace.is_due(9.0, free(GIB - 50 * MIB))
    assert pace.is_due(10.5, free(GIB - 50 * MIB))


async def test_a_full_disk_of_the_machine_is_told_with_what_to_do(settings: Settings) -> None:
    settings.data_dir.mkdir()
    check_free_disk(settings)
    wants_all = settings.model_copy(update={"min_free_disk_bytes": 2**62})
    with pytest.raises(DiskFull, match=r"is full \(\d+ MB are free, .* lower PREVIEW_MIN_FREE_DISK"):
        check_free_disk(wants_all)


async def test_previews_on_one_disk_ask_it_once_for_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Path] = []
    statvfs = os.statvfs

    def counted(folder: Path) -> os.statvfs_result:
        asked.append(folder)
        return statvfs(folder)

    monkeypatch.setattr(os, "statvfs", counted)
    watchers = Watchers()
    folders = [tmp_path / str(number) for number in range(10)]
    for folder in folders:
        folder.mkdir()
        places = {folder.stat().st_dev: folder}
        found = watchers.free(places, 60)
        assert found.available_bytes > 0
    assert asked == folders[:1]
    watchers.free({folders[3].stat().st_dev: folders[3]}, 0)
    assert asked == [folders[0], folders[3]]


async def test_what_is_free_is_that_of_the_disk_that_has_least(tmp_path: Path) -> None:
    other = Path("/dev/shm")  # another disk
    places = {folder.stat().st_dev: folder for folder in (tmp_path, other)}
    found = Watchers().free(places, 0)
    least = min(os.statvfs(one).f_bavail * os.statvfs(one).f_frsize for one in places.values())
    # Others write on these disks, too.
    assert found.available_bytes == pytest.approx(least, rel=0.05)
    assert len(found.mark) == 2 * len(places)
