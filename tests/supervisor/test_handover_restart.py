"""A restart in place: the new process takes over the socket when it serves, and nothing is lost on the way."""

from __future__ import annotations

import gc
import os
import weakref
from collections.abc import Callable
from functools import partial

import pytest
import trio
from handover_kit import body_of, reload, says, speaking, story
from supervisor_kit import ANN, IGNORES_TERM, SERVER, Rig, ask, open_descriptors, open_rig

from preview.core.lifecycle import State
from preview.errors import InvalidGeneration, LaunchFailed, PreviewError, StartupTimeout
from preview.runtime.kernel import proctree
from preview.settings import Settings
from preview.supervisor import FilesChange, LivePreview
from preview.supervisor.process import process_replacement as handover

MakeSettings = Callable[..., Settings]

# A process of the tests' own waits for a file; it begins without one.
WAITS = "while not os.path.exists('go'): time.sleep(0.005)\n"


async def restart(rig: Rig) -> None:
    await rig.service.previews.restart(ANN, "g1")


def processes(preview: LivePreview) -> set[int]:
    found = proctree.descendants(os.getpid())
    return {pid for pid in found if (proctree.read_marker(pid) or "").partition("-")[0] == preview.id}


async def test_a_running_preview_is_restarted_in_place(rig: Rig) -> None:
    preview = await rig.running(speaking())
    before = preview.record
    launched = await rig.service.previews.restart(ANN, "g1")
    assert launched.record.id == before.id
    assert (launched.record.port, launched.record.directory) == (before.port, before.directory)
    assert launched.record.state is State.RUNNING
    assert launched.record.pid != before.pid
    assert await body_of(preview) == "one"
    await says(preview, "restarted in ")


async def test_tokens_from_before_a_restart_hold_and_the_new_one_too(rig: Rig) -> None:
    rig.source.add("g1", speaking())
    first = await rig.launch("g1")
    preview = rig.preview(first)
    await preview.settled.wait()
    second = await rig.service.previews.restart(ANN, "g1")
    assert preview.accept_token(first.token)
    assert preview.accept_token(second.token)


async def test_the_log_goes_on_and_tells_the_restart(rig: Rig) -> None:
    preview = await rig.running(speaking())
    first_pid, last_seq = preview.record.pid, preview.log.last_seq
    await restart(rig)
    await says(preview, "restarted in ")
    told = [line.message for line in preview.log.last_lines(100) if line.seq > last_seq]
    pid = preview.record.pid
    assert told[:2] == ["restart: requested", f"process {pid} started, port {preview.record.port}"]
    assert any(line.startswith("ready in ") and line.endswith(f"process {pid} takes over") for line in told)
    assert " (ready after " in told[-1]
    assert "; the old process drained in " in told[-1]
    assert first_pid not in processes(preview)


async def test_the_row_names_the_new_process(rig: Rig) -> None:
    preview = await rig.running(speaking())
    await restart(rig)
    await says(preview, "restarted in ")
    store = rig.service.previews._context.store
    with trio.fail_after(60):
        while (row := await store.get(preview.id)) is None or row.pid != preview.record.pid:
            await trio.lowlevel.checkpoint()


async def test_no_request_fails_over_some_restarts(rig: Rig) -> None:
    preview = await rig.running(speaking())
    failed: list[str] = []
    asked = 0

    async def ask_on() -> None:
        nonlocal asked
        while True:
            try:
                answer = await ask(preview)
            except OSError as error:
                failed.append(repr(error))
            else:
                asked += 1
                if not answer.endswith(b"one"):
                    failed.append(repr(answer))
            await trio.sleep(0.005)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_on)
        for _ in range(8):
            await restart(rig)
        nursery.cancel_scope.cancel()
    assert failed == []
    assert asked > 8


