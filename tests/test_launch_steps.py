"""The steps of a launch: how they change, how long they take, and what a row keeps of them."""

from __future__ import annotations

from contextlib import suppress

import trio
from trio.testing import MockClock

from preview.core.launch_steps import (
    MAX_NAME_CHARACTERS,
    FirstAnswer,
    LaunchStep,
    StepState,
    end_steps,
    load_steps,
    planned_name,
    store_steps,
    waiting_steps,
)
from preview.supervisor.preview.launch_progress import LaunchProgress


def test_what_ran_when_the_service_was_killed_has_failed() -> None:
    steps = (LaunchStep("files", StepState.DONE, 5, 3), LaunchStep("environment", StepState.RUNNING, 8))
    ended = end_steps(steps, StepState.FAILED, None, "failed: the service ended")
    assert ended[0] == steps[0]
    assert ended[1] == LaunchStep("environment", StepState.FAILED, 8, None, "failed: the service ended")


def test_a_row_keeps_them() -> None:
    answered = LaunchStep("answers", StepState.DONE, 5, 3, "GET / -> 200", answer=FirstAnswer("/", 200))
    steps = (*waiting_steps()[:3], answered)
    assert load_steps(store_steps(steps)) == steps
    assert load_steps(None) == ()
    assert store_steps(()) is None


async def test_time_is_counted_from_the_start_of_each(autojump_clock: MockClock) -> None:
    told: list[tuple[LaunchStep, ...]] = []
    progress = LaunchProgress(told.append)
    progress.start("files")
    await trio.sleep(1.5)
    progress.finish("files")
    progress.start("environment")
    await trio.sleep(0.25)
    progress.fail("environment", "no such package")
    assert [one.elapsed_ms for one in progress.steps] == [1500, 250, None, None]
    assert len(told) == 4


async def test_what_a_project_names_is_bounded() -> None:
    progress = LaunchProgress(lambda _: None)
    progress.plan([f"step {number}" for number in range(10_000)])
    assert len(progress.steps) == 24
    progress.plan(["step 1", "files", "step 1"])
    # A reload may have other steps, and so on for ever.
    progress.plan(["another"])
    assert len(progress.steps) == 24
    progress.start("step 9999")
    progress.start("step 1")
    progress.fail("step 1", "\udcff" + "x" * 10_000)
    failed = next(one for one in progress.steps if one.name == "step 1")
    assert failed.detail is not None
    assert (len(failed.detail), failed.detail[0]) == (300, "?")
    assert load_steps(store_steps(progress.steps)) == progress.steps


def test_a_step_of_the_plan_hides_none_that_each_launch_has() -> None:
    assert [planned_name(name) for name in ("migrations", "files", "answers")] == [
        "migrations",
        "step files",
        "step answers",
    ]


def test_a_name_is_one_that_a_row_can_hold() -> None:
    name = planned_name("\udcff" + "x" * 10_000)
    assert (len(name), name[0]) == (MAX_NAME_CHARACTERS, "?")


async def test_a_step_that_is_cancelled_does_not_run_on() -> None:
    progress = LaunchProgress(lambda _: None)
    progress.plan(["migrations", "build"])
    for name in ("migrations", "build"):
        progress.start(name)
    progress.finish("build")
    for name in ("migrations", "build", "unknown"):
        progress.leave(name)
    states = {one.name: one.state for one in progress.steps}
    assert (states["migrations"], states["build"]) == (StepState.STOPPED, StepState.DONE)


async def test_a_part_is_noted_as_the_last_attempt_has_done_it_and_is_no_step(autojump_clock: MockClock) -> None:
    told: list[tuple[LaunchStep, ...]] = []
    progress = LaunchProgress(told.append)
    with progress.part("claim"):
        await trio.sleep(1)
    with suppress(ValueError), progress.part("plan"):
        raise ValueError
    with progress.part("plan"):
        await trio.sleep(0.25)
    progress.again()
    found = [(one.name, one.state, one.elapsed_ms) for one in progress.parts]
    assert found == [("claim", StepState.DONE, 1000), ("plan", StepState.DONE, 250)]
    assert not {one.name for one in progress.steps} & {"claim", "plan"}
