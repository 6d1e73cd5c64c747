"""How templates and their forks end, and what becomes of a start meanwhile: it is a cold one at worst, and says why."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import child_programs as programs
import pytest
import trio
import trio.testing
from runtime_kit import (
    application,
    open_descriptors,
    open_driver,
    read_all,
    read_line,
)
from runtime_warm import (
    BOUNDS,
    Environment,
    cancel_at_each_step,
    make_environment,
    open_leaving_nothing,
    open_warm,
    settled,
)

from preview.errors import LaunchFailed
from preview.runtime import Exit, ProcessSpec, SandboxRuntime, child_subreaper
from preview.runtime.kernel import proctree
from preview.runtime.kernel.verified import verify
from preview.runtime.warm import Bounds, WarmRuntime, runtime
from preview.runtime.warm.forks import forking, reservations
from preview.runtime.warm.forks.reservations import ConfinedFork, ForkReservation
from preview.runtime.warm.template_process import Template

READS = "import os; found = os.environ.get('COLOUR')"
Make = Callable[..., ProcessSpec]


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    return make_environment(tmp_path / "environment", {"packaged": READS})


@pytest.fixture
def make(environment: Environment, project: Path, told: list[str]) -> Make:
    """A specification of a text."""

    def make(text: str = programs.HELLO, **values: object) -> ProcessSpec:
        return environment.spec(text, project, told, **values)

    return make


@pytest.fixture
async def warm(sandbox_here: SandboxRuntime) -> AsyncIterator[WarmRuntime]:
    async with open_leaving_nothing(sandbox_here) as opened:
        yield opened


def template_of(warm: WarmRuntime) -> int:
    """The template's pid; its forks have its name too, and are in further namespaces."""
    assert len(warm.templates.ready) == 1
    named = (pid for pid in proctree.descendants(os.getpid()) if is_template(pid))
    return min(named, key=lambda pid: len(proctree.namespace_pids(pid)))


def is_template(pid: int) -> bool:
    return any(
        one.endswith(b"/preview_template.py") for one in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[1:2]
    )


async def printed(warm: WarmRuntime, spec: ProcessSpec) -> str:
    async with warm.open_process(spec) as process:
        return await read_all(process)


async def gone(warm: WarmRuntime) -> None:
    with trio.fail_after(60):
        while warm.templates.ready:  # noqa: ASYNC110  a pool tells nobody
            await trio.sleep(0.01)


async def test_a_template_that_was_killed_is_noticed_its_forks_live_on_and_another_is_made(
    warm: WarmRuntime, make: Make, told: list[str]
) -> None:
    assert await settled(warm, make())
    # It has done well for long enough to be made anew at once.
    warm.templates._slots["environment"].pause_s = 0.0
    async with warm.open_process(make(programs.ON_TERM_SAY_BYE)) as process:
        assert await read_line(process) == "up"
        os.kill(template_of(warm), signal.SIGKILL)
        await gone(warm)
        assert "hello" in await printed(warm, make(slot=2))
        assert await settled(warm, make())
        assert await process.stop(grace_s=10) == Exit(code=0)
        assert await read_all(process) == "bye"
    assert "hello" in await printed(warm, make())
    assert [one.split(":")[0] for one in told] == ["started warm", "started cold", "started warm"]


async def test_a_template_that_does_not_answer_is_given_up_and_the_start_is_cold(
    warm: WarmRuntime, make: Make, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forking, "_PATIENCE_S", 0.2)
    assert await settled(warm, make())
    os.kill(template_of(warm), signal.SIGSTOP)
    assert "hello" in await printed(warm, make())
    assert told == ["started cold: the template did not answer within 0.2 s"]


async def test_a_template_that_is_killed_while_it_forks_leaves_a_cold_start(
    warm: WarmRuntime, make: Make, told: list[str]
) -> None:
    assert await settled(warm, make())
    template = template_of(warm)
    os.kill(template, signal.SIGSTOP)
    async with trio.open_nursery() as nursery:

        @nursery.start_soon
        async def start() -> None:
            assert "hello" in await printed(warm, make())

        await trio.testing.wait_all_tasks_blocked(0.1)
        os.kill(template, signal.SIGKILL)
    assert told == ["started cold: the fork ended before it was set up"]