async def test_what_the_old_process_has_accepted_is_answered(rig: Rig) -> None:
    slow = "def slowly(connection, answer=answer):\n    time.sleep(0.3)\n    answer(connection)\nanswer = slowly\n"
    preview = await rig.running(speaking("slow", slow))
    answers: list[str] = []

    async def ask_it() -> None:
        answers.append(await body_of(preview))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(ask_it)
        await trio.sleep(0.1)  # it is accepted by then; if it is not, the new one answers
        await reload(rig, speaking("two"))
    assert answers in (["slow"], ["two"])
    assert await body_of(preview) == "two"


async def test_a_new_process_that_ends_leaves_the_old_one_serving(rig: Rig) -> None:
    preview = await rig.running(speaking())
    before = preview.record.pid
    with pytest.raises(
        LaunchFailed, match="ended with exit code 3 before it answered: ImportError: no module"
    ) as caught:
        await reload(rig, "import sys; print('ImportError: no module', flush=True); sys.exit(3)")
    assert caught.value.details["exit_code"] == 3
    assert caught.value.details["preview_id"] == preview.id
    assert preview.record.state is State.RUNNING
    assert preview.record.pid == before
    assert await body_of(preview) == "one"
    assert any(line.startswith("reload failed: The process ended with exit code 3") for line in story(preview))
    assert story(preview)[-1] == f"process {before} keeps serving"


async def test_a_new_process_that_stays_silent_leaves_the_old_one_serving(rig: Rig) -> None:
    preview = await rig.running(speaking())
    patience_s, preview.startup_timeout_s = preview.startup_timeout_s, 1
    with pytest.raises(StartupTimeout, match="did not serve within 1 s"):
        await reload(rig, speaking("two", "time.sleep(600)\n"))
    preview.startup_timeout_s = patience_s
    assert preview.record.state is State.RUNNING
    assert await body_of(preview) == "one"
    # The next change mends it; the silent one is gone by then.
    await reload(rig, speaking("three"))
    assert await body_of(preview) == "three"


async def test_an_old_process_that_dies_meanwhile_is_followed_by_the_new_one(rig: Rig) -> None:
    preview = await rig.running(speaking())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reload, rig, speaking("two", WAITS))
        await says(preview, "reload: changed")
        with trio.fail_after(60):
            while len(processes(preview)) < 2:
                await trio.lowlevel.checkpoint()
        pid = preview.record.pid
        assert pid is not None
        os.kill(pid, 9)
        assert preview.directory is not None
        await trio.Path(preview.directory / "go").touch()
    assert await body_of(preview) == "two"
    assert preview.record.state is State.RUNNING


async def test_a_preview_whose_processes_both_end_has_failed(rig: Rig) -> None:
    preview = await rig.running(speaking())
    dies = "while not os.path.exists('go'): time.sleep(0.005)\nraise ValueError('both')\n"
    refused: list[PreviewError] = []

    async def save() -> None:
        try:
            await reload(rig, speaking("two", dies))
        except PreviewError as error:
            refused.append(error)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(save)
        await says(preview, "reload: changed")
        pid = preview.record.pid
        assert pid is not None
        os.kill(pid, 9)
        assert preview.directory is not None
        await trio.Path(preview.directory / "go").touch()
    await preview.over.wait()
    assert preview.record.state is State.FAILED
    assert "ValueError: both" in refused[0].message


async def test_a_stop_in_the_middle_leaves_neither_process(rig: Rig) -> None:
    preview = await rig.running(speaking())
    refused: list[str] = []

    async def save() -> None:
        try:
            await reload(rig, speaking("two", "time.sleep(600)\n"))
        except LaunchFailed as error:
            refused.append(error.message)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(save)
        with trio.fail_after(60):
            while len(processes(preview)) < 2:
                await trio.lowlevel.checkpoint()
        with trio.fail_after(60):
            await rig.service.previews.stop("g1")
    assert refused == ["The preview has ended: stopped on request."]
    assert processes(preview) == set()


