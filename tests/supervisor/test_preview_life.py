"""From launch to the end, in every manner, on real processes."""

from __future__ import annotations

import gc
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from supervisor_kit import (
    ANN,
    APP,
    BOB,
    CRASHES_WHEN_ASKED,
    EATS_MEMORY,
    EXITS_3,
    HEALTH_APP,
    IGNORES_TERM,
    NEVER_ANSWERS,
    SERVER,
    SICK_WHEN_TOLD,
    SPEAKS_OTHERWISE,
    Rig,
    ask,
    open_rig,
    read_to_end,
)

from preview.core.lifecycle import Departure, Health, State, StopCause
from preview.errors import (
    AlreadyRunning,
    DatabaseUnavailable,
    Forbidden,
    GenerationNotFound,
    InvalidGeneration,
    InvalidRequest,
    LaunchFailed,
    LimitReached,
    NoActivePreview,
    NoPortFree,
    PreviewNotFound,
    ProjectMismatch,
    ServiceStopping,
    StartupTimeout,
)
from preview.logs import End, StatusChange
from preview.runtime import Exit
from preview.settings import Settings
from preview.sources import Sources
from preview.supervisor import LaunchRequest, User, clean_once
from preview.supervisor.launch.start_queue import SupervisorContext
from preview.supervisor.life import run

MakeSettings = Callable[..., Settings]


