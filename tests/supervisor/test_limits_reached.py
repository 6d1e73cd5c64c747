"""Real bombs with small limits: what is reached ends the preview or holds it, and is told once and in words.

Under control groups, where this machine gives any, and under the watching that stands in for them.
"""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import cast

import pytest
import trio
import trio.testing
from supervisor_kit import ANN, BOB, EATS_MEMORY, FLOODS, SERVER, Rig, open_rig

from preview.core.lifecycle import State
from preview.errors import DiskFull, LaunchFailed, NoPortFree, PreviewError, TooManyLaunches
from preview.runtime import Excess
from preview.runtime.cgroups import NoCgroups, open_cgroups
from preview.settings import Settings
from preview.supervisor import LivePreview
from preview.supervisor.limits.limits import Excesses
from preview.supervisor.manager.registry import LaunchRate

MakeSettings = Callable[..., Settings]


def full(_settings: Settings) -> None:
    raise DiskFull("The disk is full.")


def in_child(code: str) -> str:
    """A server whose child does this."""
    return SERVER.replace("print('up', flush=True)", f"if os.fork() == 0:\n{code}\nprint('up', flush=True)")


CHILD_EATS_MEMORY = in_child("    held = []\n    while True: held.append(bytearray(b'x') * 1_000_000)")
CANNOT_EVEN_START = "held = []\nwhile True: held.append(bytearray(b'x') * 1_000_000)"
FORKS = SERVER.replace(
    "print('up', flush=True)",
    """
for _ in range(40):
    try:
        if os.fork() == 0: time.sleep(600)
    except BlockingIOError:
        break
""",
)
BUSY = in_child("    while True: pass")
FILLS_DISK = in_child(
    "    for number in range(10_000):\n"
    "        with open(f'file{number}', 'wb') as file: file.write(b'x' * 100_000)\n"
    "        time.sleep(0.001)"
)
FILLS_DISK_UNSEEN = in_child(
    "    file = open('file', 'wb')\n    os.unlink('file')\n"
    "    for _ in range(10_000):\n        file.write(b'x' * 100_000)\n        time.sleep(0.001)"
)
MAKES_EMPTY_FILES = in_child("    for number in range(100_000): open(f'file{number}', 'wb').close()")


@asynccontextmanager
async def open_held(make_settings: MakeSettings, **limits: object) -> AsyncIterator[Rig]:
    """A rig whose previews are in control groups."""
    settings = make_settings(usage_interval_s=0.1, **limits)
    async with open_cgroups(settings.data_dir) as groups:
        if isinstance(groups, NoCgroups):
            pytest.skip(f"no control groups here: {groups.reason}")
        async with open_rig(settings, groups) as rig:
            yield rig


def story(preview: LivePreview) -> list[str]:
    return preview.last_lines(1000)


def reached(preview: LivePreview) -> list[tuple[str, str]]:
    assert preview.confinement is not None
    return [(one.limit, one.message) for one in preview.confinement.reached]


async def ends(rig: Rig, behave: str, limit: str, sentence: str) -> LivePreview:
    """It ends for this limit alone: in its reason, its status and, once, in its log."""
    rig.source.add("g1", behave)
    preview = rig.preview(await rig.launch("g1"))
    with trio.fail_after(60):
        await preview.over.wait()
    assert (preview.record.state, preview.record.reason) == (State.FAILED, sentence)
    assert reached(preview) == [(limit, sentence)]
    said = [line for line in story(preview) if "used more than" in line]
    assert said == [sentence, f"failed: {sentence.removeprefix('stopped: ')}"]
    assert rig.service.previews.confinement(preview.id) is preview.confinement
    return preview


async def is_told(preview: LivePreview, start: str) -> None:
    """Its log has one line that begins so; it runs on."""
    with trio.fail_after(60), preview.log.subscribe() as events:
        while not any(line.startswith(start) for line in story(preview)):
            await events.receive()
    assert preview.record.state is State.RUNNING