async def test_a_caller_that_goes_away_does_not_stop_the_restart(rig: Rig) -> None:
    preview = await rig.running(speaking())
    before = preview.record.pid
    async with trio.open_nursery() as nursery:
        nursery.start_soon(restart, rig)
        await says(preview, "restart: requested")
        nursery.cancel_scope.cancel()
    await says(preview, "restarted in ")
    assert preview.record.pid != before


async def test_the_newest_change_wins_and_both_are_told(rig: Rig) -> None:
    preview = await rig.running(speaking())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reload, rig, speaking("two", "time.sleep(600)\n"))
        with trio.fail_after(60):
            while len(processes(preview)) < 2:
                await trio.lowlevel.checkpoint()
        nursery.start_soon(partial(reload, rig, speaking("three")))
    assert await body_of(preview) == "three"


class Contents(dict[str, bytes]):
    """Which a weak reference can be had to."""


async def test_what_is_written_is_not_kept_in_memory_while_it_waits_to_serve(rig: Rig) -> None:
    preview = await rig.running(speaking())
    contents = Contents({"behave.py": speaking("two", "time.sleep(600)\n").encode()})
    held = weakref.ref(contents)
    async with trio.open_nursery() as caller:
        caller.start_soon(rig.service.previews.reload, ANN, "g1", FilesChange(contents))
        await says(preview, "reload: changed behave.py")
        with trio.fail_after(60):
            while len(processes(preview)) < 2:
                await trio.lowlevel.checkpoint()
        caller.cancel_scope.cancel()
    del contents
    gc.collect()
    assert held() is None


async def test_a_change_that_serves_is_no_failure_because_of_the_next_one(rig: Rig) -> None:
    preview = await rig.running(speaking("deaf", "def drained():\n    time.sleep(600)\n"))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reload, rig, speaking("two"))
        await says(preview, "reloaded in ")
        # The first is still waiting for the old process to let go.
        with pytest.raises(LaunchFailed, match="exit code 3"):
            await reload(rig, "import sys; sys.exit(3)")
    assert await body_of(preview) == "two"


async def test_a_program_that_cannot_hand_over_is_stopped_first(rig: Rig) -> None:
    preview = await rig.running(SERVER)
    before = preview.record.pid
    await restart(rig)
    assert (await ask(preview)).startswith(b"HTTP/1.1 200")
    assert preview.record.pid != before
    assert "restart: the program cannot hand over its port: the old process is stopped first" in story(preview)
    assert any(line.startswith("restarted in ") for line in story(preview))


async def test_what_was_stopped_first_and_does_not_come_back_has_failed(rig: Rig) -> None:
    preview = await rig.running(SERVER)
    with pytest.raises(LaunchFailed, match="exit code 3"):
        await reload(rig, "import sys; sys.exit(3)")
    await preview.over.wait()
    assert preview.record.state is State.FAILED


async def test_what_is_being_stopped_when_the_next_change_fails_does_not_serve_on(rig: Rig) -> None:
    preview = await rig.running(IGNORES_TERM)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(fails, rig, FilesChange({"behave.py": speaking("two").encode()}))
        await says(preview, "reload: the program cannot hand over its port: the old process is stopped first")
        nursery.start_soon(fails, rig, FilesChange({"preview.toml": b"[start]\napp = 3\n"}))
        with trio.fail_after(60):
            await preview.over.wait()
    assert preview.record.state is State.FAILED
    assert not any("keeps serving" in line for line in story(preview))


async def fails(rig: Rig, change: FilesChange) -> None:
    with pytest.raises(InvalidGeneration):
        await rig.service.previews.reload(ANN, "g1", change)


async def test_an_old_process_that_does_not_let_go_is_stopped_when_its_time_is_over(
    make_settings: MakeSettings,
) -> None:
    async with open_rig(make_settings(drain_timeout_s=0.3)) as rig:
        deaf = "def drained():\n    time.sleep(600)\n"
        preview = await rig.running(speaking("deaf", deaf))
        before = preview.record.pid
        await reload(rig, speaking("two"))
        assert await says(preview, f"process {before} did not finish its requests within 0.3 s and is stopped")
        await says(preview, "the old process drained in ")
        assert before not in processes(preview)


