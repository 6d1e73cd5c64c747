"""Watch over builds on Podman without an engine: folders that a hostile step makes, and roots that it hides."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import trio

from preview.environments.images import steps, watch
from preview.environments.images.steps import StepGroup
from preview.environments.images.watch import StepFolders, TooMuch, root_of, size_below
from preview.errors import EnvironmentFailed
from preview.settings import Settings

LONG = "a" * 255
ROOT = "1 0 0:9 / / rw - overlay overlay rw,lowerdir=l/A:l/B,"
_CHROOT = "import os, sys; os.chroot(sys.argv[1]); os.chdir('/'); print('in', flush=True); sys.stdin.read()"


def make_below(folder: Path, names: list[str], count: int) -> None:
    """Make nested folders, and some in the last: no path may have their length."""
    at = os.open(folder, os.O_RDONLY)
    for name in names:
        os.mkdir(name, dir_fd=at)
        above, at = at, os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(above)
    for number in range(count):
        os.mkdir(str(number), dir_fd=at)
    os.close(at)


def test_folders_with_long_paths_are_counted_and_take_no_memory(tmp_path: Path) -> None:
    # Four bytes a character, as Python has it.
    make_below(tmp_path, ["\U0001f600" + "a" * 250, *[LONG] * 20], 1500)
    tracemalloc.start()
    try:
        counted = size_below(tmp_path, 1 << 40)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
    one = tmp_path / "one"
    one.mkdir()
    assert counted >= 1500 * one.stat().st_blocks * 512


def test_a_link_is_not_followed_and_folders_without_end_are_too_much(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    for folder in (outside, inside):
        folder.mkdir()
    (outside / "large").write_bytes(b"x" * (1 << 20))
    (inside / "link").symlink_to(outside)
    assert size_below(inside, 1 << 40) < 1 << 20
    # It was a folder when it was looked at.
    real = os.open
    monkeypatch.setattr(
        os, "open", lambda name, *args, **values: real("link" if name == "swapped" else name, *args, **values)
    )
    (inside / "swapped").mkdir()
    assert size_below(inside, 1 << 40) < 1 << 20
    monkeypatch.undo()
    make_below(inside, ["d"] * 120, 0)
    with pytest.raises(TooMuch, match="more than 100 deep"):
        size_below(inside, 1 << 40)
    monkeypatch.setattr(watch, "_MOST_FILES", 50)
    make_below(outside, ["many"], 60)
    with pytest.raises(TooMuch, match="more than 50 files"):
        size_below(outside, 1 << 40)


async def test_a_limit_of_the_build_ends_a_measurement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_below(tmp_path, [], 300)
    monkeypatch.setattr(watch, "_SIZE_S", 0.0)
    monkeypatch.setattr(watch, "_LOOK_S", 0.0)
    monkeypatch.setattr(watch, "root_of", lambda *_: ("overlay", tmp_path))
    began, ended = trio.Event(), trio.Event()
    real = StepFolders.measure

    def without_end(self: StepFolders, check: object) -> None:
        trio.from_thread.run_sync(began.set)
        try:
            while True:
                real(self, check)  # type: ignore[arg-type]  # what it is given
        finally:
            token.run_sync_soon(ended.set)

    token = trio.lowlevel.current_trio_token()
    monkeypatch.setattr(StepFolders, "measure", without_end)
    group = StepGroup("/x", lambda: [os.getpid()])
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch._watch_folders, group, tmp_path, 1 << 40, print)
            await began.wait()
            nursery.cancel_scope.cancel()
        # The thread ends too.
        await ended.wait()


def test_the_folder_of_a_root_is_found_where_the_engine_writes_it_relative_or_through_a_link(tmp_path: Path) -> None:
    engine, link = tmp_path / "with space", tmp_path / "link"
    (engine / "overlay" / "x" / "diff").mkdir(parents=True)
    link.symlink_to(engine)
    found = engine / "overlay" / "x" / "diff"
    escaped = str(found).replace(" ", "\\040")
    for upper in (escaped, "x/diff", str(link / "overlay" / "x" / "diff")):
        assert root_of(f"{ROOT}upperdir={upper}\n", engine) == ("overlay", found)
    assert root_of(f"{ROOT}upperdir=x/diff\n", link) == ("overlay", found)
    for upper in ("/etc", "../../../../etc", f"{engine}/../other"):
        assert root_of(f"{ROOT}upperdir={upper}\n", engine) == ("overlay", None)
    assert root_of(f"{ROOT.replace('/ /', '/ /mnt')}upperdir=x/diff\n", engine) == ("", None)
    assert root_of("1 0 0:9 / / rw - proc proc rw\n", engine) == ("proc", None)


@contextmanager
def chrooted(folder: Path) -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", _CHROOT, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline() == b"in\n"
        yield process.pid
        process.stdin.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may leave its root")
def test_a_root_that_was_seen_is_measured_until_it_is_gone_and_hidden_ones_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diff = tmp_path / "overlay" / "x" / "diff"
    diff.mkdir(parents=True)
    folders = StepFolders(tmp_path, 1 << 20)
    assert not folders.look([])
    with chrooted(diff) as pid:
        assert folders.look([pid])
        with monkeypatch.context() as patched:
            patched.setattr(watch, "root_of", lambda *_: ("overlay", diff))
            assert not folders.look([pid])
        # It has left its root, and writes there.
        assert not folders.look([pid])
        (diff / "a").write_bytes(b"x" * (600 << 10))
        folders.measure(lambda: None)
        # A later step has another folder.
        diff.rename(tmp_path / "gone")
        assert folders.look([pid])
        folders.measure(lambda: None)
        assert folders.written[diff] >= 600 << 10
        later = tmp_path / "overlay" / "y" / "diff"
        later.mkdir(parents=True)
        (later / "b").write_bytes(b"x" * (600 << 10))
        folders.written[later] = 0
        with pytest.raises(TooMuch, match="write more than 1 MiB"):
            folders.measure(lambda: None)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may leave its root")
async def test_a_step_that_hides_its_root_ends_the_build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "_LOOK_S", 0.01)
    monkeypatch.setattr(watch, "_HIDING_S", 0.05)
    said: list[str] = []
    with chrooted(tmp_path) as pid, trio.fail_after(60):
        await watch._watch_folders(StepGroup("/x", lambda: [pid]), tmp_path, 1 << 30, said.append)
    assert said == ["a step hides its root file system, so what it writes cannot be measured"]


async def test_a_trial_is_made_before_the_first_build_and_again_after_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ["a trial was slow", ""]

    async def answer(*_: object) -> str:
        await trio.lowlevel.checkpoint()
        return answers.pop(0)

    @asynccontextmanager
    async def opened(*_: object) -> AsyncIterator[StepGroup]:
        yield StepGroup("/x")

    monkeypatch.setattr(steps, "why_no_steps", answer)
    monkeypatch.setattr(steps, "open_own_group", opened)
    tried: Any = steps.TriedSteps(None, None, Settings(data_dir=tmp_path))  # type: ignore[arg-type]  # not asked
    assert answers
    with pytest.raises(EnvironmentFailed, match="cannot be built: a trial was slow"):
        async with tried.open("one"):
            pass
    for token in ("two", "three"):
        async with tried.open(token) as group:
            assert group.path == "/x"
    assert not answers