def can_bind(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


# Launch


async def test_a_launch_answers_while_the_preview_is_still_starting(rig: Rig) -> None:
    rig.source.add("g1", NEVER_ANSWERS)
    launched = await rig.launch("g1")
    assert launched.record.state is State.STARTING
    assert launched.record.port is not None
    assert launched.record.base_url == f"http://localhost:{launched.record.port}"
    assert rig.service.previews.active("g1") is rig.preview(launched)


async def test_the_first_answer_makes_it_running_and_healthy(rig: Rig) -> None:
    preview = await rig.running()
    assert preview.record.state is State.RUNNING
    assert preview.record.health is Health.HEALTHY
    assert preview.record.started_at is not None
    assert preview.address == ("127.0.0.1", preview.record.port)
    assert (await ask(preview, "/hello")).endswith(b"/hello")


async def test_whoever_watches_from_the_launch_on_is_told_every_state(rig: Rig) -> None:
    rig.source.add("g1")
    preview = rig.preview(await rig.launch("g1"))
    states: list[str] = []
    with preview.log.subscribe() as subscription:
        while "running" not in states:
            received = await subscription.receive()
            states.extend(event.state for event in received if isinstance(event, StatusChange))
    assert list(dict.fromkeys(states)) == ["starting", "running"]


async def test_a_launch_waits_for_a_preview_of_the_generation_that_ends(rig: Rig) -> None:
    first = await rig.running(IGNORES_TERM)
    first.request_stop(StopCause.USER)
    with trio.fail_after(60):
        second = await rig.launch("g1")
    assert first.over.is_set()
    assert second.record.id != first.id


async def test_the_row_says_running_too(rig: Rig) -> None:
    preview = await rig.running()
    await rig.service.previews.wait_ready(preview.id, 5)
    await preview_row_is(rig, preview.id, State.RUNNING)


async def preview_row_is(rig: Rig, preview_id: str, state: State) -> None:
    store = rig.service.previews._context.store
    while True:
        record = await store.get(preview_id)
        assert record is not None
        if record.state is state:
            return
        await trio.lowlevel.checkpoint()


async def test_the_log_tells_the_story_of_the_launch(rig: Rig) -> None:
    preview = await rig.running(app=HEALTH_APP)
    await rig.service.previews.stop("g1")
    lines, _ = await read_to_end(preview)
    story = [line.message for line in lines]
    expected = [
        "isolation: plain (not sandboxed), network host; up to 1024 MB of memory, ",
        "files ready in",
        'FastAPI app "app" found in main.py',
        "environment ready in",
        f"process {preview.record.pid} started, port {preview.record.port}",
        "up",
        "ready in",
        "stopped on request",
        "stopped after",
    ]
    # Between them the installer speaks, where the environment is not in the cache yet.
    told = [next((want for want in expected if said.startswith(want)), None) for said in story]
    assert [want for want in told if want is not None] == expected
    assert "GET /health -> 200" in story[-3]


async def test_the_child_gets_the_contracts_environment_and_nothing_else(rig: Rig) -> None:
    await rig.running()
    (spec,) = rig.runtime.specs
    assert set(spec.environment) == {
        "PATH", "VIRTUAL_ENV", "HOME", "TMPDIR", "LANG", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE",
        "PORT", "LOG_LEVEL", "NODE_ENV", "DATABASE_URL", "PYTHONPATH",
    }  # fmt: skip
    assert spec.environment["PYTHONUNBUFFERED"] == "1"
    assert spec.environment["LOG_LEVEL"] == "ERROR"
    assert spec.environment["DATABASE_URL"].startswith("sqlite:///")


async def test_files_that_cannot_be_run_leave_no_preview(rig: Rig) -> None:
    rig.source.add("g1", **{"main.py": "<missing>", "behave.py": "<missing>"})  # type: ignore[arg-type]  # texts only
    rig.source.projects["g1"] = rig.source.projects["g1"][0], {"readme.md": "no app here"}
    with pytest.raises(InvalidGeneration, match="Cannot launch: Missing required files") as caught:
        await rig.launch("g1")
    assert caught.value.details["missing_files"]
    assert rig.service.previews.active("g1") is None
    with pytest.raises(NoActivePreview):
        await rig.service.previews.latest("g1")


async def test_a_mistake_in_the_apps_file_is_named_instead_of_a_missing_file(rig: Rig) -> None:
    rig.source.add("g1")
    broken = "from fastapi import FastAPI\napp = FastAPI(\n"
    rig.source.projects["g1"] = rig.source.projects["g1"][0], {"main.py": broken}
    with pytest.raises(InvalidGeneration, match=r"Cannot launch: main\.py cannot be read \(line 2: ") as caught:
        await rig.launch("g1")
    assert list(caught.value.details["unreadable_files"]) == ["main.py"]  # type: ignore[call-overload]  # a dict


async def test_only_the_owner_launches(rig: Rig) -> None:
    rig.source.add("g1", owner=BOB)
    with pytest.raises(Forbidden):
        await rig.launch("g1", ANN)


async def test_an_unknown_generation_is_said(rig: Rig) -> None:
    with pytest.raises(GenerationNotFound):
        await rig.launch("nothing")


async def test_the_project_must_be_the_generations(rig: Rig) -> None:
    rig.source.add("g1")
    with pytest.raises(ProjectMismatch):
        await rig.service.previews.launch(LaunchRequest(ANN, "g1", project_id="another"))


async def test_two_launches_at_the_same_moment_make_one_preview(rig: Rig) -> None:
    rig.source.add("g1")
    refused: list[AlreadyRunning] = []
    made: list[str] = []

    async def launch() -> None:
        try:
            made.append((await rig.launch("g1")).record.id)
        except AlreadyRunning as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(launch)
    assert len(made) == 1
    assert [error.details["preview_id"] for error in refused] == made * 4


async def test_the_tier_limits_and_the_refusal_says_who_holds(rig: Rig) -> None:
    rig.source.add("g1", NEVER_ANSWERS, owner=BOB)
    rig.source.add("g2", NEVER_ANSWERS, owner=BOB)
    held = await rig.launch("g1", BOB)
    with pytest.raises(LimitReached) as caught:
        await rig.launch("g2", BOB)
    assert caught.value.details["previews"] == [{"preview_id": held.record.id, "generation_id": "g1"}]
    await rig.service.previews.stop("g1")
    await rig.launch("g2", BOB)


async def test_the_users_table_gives_a_tier_where_the_token_has_none(rig: Rig) -> None:
    carl = User("carl")
    await rig.service.users.ensure("carl", "pro")
    for name in ("g1", "g2", "g3", "g4"):
        rig.source.add(name, NEVER_ANSWERS, owner=carl)
    for name in ("g1", "g2", "g3"):
        await rig.launch(name, carl)
    with pytest.raises(LimitReached, match="pro tier allows 3"):
        await rig.launch("g4", carl)


async def test_a_full_service_says_so(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(max_previews=1)) as rig:
        rig.source.add("g1", NEVER_ANSWERS)
        rig.source.add("g2", NEVER_ANSWERS)
        await rig.launch("g1")
        with pytest.raises(LimitReached, match="PREVIEW_MAX_PREVIEWS"):
            await rig.launch("g2")


async def test_no_port_is_said_and_nothing_is_claimed(make_settings: MakeSettings) -> None:
    settings = make_settings()
    async with open_rig(make_settings(port_min=settings.port_min, port_max=settings.port_min)) as rig:
        rig.source.add("g1", NEVER_ANSWERS)
        rig.source.add("g2", NEVER_ANSWERS)
        await rig.launch("g1")
        with pytest.raises(NoPortFree):
            await rig.launch("g2")
        assert rig.service.previews.active("g2") is None


async def test_a_caller_that_goes_away_does_not_take_the_launch_with_it(rig: Rig) -> None:
    rig.source.add("g1")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.launch, "g1")
        while rig.service.previews.active("g1") is None:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()
    preview = rig.service.previews.require("g1")
    await preview.settled.wait()
    assert preview.record.state is State.RUNNING