async def test_an_environment_that_was_built_anew_has_another_template(
    warm: WarmRuntime, make: Make, told: list[str], environment: Environment, tmp_path: Path
) -> None:
    assert await settled(warm, make())
    shutil.rmtree(environment.python.parents[1])
    make_environment(tmp_path / "environment", {"packaged": "VERSION = 2"})
    assert "hello" in await printed(warm, make())
    assert told == ["started cold: its environment was built again"]
    assert await settled(warm, make())
    assert await printed(warm, make("import packaged; print(packaged.VERSION)")) == "2\n"


async def test_of_an_environment_that_is_gone_the_cold_start_tells(
    warm: WarmRuntime, make: Make, environment: Environment, told: list[str]
) -> None:
    assert await settled(warm, make())
    shutil.rmtree(environment.python.parents[1])
    assert str(environment.python.parents[1]) in await printed(warm, make())
    assert told == ["started cold: its environment was built again"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("COLOUR", "red"),
        ("LD_PRELOAD", "/x.so"),
        ("PYTHONHASHSEED", "1"),
        ("PYTHONOPTIMIZE", "1"),
        ("MALLOC_ARENA_MAX", "1"),
        ("OPENSSL_CONF", "/x"),
        ("LC_ALL", "de_DE.ISO-8859-1"),
    ],
)
async def test_a_variable_that_counted_before_the_fork_makes_a_cold_start(
    warm: WarmRuntime, make: Make, told: list[str], name: str, value: str
) -> None:
    assert await settled(warm, make())
    await printed(warm, make("import os; print(dict(os.environ))", environment={name: value}))
    (sentence,) = told
    assert sentence.startswith(f"started cold: {name} is set, which")


@pytest.mark.parametrize(("name", "value"), [("LC_ALL", "C.UTF-8"), ("LANG", "en_US.utf8"), ("COLOURS", "red")])
async def test_other_variables_do_not(warm: WarmRuntime, make: Make, told: list[str], name: str, value: str) -> None:
    assert await settled(warm, make())
    text = await printed(warm, make(f"import os; print(os.environ[{name!r}])", environment={name: value}))
    assert text == f"{value}\n"
    assert told[0].startswith("started warm")


async def test_a_project_with_a_module_named_as_one_that_is_there_starts_cold(
    warm: WarmRuntime, make: Make, told: list[str]
) -> None:
    spec = make(own=frozenset({"packaged", "mine"}))
    assert await settled(warm, spec)
    assert "hello" in await printed(warm, spec)
    assert told == ["started cold: the project has a module of its own named packaged, as a package has"]


async def test_a_template_that_is_too_old_is_replaced_and_its_forks_live_on(
    sandbox_here: SandboxRuntime, make: Make, told: list[str]
) -> None:
    with child_subreaper():
        async with open_warm(sandbox_here, Bounds(2, BOUNDS.memory_bytes, max_age_s=0.0)) as warm:
            assert await settled(warm, make())
            first = template_of(warm)
            descriptor = os.pidfd_open(first)
            async with warm.open_process(make(programs.ON_TERM_SAY_BYE)) as process:
                await read_line(process)
                await trio.lowlevel.wait_readable(descriptor)
                os.close(descriptor)
                assert await process.stop(grace_s=10) == Exit(code=0)
    assert told[0].startswith("started warm")


async def test_no_more_templates_are_kept_than_may_be(
    sandbox_here: SandboxRuntime, tmp_path: Path, project: Path, told: list[str]
) -> None:
    specs = [make_environment(tmp_path / name, {}).spec(programs.HELLO, project, told) for name in ("one", "other")]
    with child_subreaper():
        async with open_warm(sandbox_here, Bounds(1, BOUNDS.memory_bytes, 3600)) as warm:
            for spec in specs:
                assert await settled(warm, spec)
            assert warm.templates.ready == ["other"]


async def test_of_a_runtime_that_is_closed_while_it_makes_a_template_nothing_is_left(
    warm: WarmRuntime, make: Make
) -> None:
    warm.prepare(make())
    with trio.fail_after(60):
        while not any("keeper" in line for line in command_lines()):  # noqa: ASYNC110  the kernel tells nobody of it
            await trio.sleep(0.001)


def command_lines() -> Iterator[str]:
    for pid in proctree.descendants(os.getpid()):
        try:
            yield Path(f"/proc/{pid}/cmdline").read_text()
        except OSError:
            continue


