"""Being short of descriptors: what must be done waits for one, and no folder is taken for empty."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import trio
import trio.testing
from limit_kit import no_descriptor_for_a_moment, no_descriptor_free

from preview.core.descriptors import file_of, is_want_of_descriptors, retry_on_fd_exhaustion, walk
from preview.detection import detect
from preview.detection.overrides.preview_file import read_preview_file
from preview.detection.project_imports import find_imports
from preview.environments import EnvironmentRequest
from preview.environments.store.eviction import RequestMemory
from preview.generations import GenerationLimits
from preview.generations.folder import kept_folders, scan_folder
from preview.logs.failures.model import Frame
from preview.logs.failures.source import read_source
from preview.sources import Sources
from preview.sources.node_files import read_plain
from preview.worker import analyse


def short(number: int = errno.EMFILE) -> OSError:
    return OSError(number, os.strerror(number))


@pytest.mark.parametrize(
    ("error", "is_want"),
    [
        (short(), True),
        (short(errno.ENFILE), True),
        (short(errno.ENOENT), False),
        (ValueError(), False),
        (ExceptionGroup("", [short(), ExceptionGroup("", [short()])]), True),
        (ExceptionGroup("", [short(), ValueError()]), False),
    ],
)
def test_only_what_says_nothing_else_is_want_of_descriptors(error: Exception, is_want: bool) -> None:
    assert is_want_of_descriptors(error) == is_want


async def test_what_must_be_done_is_done_once_a_descriptor_is_free(tmp_path: Path) -> None:
    tried = 0

    async def act() -> int:
        nonlocal tried
        tried += 1
        os.close(os.open(tmp_path, os.O_RDONLY))
        return 7

    async with trio.open_nursery() as nursery:
        await nursery.start(no_descriptor_for_a_moment)
        assert await retry_on_fd_exhaustion(act) == 7
    assert tried > 1


async def test_any_other_mistake_is_not_waited_for() -> None:
    async def act() -> None:
        raise short(errno.ENOSPC)

    with pytest.raises(OSError, match="No space"):
        await retry_on_fd_exhaustion(act)


async def test_waiting_for_a_descriptor_ends_with_its_bound(autojump_clock: trio.testing.MockClock) -> None:
    async def act() -> None:
        raise short()

    with trio.move_on_after(3) as scope:
        await retry_on_fd_exhaustion(act)
    assert scope.cancelled_caught
    assert trio.current_time() >= 3


def test_a_folder_that_cannot_be_listed_is_not_empty(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    assert [below for _, below, _ in walk(tmp_path)] == [["app"], []]
    with no_descriptor_free(), pytest.raises(OSError, match="Too many open files"):
        list(walk(tmp_path))
    assert list(walk(tmp_path / "gone")) == []


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "main.py").write_text("from fastapi import FastAPI\nimport models\napp = FastAPI()\n")
    (tmp_path / "models.py").write_text("")
    (tmp_path / "preview.toml").write_text("[env]\nA = '1'\n")
    return tmp_path


@pytest.mark.parametrize(
    "look",
    [
        read_preview_file,
        Sources,
        lambda folder: scan_folder(folder, GenerationLimits.default()),
        kept_folders,
        lambda folder: analyse(folder, None),
    ],
    ids=["preview.toml", "sources", "folder", "kept folders", "study"],
)
def test_a_project_that_cannot_be_read_is_not_blamed_for_it(project: Path, look: Callable[[Path], object]) -> None:
    with no_descriptor_free(), pytest.raises(OSError, match="Too many open files"):
        look(project)


def test_a_file_that_cannot_be_read_for_want_of_descriptors_is_not_left_out(project: Path) -> None:
    sources = Sources(project)
    assert "main.py" in sources.names
    with no_descriptor_free(), pytest.raises(OSError, match="Too many open files"):
        sources.text("main.py")
    assert b"FastAPI" in sources.text("main.py")


def test_a_lock_file_that_cannot_be_read_for_want_of_descriptors_is_not_empty(project: Path) -> None:
    # Too large to be kept as source: read for its hash alone.
    (project / "poetry.lock").write_bytes(b"#" * (2 << 20))
    sources = Sources(project)
    for name in sources.all_names:
        sources.text(name)
    with no_descriptor_free(), pytest.raises(OSError, match="Too many open files"):
        RequestMemory().read(EnvironmentRequest(project), sources)


def test_imports_that_cannot_be_read_for_want_of_descriptors_are_not_none(project: Path) -> None:
    plan = detect(project)
    with no_descriptor_free(), pytest.raises(OSError, match="Too many open files"):
        find_imports(plan, project)


def test_a_folder_is_no_file_and_leaves_no_descriptor(tmp_path: Path) -> None:
    """A stranger's program chooses what is at a path: a folder there must not use up the service's descriptors."""
    (tmp_path / "folder").mkdir()
    before = len([*Path("/proc/self/fd").iterdir()])
    with pytest.raises(IsADirectoryError):
        file_of(os.open(tmp_path / "folder", os.O_RDONLY))
    with pytest.raises(OSError, match="directory"):
        read_plain(str(tmp_path / "folder"), 9)
    frame = Frame("folder", 1, "", is_own=True)
    assert read_source(tmp_path, frame) is None
    assert len([*Path("/proc/self/fd").iterdir()]) == before