async def test_old_processes_that_do_not_let_go_do_not_pile_up(rig: Rig) -> None:
    deaf = "def drained():\n    time.sleep(600)\n"
    preview = await rig.running(speaking("deaf", deaf))
    for _ in range(5):
        await restart(rig)
        # One serves, two drain.
        assert len(processes(preview)) <= 3


async def test_a_program_that_ignores_sigterm_is_restarted_all_the_same(rig: Rig) -> None:
    preview = await rig.running(IGNORES_TERM)
    await restart(rig)
    assert (await ask(preview)).startswith(b"HTTP/1.1 200")


FLOODS = """
def started():
    control.sendall(b'ready\\n')
    control.setblocking(False)
    for _ in range(2): control.send(b'x' * 60000)
"""
TALKS_GARBAGE = "def started():\n    control.sendall(b'\\xff\\x00rea\\ndrained\\nready\\n')\n"
SENDS_DESCRIPTORS = """
def started():
    files = [os.open('/dev/null', os.O_RDONLY) for _ in range(100)]
    try: socket.send_fds(control, [b'ready\\n'], files)
    except OSError: control.sendall(b'ready\\n')
"""
EXITS_BADLY = "def drained():\n    os._exit(7)\n"
CRASHES = "def drained():\n    os.kill(os.getpid(), 9)\n"


@pytest.mark.parametrize("talk", [FLOODS, TALKS_GARBAGE, SENDS_DESCRIPTORS, EXITS_BADLY, CRASHES])
async def test_whatever_a_program_says_on_its_channel_harms_itself_alone(rig: Rig, talk: str) -> None:
    preview = await rig.running(speaking("one", talk))
    held = len(open_descriptors())
    await reload(rig, speaking("two"))
    # Where the kernel lets descriptors pass, who sends any is not listened to any more.
    if talk is not SENDS_DESCRIPTORS:
        await says(preview, "the old process drained in ")
    assert await body_of(preview) == "two"
    assert preview.record.state is State.RUNNING
    with trio.fail_after(60):
        # The old process may be on its way out still.
        while len(open_descriptors()) > held:  # noqa: ASYNC110  nobody tells
            await trio.sleep(0.005)


# Lets go of the socket when it may: until then it answers as well.
_LETS_GO_LATE = """
def drained():
    while not os.path.exists('let-go'): time.sleep(0.005)
    tell(b'drained')
    sys.exit(0)
"""


async def test_a_reload_is_told_when_the_old_process_has_let_go_of_the_socket(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handover, "_LETS_GO_S", 30)
    preview = await rig.running(speaking("one", _LETS_GO_LATE))
    before = preview.record.pid
    async with trio.open_nursery() as nursery:
        nursery.start_soon(reload, rig, speaking("two"))
        with trio.fail_after(60):
            while preview.record.pid == before:
                await trio.lowlevel.checkpoint()
        assert not preview.succession.is_over
        assert not any(line.startswith("reloaded in ") for line in story(preview))
        assert preview.directory is not None
        await trio.Path(preview.directory / "let-go").touch()
        with trio.fail_after(60):
            await says(preview, "reloaded in ")
    assert preview.succession.is_over


async def test_what_is_told_of_an_old_process_comes_behind_the_change(make_settings: MakeSettings) -> None:
    async with open_rig(make_settings(drain_timeout_s=0.05)) as rig:
        preview = await rig.running(speaking("one", _LETS_GO_LATE))
        await restart(rig)
        with trio.fail_after(60):
            await says(preview, "restarted in ")
        told = story(preview)
        ready = next(line for line in told if line.startswith("ready in ") and line.endswith("takes over"))
        assert told.index(ready) < told.index(await says(preview, "restarted in "))
        # It is not waited for when it is gone.
        assert preview.succession.is_over