# Failures


async def test_an_exit_before_the_first_answer_is_a_failure_with_code_and_last_lines(rig: Rig) -> None:
    rig.source.add("g1", EXITS_3)
    launched = await rig.launch("g1")
    with pytest.raises(LaunchFailed, match="exit code 3 before it answered") as caught:
        await rig.service.previews.wait_ready(launched.record.id, 30)
    assert caught.value.details["exit_code"] == 3
    assert "ImportError: no module" in str(caught.value.details["last_lines"])


async def test_the_sentence_has_the_words_of_a_validator(rig: Rig) -> None:
    head = "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings"
    said = f"{head}\nSECRET_KEY\n  Value error, must be changed in production [type=value_error, input_value='x']"
    preview = await rig.running(f"import sys; print({said!r}, flush=True); sys.exit(1)")
    await preview.over.wait()
    reason = str((await rig.service.previews.current("g1")).reason)
    assert reason.endswith("for Settings: SECRET_KEY: Value error, must be changed in production")


async def test_a_failed_preview_stays_visible_until_the_next_launch(rig: Rig) -> None:
    preview = await rig.running(EXITS_3)
    await preview.over.wait()
    record = await rig.service.previews.current("g1")
    assert (record.state, record.exit_code, record.health) == (State.FAILED, 3, Health.UNKNOWN)
    assert record.reason == "The process ended with exit code 3 before it answered: ImportError: no module"
    rig.source.add("g1")
    await rig.launch("g1")
    assert (await rig.service.previews.current("g1")).state is State.STARTING


async def test_a_crash_while_it_runs_is_told_with_its_signal(rig: Rig) -> None:
    preview = await rig.running(CRASHES_WHEN_ASKED)
    assert await ask(preview, "/crash") == b""
    await preview.over.wait()
    assert preview.record.state is State.FAILED
    assert preview.record.exit_signal == 9
    assert "signal SIGKILL after it had started" in str(preview.record.reason)


async def test_start_up_that_takes_too_long_is_a_failure(rig: Rig) -> None:
    rig.source.add("g1", NEVER_ANSWERS)
    # The service has just started: its worker server has that time too.
    launched = await rig.launch("g1", startup_timeout_s=5)
    with pytest.raises(StartupTimeout, match=r"within 5 s") as caught:
        await rig.service.previews.wait_ready(launched.record.id, 30)
    assert "thinking" in str(caught.value.details["last_lines"])
    assert (await rig.service.previews.current("g1")).state is State.FAILED


async def test_a_server_of_another_protocol_is_named_at_once(rig: Rig) -> None:
    rig.source.add("g1", SPEAKS_OTHERWISE)
    preview = rig.preview(await rig.launch("g1"))
    said: list[str] = []
    with trio.fail_after(30), preview.log.subscribe() as events:
        while not any("not in HTTP" in line for line in said):
            await events.receive()
            said = [line.message for line in preview.log.last_lines(50)]
    await rig.service.previews.stop("g1")
    assert len([line for line in said if "not in HTTP" in line]) == 1


async def test_waiting_shorter_than_the_start_up_leaves_it_starting(rig: Rig) -> None:
    rig.source.add("g1", NEVER_ANSWERS)
    launched = await rig.launch("g1")
    with pytest.raises(StartupTimeout, match="still starting"):
        await rig.service.previews.wait_ready(launched.record.id, 0.01)
    assert rig.preview(launched).record.state is State.STARTING


async def test_waiting_for_what_does_not_exist_is_said(rig: Rig) -> None:
    with pytest.raises(PreviewNotFound):
        await rig.service.previews.wait_ready("preview_nothing", 1)


async def test_more_memory_than_allowed_ends_it_and_says_so(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(memory_limit_mb=32, usage_interval_s=0.05)) as rig:
        preview = await rig.running(EATS_MEMORY)
        await preview.over.wait()
        assert preview.record.state is State.FAILED
        assert (
            preview.record.reason
            == "stopped: used more than 32 MB of memory: raise PREVIEW_MEMORY_LIMIT_MB, or reduce its memory use"
        )