MEMORY = "stopped: used more than 32 MB of memory: raise PREVIEW_MEMORY_LIMIT_MB, or reduce its memory use"
DISK = "stopped: used more than 16 MB of disk"


@pytest.mark.parametrize("behave", [EATS_MEMORY, CHILD_EATS_MEMORY, CANNOT_EVEN_START], ids=["app", "child", "start"])
async def test_a_memory_bomb_in_a_control_group_ends_the_preview(make_settings: MakeSettings, behave: str) -> None:
    async with open_held(make_settings, memory_limit_mb=32) as rig:
        await ends(rig, behave, "memory", MEMORY)


@pytest.mark.parametrize("behave", [EATS_MEMORY, CHILD_EATS_MEMORY], ids=["app", "child"])
async def test_a_memory_bomb_without_control_groups_ends_the_preview(make_settings: MakeSettings, behave: str) -> None:
    # Long before the second measurement is due.
    async with open_rig(make_settings(memory_limit_mb=32, usage_interval_s=600)) as rig:
        await ends(rig, behave, "memory", MEMORY)


async def test_a_limit_too_small_for_any_start_is_told_as_that(make_settings: MakeSettings) -> None:
    async with open_held(make_settings, memory_limit_mb=1) as rig:
        await ends(
            rig,
            SERVER,
            "memory",
            "stopped: used more than 1 MB of memory: raise PREVIEW_MEMORY_LIMIT_MB, or reduce its memory use",
        )


async def test_refused_processes_are_told_once_and_the_preview_runs_on(make_settings: MakeSettings) -> None:
    async with open_held(make_settings, max_processes=12) as rig:
        preview = await rig.running(FORKS)
        await is_told(preview, "limited to 12 processes: ")
        assert reached(preview) == [
            ("processes", "limited to 12 processes: further ones were refused"),
        ]


async def test_processor_time_that_it_goes_on_wanting_is_told_once(make_settings: MakeSettings) -> None:
    async with open_held(make_settings, cpu_limit=0.2) as rig:
        preview = await rig.running(BUSY)
        if preview.confinement is None or preview.confinement.cpu_cores is None:
            pytest.skip("processor time is not limited here")
        await is_told(preview, "limited to 0.2 cores: slowed down")
        assert [limit for limit, _ in reached(preview)] == ["cpu"]


@pytest.mark.parametrize("behave", [FILLS_DISK, FILLS_DISK_UNSEEN, MAKES_EMPTY_FILES], ids=["files", "unseen", "empty"])
async def test_a_disk_bomb_ends_the_preview(make_settings: MakeSettings, behave: str) -> None:
    async with open_rig(make_settings(disk_limit_mb=16, disk_interval_s=0.05, usage_interval_s=0.1)) as rig:
        await ends(rig, behave, "disk", DISK)


async def test_a_flood_is_read_at_the_rate_and_told_once(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(output_bytes_per_s=50_000)) as rig:
        preview = await rig.running(FLOODS)
        await is_told(preview, "limited to 0.0477 MB of output per second: ")
        before, at = preview.log.last_seq, trio.current_time()
        await trio.sleep(1)
        # Lines of 100 bytes.
        assert (preview.log.last_seq - before) * 100 <= 50_000 * (trio.current_time() - at + 1)
        await rig.service.previews.stop("g1")
        assert [limit for limit, _ in reached(preview)] == ["output"]


async def test_what_holds_a_preview_is_the_logs_first_line(make_settings: MakeSettings) -> None:
    async with open_held(make_settings, max_processes=64) as rig:
        preview = await rig.running()
        said = story(preview)[0]
        assert said.startswith("isolation: plain (not sandboxed), network host; up to 1024 MB of memory, ")
        assert said.endswith(", 64 processes, 1024 MB of disk")


async def test_launching_too_often_is_refused_until_the_minute_is_over(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(launches_per_minute=2, max_instances_per_user=5)) as rig:
        for generation_id in ("a", "b", "c"):
            rig.source.add(generation_id)
        await rig.launch("a")
        await rig.launch("b")
        with pytest.raises(TooManyLaunches, match=r"launched 2 times within a minute, .* try again in [56]\d s"):
            await rig.launch("c")
        rig.source.add("d", owner=BOB)
        await rig.launch("d", BOB)