async def test_of_forks_that_are_open_when_the_runtime_is_closed_nothing_is_left(
    sandbox_here: SandboxRuntime, make: Make
) -> None:
    with child_subreaper():
        async with AsyncExitStack() as stack:
            warm = await stack.enter_async_context(open_warm(sandbox_here))
            assert await settled(warm, make())
            forks = [
                await stack.enter_async_context(warm.open_process(make(programs.IGNORE_TERM, slot=slot)))
                for slot in (1, 2)
            ]
            for process in forks:
                await read_line(process)
    assert [proctree.is_alive(process.identity) for process in forks] == [False, False]


async def test_kill_9_of_the_service_leaves_neither_template_nor_keeper_nor_fork(
    sandbox_here: SandboxRuntime, project: Path
) -> None:
    async with open_driver([sys.executable], "warm", project, "IGNORE_TERM") as driver:
        service = driver.told["service"]
        descriptors = [os.pidfd_open(pid) for pid in proctree.descendants(service)]
        # Bubblewrap's two, the keeper's two, the template, the fork's first process, the program.
        assert len(descriptors) == 7 if os.geteuid() == 0 else 6
        os.kill(service, signal.SIGKILL)
        for descriptor in descriptors:
            await trio.lowlevel.wait_readable(descriptor)
            os.close(descriptor)


