"""Restarts after crashes: bounded for whatever a project does, in the same preview, and over with it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
from handover_kit import body_of, reload, says, speaking, story
from hypothesis import given
from hypothesis import strategies as st
from supervisor_kit import Rig, open_rig
from trio.testing import wait_all_tasks_blocked

from preview.core.lifecycle import Health, State
from preview.errors import DataUnavailable, LaunchFailed, PreviewError
from preview.settings import Settings
from preview.supervisor import LivePreview
from preview.supervisor.diagnosis import exits
from preview.supervisor.preview.control import DataChange
from preview.supervisor.preview.crashes import GaveUp, RestartBudget
from preview.supervisor.process import processes
from preview.supervisor.process.crash_restarts import CrashRestarts

MakeSettings = Callable[..., Settings]

_RESTART = {"preview.toml": '[start]\non_crash = "restart"\n'}
# It ends itself in different ways when it is asked to, and after each answer once a file is there.
_CRASHES = """
_answer = answer
held = []
def answer(connection):
    path = connection.recv(64, socket.MSG_PEEK).split(b' ')[1]
    if path == b'/exit0': os._exit(0)
    if path == b'/eat': held.append(os.urandom(1) * (60 * 2**20))
    _answer(connection)
    if os.path.exists('bad'): os._exit(7)