async def test_what_found_no_port_does_not_count_as_a_launch(make_settings: MakeSettings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with open_rig(make_settings(launches_per_minute=1, port_min=port, port_max=port)) as rig:
            rig.source.add("a")
            with pytest.raises(NoPortFree):
                await rig.launch("a")
            taken.close()
            await rig.launch("a")


@pytest.mark.parametrize(("change", "refusal"), [({"launches_per_minute": 1}, TooManyLaunches), ({}, DiskFull)])
async def test_a_restart_that_is_refused_stops_nothing(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, change: dict[str, int], refusal: type[PreviewError]
) -> None:
    async with open_rig(make_settings(**change)) as rig:
        preview = await rig.running()
        if refusal is DiskFull:
            monkeypatch.setattr("preview.supervisor.manager.manager.check_free_disk", full)
        with pytest.raises(refusal):
            await rig.service.previews.restart(ANN, "g1")
        assert preview.record.state is State.RUNNING


async def test_a_launch_counts_for_a_minute_and_nobody_is_kept_for_longer(
    autojump_clock: trio.testing.MockClock,
) -> None:
    del autojump_clock
    rate = LaunchRate(1)
    rate.take(ANN.id)
    await trio.sleep(59)
    with pytest.raises(TooManyLaunches) as refused:
        rate.take(ANN.id)
    assert refused.value.details == {"limit": 1, "retry_after_s": 1}
    await trio.sleep(1)
    rate.take(ANN.id)
    await trio.sleep(60)
    rate.take(BOB.id)
    assert list(rate._started) == [BOB.id]


async def test_a_full_disk_of_the_machine_refuses_launches(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(min_free_disk_bytes=2**62)) as rig:
        rig.source.add("g1")
        with pytest.raises(DiskFull):
            await rig.launch("g1")
        assert rig.service.previews.all_active == {}


class Counted:
    """Counts as the test says."""

    def __init__(self) -> None:
        self.now = Excess()

    def excess(self) -> Excess:
        return self.now


@pytest.mark.parametrize(
    ("state", "throttled", "told"),
    [
        (State.STARTING, [5.0, 5.0, 5.0, 5.0], 0),
        (State.RUNNING, [0.0, 5.0, 0.0, 5.0, 0.0], 0),
        (State.RUNNING, [9.0, 3.9, 3.9, 3.9], 0),
        (State.RUNNING, [9.0, 4.1, 4.1], 1),
        (State.RUNNING, [9.0, 9.0, 9.0, 9.0, 9.0], 1),
    ],
    ids=["start-up", "moments", "little", "lasting", "once"],
)
async def test_only_processor_time_that_is_missing_for_long_is_news(
    state: State, throttled: list[float], told: int, autojump_clock: trio.testing.MockClock
) -> None:
    del autojump_clock
    said: list[str] = []
    stand_in = SimpleNamespace(
        outcome=None,
        confinement=SimpleNamespace(reached=[], has_reached=lambda _limit: bool(said)),
        record=SimpleNamespace(state=state),
        log=SimpleNamespace(say=lambda line, _level: said.append(line)),
    )
    counted = Counted()
    excesses = Excesses(cast("LivePreview", stand_in), counted, cast("Settings", SimpleNamespace(cpu_limit=1.0)))
    for more_s in throttled:
        counted.now = Excess(throttled_s=counted.now.throttled_s + more_s)
        excesses.look()
        await trio.sleep(10)
    assert len(said) == told


async def test_the_failure_names_the_limit_for_machines(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(memory_limit_mb=32, usage_interval_s=0.05)) as rig:
        preview = await ends(rig, EATS_MEMORY, "memory", MEMORY)
        assert isinstance(preview.cause, LaunchFailed)
        assert preview.cause.details.items() >= {
            "reason": "limit_reached", "limit": "memory", "limit_bytes": 32 * 2**20,
        }.items()  # fmt: skip