async def test_an_environment_that_cannot_be_had_fails_the_preview(make_settings: MakeSettings, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with open_rig(make_settings(cache_dir=tmp_path / "file")) as rig:
        preview = await rig.running()
        with trio.fail_after(60):
            await preview.over.wait()
        assert preview.record.state is State.FAILED
        assert "The environment cache cannot be used" in str(preview.record.reason)
        assert preview.record.pid is None


async def test_one_previews_failure_is_not_anothers(rig: Rig) -> None:
    good = await rig.running(generation_id="good")
    bad = await rig.running(EXITS_3, generation_id="bad")
    await bad.over.wait()
    assert good.record.state is State.RUNNING
    assert (await ask(good)).startswith(b"HTTP/1.1 200")


async def test_a_mistake_of_the_service_is_contained_in_the_preview(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("preview.supervisor.process.server_process.server_argv", broken)
    preview = await rig.running()
    await preview.over.wait()
    assert preview.record.state is State.FAILED
    assert "ZeroDivisionError" in str(preview.record.reason)


# Health


async def test_health_follows_the_projects_own_route(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(liveness_interval_s=0.05)) as rig:
        preview = await rig.running(SICK_WHEN_TOLD, app=HEALTH_APP)
        assert preview.directory is not None
        with preview.log.subscribe(after=preview.log.last_seq) as events:
            sick = trio.Path(preview.directory / "sick")
            await sick.touch()
            await health_is(events, Health.UNHEALTHY)
            assert preview.record.state is State.RUNNING
            await sick.unlink()
            await health_is(events, Health.HEALTHY)
        assert preview.record.last_health_check is not None


async def health_is(events: object, health: Health) -> None:
    while True:
        for event in await events.receive():  # type: ignore[attr-defined]  # a Subscription
            if isinstance(event, StatusChange) and event.health == health:
                return


async def test_a_database_that_is_away_does_not_end_a_running_preview(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.source.add("g1", NEVER_ANSWERS)
    launched = await rig.launch("g1")
    preview = rig.preview(launched)

    async def away(_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise DatabaseUnavailable("The service's database did not answer.")

    with monkeypatch.context() as patch:
        patch.setattr(house_of(rig).store, "update", away)
        good = await rig.running(generation_id="g2")
        assert good.record.state is State.RUNNING
        preview.request_stop(StopCause.USER)
        await preview.over.wait()
        assert set(house_of(rig).pending) == {preview.id}
        assert (await rig.service.previews.latest("g1")).state is State.STOPPED
    await clean_once(rig.service.previews, house_of(rig))
    assert house_of(rig).pending == {}
    assert (await rig.service.previews.get(preview.id)).state is State.STOPPED


# Stop


async def test_stop_answers_when_processes_port_and_files_are_gone(rig: Rig) -> None:
    preview = await rig.running()
    root = Path(preview.record.directory or "")
    assert await trio.Path(root).is_dir()
    record = await rig.service.previews.stop("g1")
    assert record.state is State.STOPPED
    assert record.reason == "stopped on request"
    assert not await trio.Path(root).exists()
    assert list(rig.service.settings.resolved_db_path.iterdir()) == []
    assert can_bind(record.port or 0)
    assert rig.service.previews.active("g1") is None


async def test_a_stopped_preview_is_not_current_but_its_log_can_be_read(rig: Rig) -> None:
    preview = await rig.running()
    record = await rig.service.previews.stop("g1")
    with pytest.raises(NoActivePreview):
        await rig.service.previews.current("g1")
    assert (await rig.service.previews.latest("g1")).id == preview.id
    with rig.service.previews.open_log(record) as stored:
        events: list[Any] = []
        while not (events and isinstance(events[-1], End)):
            events.extend(await stored.receive())
    said = [line.message for batch in events[:-1] for line in batch.lines]
    assert said[-1].startswith("stopped after")
    assert len(said) == preview.log.last_seq


async def test_stop_twice_gives_the_same_answer(rig: Rig) -> None:
    await rig.running()
    records = []

    async def stop() -> None:
        records.append(await rig.service.previews.stop("g1"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(stop)
        nursery.start_soon(stop)
    assert records[0] == records[1]


async def test_stop_without_a_preview_is_said(rig: Rig) -> None:
    with pytest.raises(NoActivePreview):
        await rig.service.previews.stop("g1")


async def test_stop_while_starting_does_not_wait_for_the_start(rig: Rig) -> None:
    rig.source.add("g1", NEVER_ANSWERS)
    await rig.launch("g1")
    assert (await rig.service.previews.stop("g1")).state is State.STOPPED


async def test_stop_of_what_ignores_it_stays_within_the_grace(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(stop_grace_s=0.1)) as rig:
        await rig.running(IGNORES_TERM)
        record = await rig.service.previews.stop("g1")
        assert (record.state, record.exit_signal) == (State.STOPPED, 9)


async def test_what_another_node_has_gets_no_time_to_end(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(stop_grace_s=60, stop_budget_s=90, shutdown_timeout_s=120)) as rig:
        preview = await rig.running(IGNORES_TERM)
        preview.depart(Departure.NODE_LOST, ServiceStopping("lost"))
        with trio.fail_after(30):
            await preview.over.wait()
        assert preview.exit == Exit(signal=9)


async def test_the_row_says_stopping_while_it_stops(rig: Rig) -> None:
    preview = await rig.running(IGNORES_TERM)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.service.previews.stop, "g1")
        await preview_row_is(rig, preview.id, State.STOPPING)
        assert not preview.over.is_set()


async def test_a_stop_whose_caller_goes_away_is_carried_out(rig: Rig) -> None:
    preview = await rig.running()
    with trio.CancelScope() as scope:
        scope.cancel()
        await rig.service.previews.stop("g1")
    await preview.over.wait()
    assert preview.record.state is State.STOPPED


async def test_the_end_comes_after_the_last_line_and_the_process(rig: Rig) -> None:
    preview = await rig.running()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.service.previews.stop, "g1")
        lines, others = await read_to_end(preview)
    assert lines[-1].message.startswith("stopped after")
    end = others[-1]
    assert isinstance(end, End)
    assert (end.state, end.exit_signal) == ("stopped", 15)
    states = [event.state for event in others if isinstance(event, StatusChange)]
    assert states[-2:] == ["stopping", "stopped"]


async def test_a_whole_life_is_kept_on_either_database(make_settings: MakeSettings, database_url: str) -> None:
    async with open_rig(make_settings(database_url=database_url)) as rig:
        preview = await rig.running()
        await rig.service.previews.stop("g1")
        record = await rig.service.previews.get(preview.id)
        assert (record.state, record.exit_signal, record.port) == (State.STOPPED, 15, preview.record.port)
        lines = await rig.service.log_store.read(preview.id, after=0, limit=1000)
        assert [line.seq for line in lines] == list(range(1, preview.log.last_seq + 1))


# Deadlines


async def test_it_expires_and_is_gone(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(max_uptime_s=0.5, max_uptime_enterprise_s=0.5)) as rig:
        preview = await rig.running()
        await preview.over.wait()
        assert preview.record.state is State.STOPPED
        assert preview.record.reason == "stopped: time limit reached"
        with pytest.raises(NoActivePreview):
            await rig.service.previews.current("g1")


async def test_its_time_ends_a_launch_that_is_still_prepared(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    building = trio.Event()

    @asynccontextmanager
    async def build(*_: object, **__: object) -> AsyncIterator[None]:
        building.set()
        await trio.sleep_forever()
        yield

    monkeypatch.setattr(run, "open_environment", build)
    rig.source.add("g1", SERVER)
    preview = rig.preview(await rig.launch("g1"))
    await building.wait()
    preview.deadlines.extend_to(trio.current_time())
    await preview.over.wait()
    assert preview.record.reason == "stopped: time limit reached"


async def test_inactivity_ends_it(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(inactive_timeout_s=0.5)) as rig:
        preview = await rig.running()
        await preview.over.wait()
        assert preview.outcome is not None
        assert preview.outcome.cause is StopCause.INACTIVE


async def test_an_extension_moves_the_expiry_up_to_the_tiers_longest_life(rig: Rig) -> None:
    preview = await rig.running()
    before = preview.record.expires_at
    record = await rig.service.previews.extend("g1", 60)
    assert (record.expires_at - before).total_seconds() == 60
    longest = await rig.service.previews.extend("g1", 10**6)
    assert (longest.expires_at - longest.created_at).total_seconds() == 8 * 3600
    with pytest.raises(InvalidRequest, match="maximum lifetime"):
        await rig.service.previews.extend("g1", 1)


# Tokens


async def test_the_token_is_accepted_renewed_and_kept_only_as_a_hash(rig: Rig) -> None:
    rig.source.add("g1")
    launched = await rig.launch("g1")
    preview = rig.preview(launched)
    before = preview.record.token_expires_at
    assert preview.accept_token(launched.token)
    assert preview.record.token_expires_at >= before
    assert not preview.accept_token(launched.token + "x")
    assert not preview.accept_token("")
    assert launched.token not in str(preview.record)


async def test_a_token_that_was_not_used_in_time_is_refused(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(session_timeout_s=0.001)) as rig:
        rig.source.add("g1")
        launched = await rig.launch("g1")
        await trio.sleep(0.01)  # the wall clock has no event
        assert not rig.preview(launched).accept_token(launched.token)


# The service


async def test_a_restart_of_what_is_still_starting_makes_a_new_preview(rig: Rig) -> None:
    rig.source.add("g1", NEVER_ANSWERS)
    before = rig.preview(await rig.launch("g1"))
    launched = await rig.service.previews.restart(ANN, "g1")
    assert launched.record.id != before.id
    assert before.record.state is State.STOPPED


async def test_restart_launches_what_does_not_run(rig: Rig) -> None:
    rig.source.add("g1")
    assert (await rig.service.previews.restart(ANN, "g1")).record.state is State.STARTING


async def test_lists_show_the_live_state_newest_first(rig: Rig) -> None:
    await rig.running(generation_id="g1")
    second = await rig.running(generation_id="g2")
    records, following = await rig.service.previews.list_for_user("ann", limit=1)
    assert [record.id for record in records] == [second.id]
    assert records[0].state is State.RUNNING
    more, _ = await rig.service.previews.list_for_user("ann", cursor=following)
    assert [record.generation_id for record in more] == ["g1"]
    assert await rig.service.previews.list_for_user("bob") == ([], None)


async def test_a_preview_is_found_by_its_id_live_and_over(rig: Rig) -> None:
    preview = await rig.running()
    assert (await rig.service.previews.get(preview.id)).state is State.RUNNING
    await rig.service.previews.stop("g1")
    assert (await rig.service.previews.get(preview.id)).state is State.STOPPED
    with pytest.raises(PreviewNotFound):
        await rig.service.previews.get("preview_nothing")


async def test_a_service_that_ends_stops_every_preview(make_settings: MakeSettings) -> None:
    settings = make_settings()
    async with open_rig(settings) as rig:
        previews = [await rig.running(generation_id=f"g{number}") for number in range(3)]
    assert {preview.record.state for preview in previews} == {State.STOPPED}
    assert {preview.record.reason for preview in previews} == {"stopped: the service is shutting down"}
    assert list((settings.data_dir / "previews").iterdir()) == []


async def test_a_service_that_is_cancelled_tears_down_all_the_same(make_settings: MakeSettings) -> None:
    settings = make_settings()
    with trio.CancelScope() as scope:
        async with open_rig(settings) as rig:
            preview = await rig.running(IGNORES_TERM)
            scope.cancel()
            await trio.sleep_forever()
    assert preview.record.state is State.STOPPED
    assert list((settings.data_dir / "previews").iterdir()) == []
    async with open_rig(settings) as again:
        assert (await again.service.previews.get(preview.id)).state is State.STOPPED


async def test_a_draining_service_launches_nothing(rig: Rig) -> None:
    rig.source.add("g1")
    rig.service.draining.set()
    with pytest.raises(ServiceStopping):
        await rig.launch("g1")


async def test_cleanup_removes_folders_nobody_owns_and_spares_live_ones(rig: Rig) -> None:
    preview = await rig.running()
    stray = rig.service.settings.data_dir / "previews" / "preview_stray"
    (stray / "project").mkdir(parents=True)
    await clean_once(rig.service.previews, house_of(rig))
    assert not stray.exists()
    assert preview.directory is not None
    assert preview.directory.is_dir()


def house_of(rig: Rig) -> SupervisorContext:
    return rig.service.previews._context


async def test_an_end_the_database_did_not_take_is_stored_by_the_cleanup(rig: Rig) -> None:
    preview = await rig.running(app=APP, behave=SERVER)
    record = await rig.service.previews.stop("g1")
    context = house_of(rig)
    assert context.pending == {}
    context.pending[record.id] = record
    await clean_once(rig.service.previews, context)
    assert context.pending == {}
    assert preview.over.is_set()


async def test_while_a_preview_runs_nobody_holds_what_was_parsed_for_its_start(rig: Rig) -> None:
    before = parsed()
    await rig.running()
    assert [one for one in parsed() if not any(one is other for other in before)] == []


def parsed() -> list[Sources]:
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, Sources) and one._trees]
