"""The steps of a launch as facts: in the status, in the stream, in the row, and after the end."""

from __future__ import annotations

from itertools import pairwise

from supervisor_kit import ANN, EXITS_3, HEALTH_APP, NEVER_ANSWERS, Rig, read_to_end

from preview.core.launch_steps import FirstAnswer, LaunchStep, StepState
from preview.core.lifecycle import State, StopCause
from preview.logs import End, StatusChange

ORDER = {StepState.WAITING: 0, StepState.RUNNING: 1, StepState.DONE: 2, StepState.FAILED: 2, StepState.STOPPED: 2}


def states(steps: tuple[LaunchStep, ...]) -> dict[str, str]:
    return {one.name: one.state.value for one in steps}


async def test_each_step_is_told_as_it_happens_and_kept(rig: Rig) -> None:
    rig.source.add("g1", app=HEALTH_APP)
    preview = rig.preview(await rig.launch("g1"))
    seen: list[tuple[LaunchStep, ...]] = []
    with preview.log.subscribe() as subscription:
        while not seen or preview.record.state is not State.RUNNING or seen[-1] != preview.record.steps:
            seen += [one.steps for one in await subscription.receive() if isinstance(one, StatusChange)]
    for before, after in pairwise(seen):
        assert all(ORDER[one.state] <= ORDER[other.state] for one, other in zip(before, after, strict=True))
    files, environment, process, answers = seen[-1]
    assert states(seen[-1]) == dict.fromkeys(("files", "environment", "process", "answers"), "done")
    assert answers.answer == FirstAnswer("/health", 200)
    assert environment.reused is (not (environment.detail or "").startswith("built"))
    assert process.detail == f"port {preview.record.port}"
    assert all(one.elapsed_ms is not None and one.started_at_ms is not None for one in seen[-1])
    assert files.started_at_ms is not None
    stopped = await rig.service.previews.stop("g1")
    kept = await rig.service.previews.get(stopped.id)
    assert kept.steps == seen[-1]


async def test_the_end_says_which_step_failed_and_why(rig: Rig) -> None:
    rig.source.add("g1", EXITS_3)
    preview = rig.preview(await rig.launch("g1"))
    _, events = await read_to_end(preview)
    end = events[-1]
    assert isinstance(end, End)
    assert states(end.steps) == {"files": "done", "environment": "done", "process": "done", "answers": "failed"}
    assert end.steps[-1].detail == end.reason
    assert end.cause is None
    await preview.over.wait()
    assert (await rig.service.previews.get(preview.id)).steps == end.steps


async def test_a_launch_that_is_stopped_has_a_step_that_was_stopped(rig: Rig) -> None:
    rig.source.add("g1", NEVER_ANSWERS)
    preview = rig.preview(await rig.launch("g1"))
    with preview.log.subscribe() as subscription:
        while states(preview.record.steps)["answers"] != "running":
            await subscription.receive()
    await rig.service.previews.stop("g1")
    _, events = await read_to_end(preview)
    end = events[-1]
    assert isinstance(end, End)
    assert states(end.steps)["answers"] == "stopped"
    assert end.cause == StopCause.USER.value


async def test_a_restart_is_counted(rig: Rig) -> None:
    preview = await rig.running()
    assert preview.restarts == 0
    await rig.service.previews.restart(ANN, "g1")
    with preview.log.subscribe() as subscription:
        while preview.restarts == 0:
            await subscription.receive()
    assert preview.log.status is not None
    assert preview.log.status.restarts == 1
