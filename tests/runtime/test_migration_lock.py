"""Entering a control group without a wait: what the service does meanwhile changes nothing, and has an end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import trio
from cgroups_support import open_tree, own_groups
from limit_kit import no_descriptor_free

from preview.core.isolation import Isolation
from preview.runtime import child_subreaper, open_ladder
from preview.runtime.cgroups import MigrationLockWarmer, files, migration_lock, open_lock_warmer
from preview.settings import Settings


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What has been written where; it is really written."""
    found: list[tuple[str, str]] = []
    write = files.write

    def note(path: str, text: str) -> None:
        found.append((path, text))
        write(path, text)

    monkeypatch.setattr(files, "write", note)
    return found


async def until(true: Callable[[], bool]) -> None:
    with trio.fail_after(60):
        while not true():  # noqa: ASYNC110  a thread does it
            await trio.sleep(0.005)


async def test_the_service_stays_in_the_groups_that_it_is_in(tmp_path: Path, written: list[tuple[str, str]]) -> None:
    before = own_groups()
    async with open_tree(tmp_path), open_lock_warmer() as one:
        written.clear()
        one.request()
        await until(lambda: len(written) > 2)
        assert set(written) == {(migration_lock._own_entry(), "0")}
        assert own_groups() == before


async def test_while_nobody_is_expected_nothing_is_done(written: list[tuple[str, str]]) -> None:
    async with open_lock_warmer():
        await trio.testing.wait_all_tasks_blocked()
    assert written == []


def test_whoever_is_expected_and_does_not_come_is_not_waited_for(
    written: list[tuple[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # An ordinary user may not write to the group that it is in.
    (tmp_path / "cgroup.procs").touch()
    monkeypatch.setattr(migration_lock, "_own_entry", lambda: str(tmp_path / "cgroup.procs"))
    monkeypatch.setattr(migration_lock, "_OPEN_S", 0.02)
    one = MigrationLockWarmer()
    one.request()
    one._keep_warm()
    assert written
    written.clear()
    one._keep_warm()
    assert written == []


async def test_leaving_does_not_wait_for_those_who_were_expected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration_lock, "_OPEN_S", 3600.0)
    with trio.fail_after(60):
        async with open_lock_warmer() as one:
            one.request()
            await trio.testing.wait_all_tasks_blocked()


async def test_where_it_cannot_be_held_open_the_next_is_expected_all_the_same(
    tmp_path: Path, written: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migration_lock, "_own_entry", lambda: str(tmp_path / "removed" / "cgroup.procs"))
    async with open_lock_warmer() as one:
        one.request()
        await until(lambda: len(written) == 1)
        (tmp_path / "removed").mkdir()
        (tmp_path / "removed" / "cgroup.procs").touch()
        one.request()
        await until(lambda: len(written) > 1)


async def test_without_a_descriptor_nobody_is_held_open_for_and_the_next_is(
    tmp_path: Path, written: list[tuple[str, str]]
) -> None:
    async with open_tree(tmp_path), open_lock_warmer() as one:
        written.clear()
        with no_descriptor_free():
            one.request()
            await trio.testing.wait_all_tasks_blocked(0.05)
        assert written == []
        one.request()
        await until(lambda: len(written) > 1)


async def test_a_ladder_with_control_groups_has_a_door_to_them(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, cache_dir=tmp_path)
    with child_subreaper():
        async with open_ladder(settings) as ladder:
            assert (ladder.migration_lock is None) == (ladder.groups is None)
        async with open_ladder(settings.model_copy(update={"isolation": Isolation.PLAIN})) as ladder:
            assert ladder.migration_lock is None
