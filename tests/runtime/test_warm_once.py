"""Without control groups the suspended application serves itself, once: what it may do, and what is left of it."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import child_programs as programs
import psutil
import pytest
import trio
from runtime_fixtures import open_inherited
from runtime_kit import LIMITS, open_driver, read_all, read_line
from runtime_warm import cancel_at_each_step, make_environment, open_leaving_nothing, settled

from preview.runtime import FD_PLACEHOLDER, Exit, NoSnapshot, ProcessSpec, SandboxRuntime, Snapshot, WarmStart
from preview.runtime.kernel import proctree
from preview.runtime.kernel.linux import beside
from preview.runtime.warm import WarmRuntime
from preview.runtime.warm.forks import snapshot
from preview.runtime.warm.forks.process import ForkedProcess
from preview.runtime.warm.forks.snapshot import ParkedOnce

LAUNCHER = Path(__file__).with_name("hostile_launchers") / "run_attack.py"
MIB = 2**20
Make = Callable[..., ProcessSpec]

# Imports of an application. Its own socket to the service has this number.
OWN = "import socket, sys, time; own = socket.socket(fileno=63)\n"
# Nothing that it starts is found when it is suspended.
HIDES = """
import sys
frame = sys._getframe()
while frame is not None:
    if 'preview_imports' in frame.f_globals:
        frame.f_globals['preview_imports'].unsafe = lambda held: None
    frame = frame.f_back
"""
FORKS = """
import os, time
if os.fork() == 0:
    time.sleep(600)
"""
# Two are suspended, and either may take the order to serve.
FORKS_ITSELF = f"""{HIDES}
import os
if os.fork() == 0:
    os.setsid()
"""
GROWS = "held = []\nwhile True: held.append(bytearray(b'x') * (1 << 20))\n"
GROWS_LATER = f"""{HIDES}
import threading, time
def grow():
    time.sleep(0.2)
    held = []
    while True: held.append(bytearray(b'x') * (1 << 20)); time.sleep(0.002)
