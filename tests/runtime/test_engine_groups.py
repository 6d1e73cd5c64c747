"""The groups of an engine's builds end, also where the engine is at work in one for longer than its removal waits."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from preview.environments.images.steps import open_own_group
from preview.runtime.cgroups.engine_groups import EngineGroups, open_engine_groups
from preview.runtime.cgroups.group import Cgroup, GroupLimits, GroupUsage
from preview.runtime.cgroups.home import Home
from preview.runtime.cgroups.own_groups import OwnGroups, read_own_groups
from preview.runtime.interface import Excess
from preview.settings import Settings

LIMITS = GroupLimits(64 << 20, 1.0, 50)


class Folders(Cgroup):
    """A group of ordinary folders: one that has a file is as busy as one that the kernel does not release."""

    def apply(self) -> None:
        """Limit nothing."""

    def usage(self) -> GroupUsage:
        return GroupUsage(0, None, 0, 0)

    def _count(self) -> Excess:
        return Excess()

    def _kill_at_once(self) -> None:
        """Kill nothing."""


class FoldersHome(Home):
    version = 1

    def __init__(self, root: Path) -> None:
        super().__init__(root.name)
        self._roots.append(str(root))

    def claim(self) -> None:
        Path(self.roots[0]).mkdir()

    def _give_back(self) -> None:
        """Do nothing."""

    def _group(self, name: str, limits: GroupLimits, directories: list[str]) -> Cgroup:
        return Folders(name, limits, directories)

    def leftovers(self) -> list[str]:
        return []


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "engine"
    monkeypatch.setattr("preview.runtime.cgroups.engine_groups._EngineHome", lambda *_: FoldersHome(root))
    monkeypatch.setattr(EngineGroups, "_path_of", lambda _, group: group.name)
    return root


@asynccontextmanager
async def service(tmp_path: Path) -> AsyncIterator[EngineGroups]:
    async with open_engine_groups(tmp_path, None, LIMITS, OwnGroups()) as groups:
        assert groups is not None
        yield groups


@asynccontextmanager
async def building(groups: EngineGroups, name: str) -> AsyncIterator[Path]:
    async with groups.open(name, memory_bytes=1, cpu_cores=1.0, processes=1) as (group, _):
        yield Path(group.directories[0])


def names(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir()]


async def release_after(seconds: float, folder: Path) -> None:
    """Let the engine make one more group in a busy one, and release both."""
    await trio.sleep(seconds)
    (folder / "step").mkdir()
    (folder / "busy").unlink()


async def test_a_group_that_is_busy_for_a_while_is_removed(
    root: Path, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with service(tmp_path) as groups, trio.open_nursery() as nursery:
        async with building(groups, "one") as folder:
            (folder / "busy").touch()
            nursery.start_soon(release_after, 2.0, folder)
        assert names(root) == []


async def test_a_group_of_a_build_that_is_given_up_is_removed_too(
    root: Path, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with service(tmp_path) as groups, trio.open_nursery() as nursery:
        with trio.CancelScope() as scope:
            async with building(groups, "one") as folder:
                (folder / "busy").touch()
                nursery.start_soon(release_after, 2.0, folder)
                scope.cancel()
                await trio.sleep_forever()
        assert names(root) == []


async def test_a_group_that_stays_busy_delays_the_end_of_its_build_by_seconds(
    root: Path, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with service(tmp_path) as groups:
        async with building(groups, "one") as folder:
            (folder / "busy").touch()
            start = trio.current_time()
        assert trio.current_time() - start < 6
        assert names(root) == ["one"]


async def test_the_next_build_removes_what_earlier_ones_left(
    root: Path, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with service(tmp_path) as groups:
        async with building(groups, "one") as folder:
            (folder / "busy").touch()
        async with building(groups, "two"):
            pass
        (root / "one" / "busy").unlink()
        # The engine makes a group again after its removal.
        (root / "two" / "step").mkdir(parents=True)
        async with building(groups, "three"):
            assert names(root) == ["three"]


async def test_what_an_engine_makes_again_is_removed_without_another_build(
    root: Path, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with service(tmp_path) as groups:
        async with building(groups, "one"), building(groups, "two"):
            pass
        (root / "one" / "step").mkdir(parents=True)
        async with building(groups, "three"):
            await groups.remove_left()
            assert names(root) == ["three"]
            assert groups.is_ended("/engine/one/step")
            for other in ("/engine/three/step", "/engine/three", "/engine/", "/a/engine/one/step", "/engines/one", ""):
                assert not groups.is_ended(other)


async def test_a_build_that_the_service_ends_counts_as_given_up(root: Path, tmp_path: Path) -> None:
    async with service(tmp_path) as groups:
        settings = Settings(data_dir=tmp_path)
        async with open_own_group(groups, settings, "one") as group:
            pass
        assert not groups.was_given_up
        group.give_up()
        assert groups.was_given_up


async def test_a_build_does_not_wait_long_for_what_an_earlier_one_left(
    root: Path, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with service(tmp_path) as groups:
        async with building(groups, "one") as folder:
            (folder / "busy").touch()
        start = trio.current_time()
        async with building(groups, "two"):
            assert trio.current_time() - start < 2


async def test_the_end_of_the_service_removes_a_group_that_is_busy_for_a_while(
    root: Path, tmp_path: Path, autojump_clock: MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        async with service(tmp_path):
            (root / "one").mkdir()
            (root / "one" / "busy").touch()
            nursery.start_soon(release_after, 1.5, root / "one")
        assert names(root.parent) == []


async def test_what_the_engine_makes_again_is_below_the_limits_of_all_builds_also_after_the_service(
    tmp_path: Path,
) -> None:
    pids = read_own_groups().controllers.get("pids")
    if os.geteuid() != 0 or pids is None:
        pytest.skip("root and control groups of version 1 are needed")
    # A name for an engine, below which it makes what is missing.
    for given_up in (True, False):
        async with open_engine_groups(tmp_path, None, LIMITS) as groups:
            if groups is None:
                pytest.skip("the machine's control groups cannot be written")
            with suppress(TimeoutError):
                async with groups.open("one", memory_bytes=32 << 20, cpu_cores=1.0, processes=20) as (_, path):
                    all_builds = Path(pids.mount, path[1:]).parent
                    assert (all_builds / "one/pids.max").read_text() == "20\n"
                    if given_up:
                        raise TimeoutError
        assert (all_builds / "one").exists() is False
        assert all_builds.exists() is given_up
        if given_up:
            (all_builds / "one").mkdir()
            assert (all_builds / "pids.max").read_text() == "50\n"