@contextmanager
def few_descriptors(further: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # What is open lies below the highest number, and gaps are filled first.
    held = [os.open("/dev/null", os.O_RDONLY)]
    while held[-1] < 200:
        held.append(os.open("/dev/null", os.O_RDONLY))
    resource.setrlimit(resource.RLIMIT_NOFILE, (held[-1] + 1 + further, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for one in held:
            os.close(one)


async def test_without_descriptors_a_start_fails_or_succeeds_and_leaves_nothing(
    warm: WarmRuntime, make: Make, told: list[str]
) -> None:
    assert await settled(warm, make())
    before = open_descriptors()
    ends = []
    for further in range(16):
        try:
            with few_descriptors(further):
                async with warm.open_process(make()) as process:
                    ended = await process.wait()
            ends.append(str(ended))
        except (LaunchFailed, OSError) as error:
            ends.append(type(error).__name__)
        assert open_descriptors() <= before, further
    assert ends[-1] == "exit code 0"
    assert warm.templates.ready == ["environment"]
    assert told[-1].startswith("started warm")


async def test_a_start_that_is_cancelled_at_any_moment_leaves_nothing(warm: WarmRuntime, make: Make) -> None:
    assert await settled(warm, make())
    await cancel_at_each_step(lambda: warm.open_process(make(programs.IGNORE_TERM)), range(1, 60))
    assert warm.templates.ready == ["environment"]


# Begun ahead


async def test_a_start_that_was_begun_is_gone_on_with(warm: WarmRuntime, make: Make, told: list[str]) -> None:
    spec = make()
    assert await settled(warm, spec)
    (live,) = [slot.live for slot in warm.templates._slots.values()]
    assert live is not None
    async with warm.reserve(spec):
        await _made_ready(warm)
        assert live.template.forks == 1
        async with warm.open_process(spec) as process:
            assert sorted((await read_all(process)).split()) == ["error", "hello", "side"]
    assert (live.template.forks, live.uses) == (1, 0)
    assert told[-1].startswith("started warm")


async def _made_ready(warm: WarmRuntime) -> list[int]:
    """What was begun waits for its start; pids of its processes."""
    (reserved,) = warm._reservations._unused.values()
    await reserved._is_made.wait()
    assert reserved._fork is not None
    both = reserved._fork.request._both
    assert both is not None
    return [one.pid for one in both if not one.has_ended]


async def test_what_was_begun_has_made_its_own_what_it_will_write_to(warm: WarmRuntime, make: Make) -> None:
    spec = make()
    assert await settled(warm, spec)
    async with warm.reserve(spec):
        _, its = await _made_ready(warm)
        rollup = Path(f"/proc/{its}/smaps_rollup")
        with trio.fail_after(60):
            while _private_kib(rollup) < 1024:  # noqa: ASYNC110  nobody tells
                await trio.sleep(0.005)


def _private_kib(rollup: Path) -> int:
    lines = rollup.read_text("ascii").splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))


async def test_what_was_begun_and_is_killed_meanwhile_is_begun_anew(
    warm: WarmRuntime, make: Make, told: list[str]
) -> None:
    spec = make()
    assert await settled(warm, spec)
    (live,) = [slot.live for slot in warm.templates._slots.values()]
    assert live is not None
    async with warm.reserve(spec):
        first, its = await _made_ready(warm)
        os.kill(its, signal.SIGSEGV)
        with trio.fail_after(60):
            while proctree.identify(first) is not None:  # noqa: ASYNC110  nobody tells
                await trio.sleep(0.005)
        async with warm.open_process(spec) as process:
            assert await process.wait() == Exit(code=0)
    assert told[-1].startswith("started warm: ")
    assert (live.template.forks, live.uses) == (2, 0)


async def test_an_end_at_the_very_beginning_is_told_as_it_was(warm: WarmRuntime, make: Make) -> None:
    spec = make(programs.SLEEP)
    assert await settled(warm, spec)
    for _ in range(20):
        async with warm.open_process(spec) as process:
            # As a rule it has not read yet what it is to be.
            os.kill(application(process), signal.SIGSEGV)
            assert await process.wait() == Exit(signal=signal.SIGSEGV)


async def test_a_start_that_was_begun_and_does_not_come_ends(warm: WarmRuntime, make: Make) -> None:
    spec = make()
    assert await settled(warm, spec)
    async with warm.reserve(spec):
        pass
    async with warm.reserve(spec):
        both = await _made_ready(warm)
    with trio.fail_after(60):
        while any(proctree.identify(pid) is not None for pid in both):  # noqa: ASYNC110  nobody tells
            await trio.sleep(0.005)
    async with warm.open_process(spec) as process:
        assert await process.wait() == Exit(code=0)


async def test_a_start_that_was_begun_by_a_template_that_is_replaced_is_begun_anew(
    warm: WarmRuntime, make: Make, told: list[str]
) -> None:
    spec = make()
    assert await settled(warm, spec)
    (slot,) = warm.templates._slots.values()
    assert slot.live is not None
    async with warm.reserve(spec):
        warm.templates._retire(slot, "a test says so")
        assert await settled(warm, spec)
        async with warm.open_process(spec) as process:
            assert await process.wait() == Exit(code=0)
    assert told[-1].startswith("started warm")


async def test_nothing_is_begun_where_there_is_no_template_yet(warm: WarmRuntime, make: Make) -> None:
    async with warm.reserve(make()):
        assert warm.templates._slots == {}


async def test_variables_decide_when_the_program_is_known(warm: WarmRuntime, make: Make, told: list[str]) -> None:
    assert await settled(warm, make())
    async with warm.reserve(make()), warm.open_process(make(environment={"COLOUR": "red"})) as process:
        assert await process.wait() == Exit(code=0)
    assert told[-1] == "started cold: COLOUR is set, which a package reads when it is imported"


async def test_what_was_begun_for_a_start_that_is_a_cold_one_ends_before_that(warm: WarmRuntime, make: Make) -> None:
    assert await settled(warm, make())
    (live,) = [slot.live for slot in warm.templates._slots.values()]
    assert live is not None
    before = set(proctree.descendants(os.getpid()))
    async with warm.reserve(make()), warm.open_process(make(programs.SLEEP, environment={"COLOUR": "red"})):
        assert live.uses == 0
        with trio.fail_after(60):
            while any(map(is_warm, set(proctree.descendants(os.getpid())) - before)):  # noqa: ASYNC110
                await trio.sleep(0.01)


def is_warm(pid: int) -> bool:
    try:
        return b"preview_template.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


async def test_a_fork_that_was_begun_and_is_not_held_in_is_ended_before_the_cold_start(
    warm: WarmRuntime, make: Make, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await settled(warm, make())
    monkeypatch.setattr(forking, "find_fault", lambda *_args, **_named: "a test says so")
    (live,) = [slot.live for slot in warm.templates._slots.values()]
    assert live is not None
    async with warm.reserve(make()), warm.open_process(make()):
        assert live.uses == 0
    assert "started cold: the fork was ended, because a test says so" in told


async def test_what_goes_wrong_with_a_start_ahead_of_it_is_no_end_of_what_goes_on_meanwhile(
    warm: WarmRuntime, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make()
    assert await settled(warm, spec)
    for error in (OSError(12, "no memory"), RuntimeError("can't start new thread")):
        with monkeypatch.context() as patched:
            patched.setattr(runtime, "request_fork", Mock(side_effect=error))
            async with warm.reserve(spec):
                (reserved,) = warm._reservations._unused.values()
                await reserved._is_made.wait()
                await trio.testing.wait_all_tasks_blocked()
        async with warm.open_process(spec) as process:
            assert await process.wait() == Exit(code=0)


async def test_of_many_that_wait_for_their_turn_only_some_are_begun(warm: WarmRuntime, make: Make) -> None:
    assert await settled(warm, make())
    async with AsyncExitStack() as held:
        for number in range(reservations._MOST_RESERVED + 2):
            await held.enter_async_context(warm.reserve(replace(make(), preview_id=f"preview_test{number}")))
        assert len(warm._reservations._unused) == reservations._MOST_RESERVED


async def test_a_fork_of_a_template_that_came_meanwhile_is_looked_at_anew(
    warm: WarmRuntime, make: Make, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make()
    assert spec.warm is not None
    spec = replace(spec, warm=replace(spec.warm, own=frozenset({"shadowed"})))
    assert await settled(warm, spec)
    (slot,) = warm.templates._slots.values()
    take = ForkReservation.take

    async def replaced(self: ForkReservation, spec: ProcessSpec, template: Template) -> ConfinedFork | None:
        """Meanwhile the template is replaced, by one that has loaded a module of the project's name."""
        assert slot.live is not None
        old = slot.live.template
        has_more = replace(old.told, loaded=old.told.loaded | {"shadowed"})
        slot.live.template = Template(old._control, has_more, old.origin)
        await take(self, spec, template)
        return None

    monkeypatch.setattr(ForkReservation, "take", replaced)
    async with warm.reserve(spec), warm.open_process(spec) as process:
        assert await process.wait() == Exit(code=0)
    assert told[-1] == "started cold: the project has a module of its own named shadowed, as a package has"


@dataclass
class Waiting:
    """A fork that stays: what it was asked for with, its processes, and when it is gone."""

    spec: ProcessSpec
    both: list[int]
    gone: trio.Event


@pytest.fixture
async def waiting(warm: WarmRuntime, make: Make) -> AsyncIterator[Waiting]:
    spec = make()
    assert await warm.wait_prepared(spec)
    async with warm.reserve(spec, stays=True) as gone:
        yield Waiting(spec, await _made_ready(warm), gone)


async def test_what_stays_waits_for_its_start_and_is_not_counted_with_what_is_begun_for_a_moment(
    warm: WarmRuntime, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reservations, "_MOST_RESERVED", 1)
    other = replace(waiting.spec, preview_id="preview_other")
    async with warm.reserve(other) as other_gone, warm.reserve(waiting.spec) as same:
        assert not other_gone.is_set()
        assert same is waiting.gone
        async with warm.open_process(waiting.spec) as process:
            assert process.identity.pid in waiting.both
            assert await process.wait() == Exit(code=0)


async def test_what_stays_ends_a_moment_after_its_start_has_begun_and_not_before(
    warm: WarmRuntime, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the start is of another kind, which takes no fork."""
    monkeypatch.setattr(reservations, "_UNUSED_S", 0.05)
    await trio.testing.wait_all_tasks_blocked(0.1)
    assert not waiting.gone.is_set()
    async with warm.reserve(waiting.spec), warm.open_process(replace(waiting.spec, warm=None)) as process:
        assert await process.wait() == Exit(code=0)
        await _ended(waiting.both)
        assert waiting.gone.is_set()


async def test_what_was_made_for_another_template_gives_way(warm: WarmRuntime, waiting: Waiting) -> None:
    assert waiting.spec.warm is not None
    other = replace(waiting.spec, warm=replace(waiting.spec.warm, key="other"))
    assert await warm.wait_prepared(other)
    async with warm.reserve(other):
        await _ended(waiting.both)
        assert waiting.gone.is_set()
        ahead = await _made_ready(warm)
        async with warm.open_process(other) as process:
            assert process.identity.pid in ahead
            assert await process.wait() == Exit(code=0)


async def test_what_stays_ends_when_its_template_is_replaced(warm: WarmRuntime, waiting: Waiting) -> None:
    (slot,) = warm.templates._slots.values()
    warm.templates._retire(slot, "a test says so")
    await _ended(waiting.both)
    assert waiting.gone.is_set()
    async with warm.open_process(waiting.spec) as process:
        assert await process.wait() == Exit(code=0)


@pytest.mark.parametrize("which", [0, 1], ids=["first", "application"])
async def test_one_that_was_killed_while_it_waited_is_gone_and_not_the_start_s_failure(
    warm: WarmRuntime, waiting: Waiting, told: list[str], which: int
) -> None:
    os.kill(waiting.both[which], signal.SIGKILL)
    with trio.fail_after(60):
        await waiting.gone.wait()
    await _ended(waiting.both)
    async with warm.open_process(waiting.spec) as process:
        assert await process.wait() == Exit(code=0)
    assert told[-1].startswith("started warm")


async def test_what_cannot_be_watched_for_want_of_a_descriptor_can_be_taken(
    warm: WarmRuntime, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forking.ForkRequest, "wait_ended", Mock(side_effect=OSError(24, "Too many open files")))
    spec = make()
    assert await warm.wait_prepared(spec)
    async with warm.reserve(spec, stays=True) as gone:
        both = await _made_ready(warm)
        await trio.testing.wait_all_tasks_blocked()
        assert not gone.is_set()
        async with warm.open_process(spec) as process:
            assert process.identity.pid in both


@pytest.fixture
def sleepers() -> Iterator[list[subprocess.Popen[bytes]]]:
    argv = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]
    found = [subprocess.Popen(argv) for _ in range(2)]
    yield found
    for one in found:
        one.kill()
        one.wait()


async def test_what_waits_is_not_taken_for_ended_by_the_end_of_another(sleepers: list[subprocess.Popen[bytes]]) -> None:
    """What it is watched by has the number of what another was watched by, whose file is open elsewhere (epoll(7))."""
    other, waiting = sleepers
    with ExitStack() as closing:
        ours = os.pidfd_open(other.pid)
        closing.callback(os.close, ours)
        watched = os.dup(ours)
        with trio.move_on_after(0.01):
            await trio.lowlevel.wait_readable(watched)
        os.close(watched)
        process = closing.enter_context(contextlib.closing(verify(waiting.pid, lambda _pid: None)))
        request: Any = SimpleNamespace(_both=(process, process))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(forking.ForkRequest.wait_ended, request)
            await trio.testing.wait_all_tasks_blocked()
            other.kill()
            other.wait()
            await trio.testing.wait_all_tasks_blocked(0.05)
            assert nursery.child_tasks
            waiting.kill()
            with trio.fail_after(60):
                while nursery.child_tasks:  # noqa: ASYNC110  nobody tells
                    await trio.sleep(0.005)


async def test_what_no_template_can_be_made_for_is_not_waited_for(warm: WarmRuntime, make: Make) -> None:
    assert not await warm.wait_prepared(replace(make(), warm=None))
    spec = make()
    missing = replace(spec, argv=["/nowhere/python", *spec.argv[1:]])
    with trio.fail_after(60):
        assert not await warm.wait_prepared(missing)
    async with warm.reserve(missing, stays=True) as gone:
        assert gone.is_set()


async def _ended(pids: list[int]) -> None:
    with trio.fail_after(60):
        while any(proctree.identify(pid) is not None for pid in pids):  # noqa: ASYNC110  nobody tells
            await trio.sleep(0.005)


async def test_what_was_begun_and_is_not_asked_for_ends_before_its_preview_does(
    warm: WarmRuntime, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as where the files are another kind of project's than their user's last ones were."""
    monkeypatch.setattr(reservations, "_UNUSED_S", 0.05)
    spec = make()
    assert await settled(warm, spec)
    (live,) = [slot.live for slot in warm.templates._slots.values()]
    assert live is not None
    async with warm.reserve(spec):
        both = await _made_ready(warm)
        async with warm.open_process(replace(spec, warm=None)) as process:
            assert await process.wait() == Exit(code=0)
            await _ended(both)
        assert (warm._reservations._unused, live.uses) == ({}, 0)
        async with warm.open_process(spec) as process:
            assert await process.wait() == Exit(code=0)