threading.Thread(target=grow, daemon=True).start()
"""
WAITS = "open('loads', 'w').close(); import time; time.sleep(600)"
LIVES = "print('lives', flush=True); import time; time.sleep(600)"


@pytest.fixture
async def warm(sandbox_here: SandboxRuntime) -> AsyncIterator[WarmRuntime]:
    """When it is closed no process and no descriptor is left."""
    async with open_leaving_nothing(sandbox_here) as opened:
        yield opened


@pytest.fixture
async def make(warm: WarmRuntime, project: Path, tmp_path: Path, told: list[str]) -> Make:
    """A specification of a program, and of the import that its snapshot runs; its template is ready."""
    environment = make_environment(tmp_path / "environment", {})

    def make(text: str = programs.HELLO, imports: str = "", **values: Any) -> ProcessSpec:
        spec = environment.spec(text, project, told, number=2, **values)
        start = WarmStart("environment", LAUNCHER, environment.modules, frozenset(), (), told.append)
        argv = [str(environment.python), str(LAUNCHER), text, imports]
        return replace(spec, argv=argv, readable=(*spec.readable, LAUNCHER.parent), warm=start)

    assert await settled(warm, make())
    return make


def suspended(kept: Snapshot) -> ForkedProcess:
    assert isinstance(kept, ParkedOnce)
    return kept._process


def both_of(process: ForkedProcess) -> list[int]:
    """The first process of its namespace, and the application."""
    application = process._fork.application
    assert application is not None
    return [process.identity.pid, application.pid]


@pytest.fixture(autouse=True)
def watched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "_WATCH_S", 0.02)


# Attacks


@pytest.mark.parametrize(
    "word",
    [b"\xff", b"{}", b'["parked"]', b"go", b"[" * 100_000, b'{"parked": 1}', b'{"refused": "\x1b[2J\\n"}', b"{" * 900],
    ids=str,
)
async def test_an_application_that_answers_garbage_is_no_snapshot(warm: WarmRuntime, make: Make, word: bytes) -> None:
    with pytest.raises(NoSnapshot) as caught:
        async with warm.open_snapshot(make(imports=f"{OWN}own.send({word[:1000]!r}); time.sleep(600)")):
            pytest.fail("suspended")
    assert str(caught.value).isprintable()


async def test_an_application_that_sends_descriptors_is_no_snapshot(
    warm: WarmRuntime, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What it sends is ignored until the time is over, however long that is.
    monkeypatch.setattr(warm, "_timeout_s", 4.0)
    sends = "socket.send_fds(own, [b'{\"parked\": true}'], [1])\nexcept OSError: own.close()\ntime.sleep(600)"
    with pytest.raises(NoSnapshot):
        async with warm.open_snapshot(make(imports=f"{OWN}try: {sends}")):
            pytest.fail("suspended")


async def test_an_application_that_floods_the_service_is_no_snapshot_or_ends_with_it(
    warm: WarmRuntime, make: Make
) -> None:
    """More packets than the socket holds; only the first is read before the end."""
    flood = f"{OWN}own.setblocking(False)\ntry:\n while True: own.send(b'{{\"parked\": true}}')\nexcept OSError: pass"
    spec = make(LIVES, imports=flood)
    async with warm.open_snapshot(spec) as kept:
        async with kept.open_process(spec) as process:
            await process.stop(0.05)
        assert not proctree.is_alive(process.identity)


async def test_an_application_that_says_too_early_that_it_is_suspended_ends_with_its_start(
    warm: WarmRuntime, make: Make
) -> None:
    spec = make(imports=f"{OWN}own.send(b'{{\"parked\": true}}'); time.sleep(600)")
    async with warm.open_snapshot(spec) as kept, kept.open_process(spec) as process:
        assert await process.stop(0.05) == Exit(signal=signal.SIGTERM)
    assert not proctree.is_alive(process.identity)


async def test_an_import_that_starts_a_process_is_no_snapshot(warm: WarmRuntime, make: Make) -> None:
    with pytest.raises(NoSnapshot, match="starts a process"):
        async with warm.open_snapshot(make(imports=FORKS)):
            pytest.fail("suspended")


@pytest.mark.parametrize("imports", [HIDES + FORKS, FORKS_ITSELF], ids=["waits", "takes the order"])
async def test_processes_that_an_import_hides_end_with_the_application(
    warm: WarmRuntime, make: Make, imports: str
) -> None:
    spec = make(LIVES, imports=imports)
    async with warm.open_snapshot(spec) as kept:
        async with kept.open_process(spec) as process:
            assert await read_line(process) == "lives"
            assert (await process.usage()).processes >= 2
            pids = process.members()
            assert len(pids) >= 3
        stats = [proctree.read_stat(pid) for pid in pids]
        assert [one for one in stats if one is not None and not one.has_ended] == []


@pytest.mark.parametrize("imports", [GROWS, GROWS_LATER], ids=["as it is imported", "once it is suspended"])
async def test_an_application_that_grows_above_its_limit_before_it_serves_is_ended(
    warm: WarmRuntime, make: Make, imports: str
) -> None:
    spec = make(imports=imports, limits=replace(LIMITS, memory_bytes=100 * MIB))

    async def start() -> None:
        async with warm.open_snapshot(spec) as kept:
            await suspended(kept).wait()
            async with kept.open_process(spec):
                pytest.fail("started")

    with trio.fail_after(30), pytest.raises(NoSnapshot):
        await start()


@pytest.mark.parametrize("which", [0, 1], ids=["the first process", "the application"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_one_that_is_killed_while_it_is_suspended_starts_nothing(
    warm: WarmRuntime, make: Make, which: int, number: signal.Signals
) -> None:
    if which == 0 and number != signal.SIGKILL:
        pytest.skip("the first process of a namespace obeys SIGKILL alone")
    spec = make(LIVES)
    async with warm.open_snapshot(spec) as kept:
        os.kill(both_of(suspended(kept))[which], number)
        await suspended(kept).wait()
        with pytest.raises(NoSnapshot):
            async with kept.open_process(spec):
                pytest.fail("started")
        assert kept.is_spent


@pytest.mark.parametrize("which", [0, 1], ids=["the first process", "the application"])
async def test_one_that_is_killed_while_it_is_imported_is_no_snapshot(
    warm: WarmRuntime, make: Make, project: Path, which: int
) -> None:
    async def kill() -> None:
        """Cancelled once there is nobody to kill."""
        while not (project / "loads").exists():  # noqa: ASYNC110  it tells nobody
            await trio.sleep(0.002)
        (application,) = [one for one in proctree.descendants(os.getpid()) if is_in(project, one)]
        os.kill(application if which else psutil.Process(application).ppid(), signal.SIGKILL)

    async with beside(kill):
        with trio.fail_after(30), pytest.raises(NoSnapshot):
            async with warm.open_snapshot(make(imports=WAITS)):
                pytest.fail("suspended")


def is_in(project: Path, pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").readlink() == project
    except OSError:
        return False


@pytest.mark.parametrize("which", [0, 1], ids=["the first process", "the application"])
async def test_one_that_is_killed_right_after_its_order_is_told_as_any_start(
    warm: WarmRuntime, make: Make, which: int
) -> None:
    spec = make(LIVES)
    async with warm.open_snapshot(spec) as kept:
        pid = both_of(suspended(kept))[which]
        async with kept.open_process(spec) as process:
            os.kill(pid, signal.SIGKILL)
            with trio.fail_after(30):
                assert await process.wait() == Exit(signal=signal.SIGKILL)


async def test_one_that_was_stopped_is_ended_with_its_start(warm: WarmRuntime, make: Make) -> None:
    spec = make(LIVES)
    async with warm.open_snapshot(spec) as kept:
        os.kill(both_of(suspended(kept))[1], signal.SIGSTOP)
        async with kept.open_process(spec) as process:
            await process.stop(0.05)
        assert not proctree.is_alive(process.identity)


async def test_a_start_that_is_cancelled_at_any_moment_leaves_nothing(warm: WarmRuntime, make: Make) -> None:
    spec = make(LIVES)

    @asynccontextmanager
    async def started() -> AsyncIterator[None]:
        async with warm.open_snapshot(spec) as kept, kept.open_process(spec):
            yield

    await cancel_at_each_step(started, range(1, 100, 2))
    assert warm.templates.ready == ["environment"]


async def test_kill_9_of_the_service_leaves_nothing_of_it(sandbox_here: SandboxRuntime, project: Path) -> None:
    async with open_driver([sys.executable], "suspended", project, "IGNORE_TERM") as driver:
        service = driver.told["service"]
        descriptors = [os.pidfd_open(pid) for pid in proctree.descendants(service)]
        assert len(descriptors) >= 6
        os.kill(service, signal.SIGKILL)
        with trio.fail_after(30):
            for descriptor in descriptors:
                await trio.lowlevel.wait_readable(descriptor)
                os.close(descriptor)


# What it does otherwise


async def test_it_is_the_application_that_was_imported_and_serves_once(warm: WarmRuntime, make: Make) -> None:
    says = "import sys, time; print(sys.modules['imported'], flush=True); time.sleep(600)"
    spec = make(says, imports="import sys; sys.modules['imported'] = 'once'")
    async with warm.open_snapshot(spec) as kept:
        pids = both_of(suspended(kept))
        assert not kept.is_spent
        async with kept.open_process(spec) as process:
            assert await read_line(process) == "once"
            assert isinstance(process, ForkedProcess)
            assert both_of(process) == pids
            assert kept.is_spent
            with pytest.raises(NoSnapshot, match="used before"):
                async with kept.open_process(spec):
                    pytest.fail("started")
            assert proctree.is_alive(process.identity)


async def test_what_it_prints_and_how_it_ends_is_told(warm: WarmRuntime, make: Make) -> None:
    spec = make(f"{programs.HELLO}; raise SystemExit(7)")
    async with warm.open_snapshot(spec) as kept, kept.open_process(spec) as process:
        assert sorted((await read_all(process)).split("\n")) == ["", "error side", "hello"]
        assert await process.wait() == Exit(code=7)


async def test_its_exit_status_is_told_by_both_of_its_objects(warm: WarmRuntime, make: Make) -> None:
    spec = make("raise SystemExit(7)")
    async with warm.open_snapshot(spec) as kept, kept.open_process(spec) as process:
        # A packet on one socket of both: who reads it first takes it.
        assert await suspended(kept).wait() == Exit(code=7)
        assert await process.wait() == Exit(code=7)


async def test_it_is_asked_to_end_before_it_is_killed(warm: WarmRuntime, make: Make) -> None:
    spec = make(programs.ON_TERM_SAY_BYE)
    async with warm.open_snapshot(spec) as kept, kept.open_process(spec) as process:
        assert await read_line(process) == "up"
        assert await process.stop(10) == Exit(code=0)
        assert await read_all(process) == "bye"


async def test_it_serves_on_the_previews_socket(warm: WarmRuntime, make: Make, listener: socket.socket) -> None:
    serves = programs.SERVE.replace("int(sys.argv[1])", FD_PLACEHOLDER)
    async with open_inherited(warm, listener) as inherited:
        # As the preview's first process has left it.
        warm._cold.restrict(inherited)
        spec = make(serves, listener=inherited)
        async with warm.open_snapshot(spec) as kept, kept.open_process(spec):
            with trio.fail_after(30):
                async with await trio.open_tcp_stream(*listener.getsockname()) as stream:
                    assert await stream.receive_some() == b"served"