"""


async def crash(preview: LivePreview, path: str = "/crash") -> None:
    """Have the process end itself; the connection is cut off."""
    try:
        with trio.move_on_after(30):
            await body_of(preview, path)
    except (trio.BrokenResourceError, OSError):
        pass


def health_of(preview: LivePreview) -> Health:
    return preview.record.health


async def restarted(preview: LivePreview, times: int) -> None:
    """Wait until other processes have taken over so often."""
    while preview.restarts < times and preview.outcome is None:
        await preview.restarted.wait()


async def test_a_project_that_crashes_at_once_costs_bounded_work(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(crash_pause_s=0.01, crash_restarts=3)) as rig:
        preview = await rig.running(speaking("one", _CRASHES), **_RESTART)
        assert preview.directory is not None
        await trio.Path(preview.directory / "bad").touch()
        await body_of(preview)
        await preview.over.wait()
        assert preview.record.state is State.FAILED
        assert len(rig.runtime.specs) == 1 + 3
        assert preview.record.reason is not None
        assert preview.record.reason.endswith("It is not started again: it was started again 3 times in 10 minutes.")
        assert preview.record.exit_code == 7


async def test_a_restart_that_does_not_start_counts_as_a_crash(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(crash_pause_s=0.01, crash_restarts=2)) as rig:
        broken = "if os.path.exists('broken'): sys.exit(4)\n"
        preview = await rig.running(speaking("one", broken), **_RESTART)
        assert preview.directory is not None
        await trio.Path(preview.directory / "broken").touch()
        await crash(preview)
        await preview.over.wait()
        assert len(rig.runtime.specs) == 1 + 2
        assert "it was started again 2 times" in (preview.record.reason or "")


async def test_a_process_above_its_memory_is_started_again_once_in_a_row(make_settings: MakeSettings) -> None:
    settings = make_settings(memory_limit_mb=48, usage_interval_s=0.05, crash_pause_s=0.01, stop_grace_s=0.1)
    async with open_rig(settings) as rig:
        preview = await rig.running(speaking("one", _CRASHES), **_RESTART)
        await crash(preview, "/eat")
        await restarted(preview, 1)
        assert preview.record.state is State.RUNNING
        assert await body_of(preview) == "one"
        await crash(preview, "/eat")
        await preview.over.wait()
        assert (preview.record.reason or "").endswith("it ran out of memory twice in a row.")
        assert len(rig.runtime.specs) == 2


async def test_a_crashed_process_is_started_again_in_the_same_preview(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(crash_pause_s=0.01)) as rig:
        rig.source.add("g1", speaking("one", _CRASHES), **_RESTART)  # type: ignore[arg-type]  # texts only
        launched = await rig.launch("g1")
        preview = rig.preview(launched)
        await preview.settled.wait()
        before = preview.record
        await crash(preview)
        await restarted(preview, 1)
        after = preview.record
        assert (after.id, after.port, after.state) == (before.id, before.port, State.RUNNING)
        assert after.pid != before.pid
        assert after.health is Health.HEALTHY
        assert await body_of(preview) == "one"
        assert preview.accept_token(launched.token)
        assert preview.crash is not None
        assert (preview.crash.count, preview.crash.exit, preview.crash.is_restarting) == (1, "signal SIGKILL", False)
        assert await says(preview, "crashed: ") in story(preview)
        assert "It starts again in 0.01 s (restart 1 of at most 5 in 10 minutes)" in await says(preview, "crashed: ")
        records, _, _ = await rig.service.failures.records(preview.id)
        assert [(one.type, one.message, one.count) for one in records] == [
            ("Crash", "the process ended: signal SIGKILL", 1)
        ]
        # What ends without an error has not crashed.
        await crash(preview, "/exit0")
        await preview.over.wait()
        assert (preview.record.state, preview.record.exit_code) == (State.FAILED, 0)
        assert preview.restarts == 1


async def test_a_reload_takes_the_place_of_a_restart_that_waits(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(crash_pause_s=3600)) as rig:
        preview = await rig.running(speaking("one"), **_RESTART)
        await crash(preview)
        await says(preview, "crashed: ")
        assert health_of(preview) is Health.UNHEALTHY
        assert preview.crash is not None
        assert preview.crash.is_restarting
        await reload(rig, speaking("two"))
        assert await body_of(preview) == "two"
        assert health_of(preview) is Health.HEALTHY
        assert not preview.crash.is_restarting


@pytest.mark.parametrize("files", [_RESTART, {}], ids=["restart", "stay"])
async def test_a_reload_while_the_crash_is_explained_decides(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]
) -> None:
    go, real = trio.Event(), exits.explain_exit

    async def late(*given: Any, **named: Any) -> PreviewError:
        await go.wait()
        return await real(*given, **named)

    monkeypatch.setattr(processes, "explain_exit", late)
    async with open_rig(make_settings(crash_pause_s=3600)) as rig:
        preview = await rig.running(speaking("one"), **files)
        await crash(preview)
        await says(preview, "process ended")
        await reload(rig, speaking("two"))
        go.set()
        await wait_all_tasks_blocked()
        assert preview.outcome is None
        assert not preview.is_replaced
        assert await body_of(preview) == "two"


async def test_a_reload_that_fails_during_the_pause_is_no_crash(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(crash_pause_s=3600, crash_restarts=1)) as rig:
        preview = await rig.running(speaking("one"), **_RESTART)
        await crash(preview)
        await says(preview, "crashed: ")
        with pytest.raises(PreviewError, match="not valid TOML"):
            await reload(rig, speaking("two"), **{"preview.toml": "[start\n"})
        await wait_all_tasks_blocked()
        with pytest.raises(LaunchFailed, match="nothing_here"):
            await reload(rig, "import nothing_here\n", **_RESTART)
        await wait_all_tasks_blocked()
        assert preview.outcome is None
        assert preview.is_replaced
        assert preview.crash is not None
        assert (preview.crash.count, preview.crash.is_restarting) == (1, True)
        assert sum(line.startswith("reload failed: ") for line in story(preview)) == 2
        await reload(rig, speaking("two"))
        assert await body_of(preview) == "two"


@pytest.fixture
def pause_over(monkeypatch: pytest.MonkeyPatch) -> trio.Event:
    """Each pause is over once this event is set."""
    over, real = trio.Event(), CrashRestarts.request_after

    async def late(crashes: CrashRestarts, pause_s: float, moved: trio.Event) -> None:
        await over.wait()
        await real(crashes, 0.0, moved)

    monkeypatch.setattr(CrashRestarts, "request_after", late)
    return over


async def test_the_end_of_the_pause_does_not_interrupt_a_reload(
    make_settings: MakeSettings, pause_over: trio.Event
) -> None:
    async with open_rig(make_settings()) as rig:
        preview = await rig.running(speaking("one"), **_RESTART)
        assert preview.directory is not None
        await crash(preview)
        await says(preview, "crashed: ")
        async with trio.open_nursery() as nursery:
            slow = "while not os.path.exists('go'): time.sleep(0.01)\n"
            nursery.start_soon(reload, rig, speaking("two", slow))
            while len(rig.runtime.specs) < 2:
                await trio.lowlevel.checkpoint()
            pause_over.set()
            await wait_all_tasks_blocked()
            await trio.Path(preview.directory / "go").touch()
        assert await body_of(preview) == "two"
        assert len(rig.runtime.specs) == 2


def restore(apply: Callable[[], Awaitable[None]]) -> DataChange:
    """A replacement of data that does this, and undoes nothing."""

    async def applied(_data: object) -> None:
        await apply()

    async def undo(_data: object) -> None:
        await trio.lowlevel.checkpoint()

    return DataChange("restore", applied, undo, "none")


async def test_no_restart_follows_a_restore_that_outlasts_the_pause(
    make_settings: MakeSettings, pause_over: trio.Event
) -> None:
    async with open_rig(make_settings()) as rig:
        preview = await rig.running(speaking("one"), **_RESTART)
        started, go = trio.Event(), trio.Event()

        async def apply() -> None:
            started.set()
            await go.wait()

        await crash(preview)
        await says(preview, "crashed: ")
        change = preview.changes.put(None, restore(apply))
        await started.wait()
        pause_over.set()
        await wait_all_tasks_blocked()
        go.set()
        await change.settled.wait()
        await wait_all_tasks_blocked()
        assert change.error is None
        assert preview.changes.is_idle
        assert len(rig.runtime.specs) == 2


async def test_after_a_restore_that_fails_during_the_pause_a_process_serves(make_settings: MakeSettings) -> None:
    async def fail() -> None:
        raise DataUnavailable("The backup cannot be read.")

    async with open_rig(make_settings(crash_pause_s=3600)) as rig:
        preview = await rig.running(speaking("one"), **_RESTART)
        await crash(preview)
        await says(preview, "crashed: ")
        change = preview.changes.put(None, restore(fail))
        await change.settled.wait()
        assert change.error is not None
        assert await body_of(preview) == "one"
        assert preview.crash is not None
        assert not preview.crash.is_restarting
        assert health_of(preview) is Health.HEALTHY


async def test_the_memory_limit_holds_after_a_restart_for_memory(make_settings: MakeSettings) -> None:
    settings = make_settings(memory_limit_mb=48, usage_interval_s=0.05, crash_pause_s=0.01, stop_grace_s=0.1)
    async with open_rig(settings) as rig:
        preview = await rig.running(speaking("one", _CRASHES), **_RESTART)
        await crash(preview, "/eat")
        await restarted(preview, 1)
        await reload(rig, speaking("two", _CRASHES), **{"preview.toml": ""})
        await crash(preview, "/eat")
        with trio.fail_after(60):
            await preview.over.wait()
        assert "more than 48 MB of memory" in (preview.record.reason or "")


async def test_without_the_option_or_with_a_bound_of_none_the_preview_fails(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(crash_restarts=0)) as rig:
        preview = await rig.running(speaking("one"), **_RESTART)
        await crash(preview)
        await preview.over.wait()
        assert preview.record.state is State.FAILED
        assert "started again" not in (preview.record.reason or "")


@pytest.mark.parametrize("checkpoint", [0, 3, 9, 20, 45, 100, 200])
async def test_a_stop_at_any_moment_of_a_restart_leaves_nothing(make_settings: MakeSettings, checkpoint: int) -> None:
    settings = make_settings(crash_pause_s=0.001, stop_grace_s=0.1)
    async with open_rig(settings) as rig:
        preview = await rig.running(speaking("one"), **_RESTART)
        await crash(preview)
        for _ in range(checkpoint):
            await trio.lowlevel.checkpoint()
        await stop(rig)
        assert preview.over.is_set()
        assert preview.record.state is State.STOPPED
        assert rig.service.previews.all_active == {}
    assert list((settings.data_dir / "previews").iterdir()) == []


async def stop(rig: Rig) -> None:
    with trio.fail_after(60):
        await rig.service.previews.stop("g1")


@given(
    st.integers(0, 4),
    st.lists(st.tuples(st.floats(0, 300), st.booleans(), st.booleans()), max_size=60),
)
async def test_no_sequence_of_crashes_gets_more_restarts_than_the_bound(
    most: int, crashes: list[tuple[float, bool, bool]]
) -> None:
    budget, now, granted, in_row, was_memory = RestartBudget(most, 600.0, 1.0), 0.0, list[float](), 0, False
    for after_s, served, out_of_memory in crashes:
        now += after_s
        decision = budget.crashed(now, served=served, out_of_memory=out_of_memory)
        in_row = 0 if served else in_row
        if isinstance(decision, GaveUp):
            assert (decision is GaveUp.MEMORY) == (out_of_memory and was_memory)
        else:
            granted.append(now)
            in_row += 1
            assert 0 < decision <= 30.0
            assert not (out_of_memory and was_memory)
        assert len([at for at in granted if at > now - 600.0]) <= most
        assert in_row <= most
        was_memory = out_of_memory


async def test_pauses_grow() -> None:
    budget = RestartBudget(5, 600.0, 1.0)
    assert [budget.crashed(float(at), served=True, out_of_memory=False) for at in range(6)] == [
        1.0, 2.0, 4.0, 8.0, 16.0, GaveUp.OFTEN,
    ]  # fmt: skip
    assert budget.crashed(700.0, served=True, out_of_memory=False) == 1.0
