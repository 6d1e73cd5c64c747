"""What every runtime promises; each runtime is put through the same tests."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import child_programs as programs
import psutil
import pytest
import trio
from engine_kit import is_gvisor
from limit_kit import no_descriptor_for_a_moment
from runtime_kit import (
    INTERPRETER,
    LIMITS,
    PYTHON,
    Start,
    application,
    isolates,
    open_driver,
    outside,
    read_all,
    read_line,
    zombies,
)

from preview.errors import LaunchFailed
from preview.runtime import FD_PLACEHOLDER, LOG_PLACEHOLDER, Exit, ProcessSpec, RunningProcess, Runtime
from preview.runtime.kernel import proctree

pytestmark = pytest.mark.usefixtures("nothing_left_of_it")


async def test_stdout_and_stderr_arrive_in_one_stream_that_ends_with_the_process(start: Start) -> None:
    async with start(programs.HELLO) as process:
        assert sorted((await read_all(process)).split("\n")) == ["", "error side", "hello"]


async def test_an_exit_code_is_told(start: Start) -> None:
    async with start(programs.EXIT_7) as process:
        assert await process.wait() == Exit(code=7)


async def test_a_signal_is_told(start: Start) -> None:
    async with start(programs.SLEEP) as process:
        os.kill(application(process), signal.SIGSEGV)
        ended = await process.wait()
    assert ended == Exit(signal=signal.SIGSEGV)
    assert str(ended) == "signal SIGSEGV"


async def test_several_tasks_may_wait_for_the_same_end(start: Start) -> None:
    ends: list[Exit] = []

    async def wait(process: RunningProcess) -> None:
        ends.append(await process.wait())

    async with start(programs.SLEEP) as process, trio.open_nursery() as nursery:
        for _ in range(3):
            nursery.start_soon(wait, process)
        await trio.testing.wait_all_tasks_blocked()
        os.kill(application(process), signal.SIGKILL)
    assert ends == [Exit(signal=signal.SIGKILL)] * 3


async def test_stop_lets_the_app_say_goodbye(start: Start) -> None:
    async with start(programs.ON_TERM_SAY_BYE) as process:
        assert await read_line(process) == "up"
        assert await process.stop(grace_s=10) == Exit(code=0)
        assert await read_all(process) == "bye"


async def test_stop_kills_what_ignores_sigterm_after_the_grace_period(start: Start) -> None:
    async with start(programs.IGNORE_TERM) as process:
        await read_line(process)
        assert await process.stop(grace_s=0.05) == Exit(signal=signal.SIGKILL)


async def test_stop_of_a_process_that_has_ended_gives_its_exit(start: Start) -> None:
    async with start(programs.EXIT_7) as process:
        await process.wait()
        assert await process.stop(grace_s=1) == Exit(code=7)


@pytest.mark.parametrize("program", [programs.GRANDCHILD, programs.DAEMON, programs.SHY_DAEMON])
async def test_leaving_the_context_ends_descendants_wherever_they_went(
    start: Start, runtime: Runtime, program: str
) -> None:
    if program is programs.SHY_DAEMON and isolates(runtime):
        pytest.skip("a sandbox ends with its program: see test_sandbox_calls")
    async with start(program) as process:
        descendant = outside(process, int(await read_line(process)))
        assert psutil.pid_exists(descendant)
    assert not psutil.pid_exists(descendant)


@pytest.mark.parametrize("program", [programs.BARE_IN_SESSION, programs.BARE_WITH_OUTPUT])
async def test_helpers_without_environment_and_folder_do_not_survive_the_leaders_own_end(
    start: Start, runtime: Runtime, program: str
) -> None:
    async with start(program) as process:
        helper = outside(process, int(await read_line(process)))
        os.kill(application(process), signal.SIGKILL)
        await process.wait()
        # A namespace ends with the application; without one the helper lives until the context is left.
        assert isolates(runtime) or psutil.pid_exists(helper)
    assert not psutil.pid_exists(helper)


@pytest.mark.parametrize("program", [programs.BARE_IN_SESSION, programs.BARE_WITH_OUTPUT, programs.BARE])
async def test_helpers_without_any_mark_do_not_survive_a_stop(start: Start, program: str) -> None:
    async with start(program) as process:
        helper = outside(process, int(await read_line(process)))
        # The leader ends upon SIGTERM, and the helper is nobody's child from then on.
        await process.stop(grace_s=5)
        assert not psutil.pid_exists(helper)


async def test_helpers_without_any_mark_that_were_measured_once_do_not_survive_the_leaders_own_end(
    start: Start,
) -> None:
    async with start(programs.BARE) as process:
        helper = outside(process, int(await read_line(process)))
        assert (await process.usage()).processes >= 2
        os.kill(application(process), signal.SIGKILL)
        await process.wait()
    assert not psutil.pid_exists(helper)


async def test_the_members_are_all_that_were_measured(start: Start) -> None:
    async with start(programs.GRANDCHILD) as process:
        descendant = outside(process, int(await read_line(process)))
        await process.usage()
        assert {process.identity.pid, application(process), descendant} <= set(process.members())


@pytest.fixture
def own_child() -> Iterator[subprocess.Popen[bytes]]:
    """A process of the service's own, without anything that says whose it is."""
    with subprocess.Popen(["/bin/sleep", "600"], env={}, cwd="/", start_new_session=True) as child:
        yield child
        child.kill()


async def test_the_services_own_children_are_not_taken_for_helpers(
    start: Start, own_child: subprocess.Popen[bytes]
) -> None:
    async with start(programs.BARE) as process:
        await read_line(process)
        own_child.kill()
        os.waitid(os.P_PID, own_child.pid, os.WEXITED | os.WNOWAIT)  # noqa: ASYNC222  it was killed
        await process.usage()
        await process.stop(grace_s=5)
    assert own_child.wait() == -signal.SIGKILL


async def test_helpers_that_end_by_themselves_leave_no_zombie(start: Start) -> None:
    async with start(programs.SHORT_DAEMONS) as process:
        assert await read_line(process) == "up"
        await process.usage()
        # The last may have closed its pipe by then, and not yet have ended.
        with trio.fail_after(60):
            while zombies():
                await process.usage()


async def test_a_process_forked_on_sigterm_does_not_survive_stop(start: Start) -> None:
    async with start(programs.FORK_ON_TERM) as process:
        await read_line(process)
        await process.stop(grace_s=5)
        assert proctree.descendants(process.identity.pid) == []


async def test_cancellation_ends_the_tree(start: Start) -> None:
    with trio.CancelScope() as scope:
        async with start(programs.IGNORE_TERM) as process:
            await read_line(process)
            scope.cancel()
            await trio.sleep_forever()
    assert not proctree.is_alive(process.identity)


async def test_an_exception_in_the_body_ends_the_tree_and_goes_on(start: Start) -> None:
    with pytest.raises(ZeroDivisionError):
        async with start(programs.SLEEP) as process:
            raise ZeroDivisionError
    assert not proctree.is_alive(process.identity)


async def test_the_child_sees_nothing_of_the_service(start: Start, runtime: Runtime, project: Path) -> None:
    os.environ["SERVICE_ONLY"] = "secret"
    leaked = os.open("/dev/null", os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        async with start(programs.SHOW) as process:
            seen = json.loads(await read_all(process))
    finally:
        os.close(leaked)
        del os.environ["SERVICE_ONLY"]
    environment = seen["environment"]
    environment.pop("LC_CTYPE", None)  # set by Python itself (PEP 538)
    if runtime.name == "sandbox":
        # Bubblewrap tells where it has changed to, as shells do.
        assert environment.pop("PWD") == str(project)
    assert environment == {"ONLY": "this", "PREVIEW_INSTANCE_ID": "preview_test"}
    # Far above the others: see PlainRuntime's ``_inherited``.
    *standard, inherited = seen["fds"]
    assert standard == [0, 1, 2]
    assert inherited >= 64
    assert seen["stdin"] == "/dev/null"
    # In a namespace its first process may lead the session.
    assert seen["session"] in ({1, seen["pid"]} if isolates(runtime) else {seen["pid"]})
    assert seen["cwd"] == str(project)
    assert not seen["sigint_ignored"]


async def test_limits_and_no_new_privileges_hold_before_its_code_runs(start: Start, runtime: Runtime) -> None:
    async with start(programs.SHOW) as process:
        seen = json.loads(await read_all(process))
    assert seen["nofile"] == [200, 200]
    assert seen["fsize"] == [2**20, 2**20]
    assert seen["core"] == [0, 0]
    # A user of its own is counted by itself; the service's own user has other processes besides.
    if runtime.name == "container":
        # Behind the engine's limit; without a user of its own, beside the user's other processes.
        assert 64 <= seen["nproc"][0] < 2**20
    else:
        assert seen["nproc"][0] == 64 if isolates(runtime) else 64 < seen["nproc"][0] < 2**20
    assert seen["no_new_privs"] == "1"


async def test_a_process_that_serves_nothing_inherits_no_socket(runtime: Runtime, tmp_path: Path) -> None:
    spec = ProcessSpec("preview_test", [*PYTHON, programs.SHOW], tmp_path, {}, None, LIMITS, readable=INTERPRETER)
    async with runtime.open_process(spec) as process:
        assert json.loads(await read_all(process))["fds"] == [0, 1, 2]


async def test_the_sockets_number_stands_in_arguments_and_variables(
    runtime: Runtime, inherited: socket.socket, tmp_path: Path
) -> None:
    show = "import os, sys; print(sys.argv[1], os.environ['LISTENER'], os.fstat(int(sys.argv[1])).st_ino)"
    argv, variables = [*PYTHON, show, FD_PLACEHOLDER], {"LISTENER": f"{FD_PLACEHOLDER}:x"}
    spec = ProcessSpec("preview_test", argv, tmp_path, variables, inherited, LIMITS, readable=INTERPRETER)
    async with runtime.open_process(spec) as process:
        number, variable, inode = (await read_all(process)).split()
    assert variable == f"{number}:x"
    # In gVisor another socket stands for it.
    assert int(inode) == os.fstat(inherited.fileno()).st_ino or (runtime.name == "container" and is_gvisor())


async def test_the_pipe_of_the_log_stands_in_variables(runtime: Runtime, tmp_path: Path) -> None:
    show = "import os; print(os.environ['LOG'], *(f'{one.st_dev}:{one.st_ino}' for one in map(os.fstat, (1, 2))))"
    variables = {"LOG": LOG_PLACEHOLDER}
    spec = ProcessSpec("preview_test", [*PYTHON, show], tmp_path, variables, None, LIMITS, readable=INTERPRETER)
    async with runtime.open_process(spec) as process:
        assert len(set((await read_all(process)).split())) == 1


async def test_it_serves_on_the_inherited_socket(start: Start, listener: socket.socket) -> None:
    async with start(programs.SERVE, FD_PLACEHOLDER):
        stream = await trio.open_tcp_stream(*listener.getsockname())
        async with stream:
            assert await stream.receive_some() == b"served"


async def test_the_listener_stays_open_for_the_service(start: Start, listener: socket.socket) -> None:
    async with start(programs.EXIT_7) as process:
        await process.wait()
    assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) == 1


async def test_usage_counts_the_whole_tree(start: Start, manner: str) -> None:
    async with start(programs.GRANDCHILD) as process:
        await read_line(process)
        usage = await process.usage()
        again = await process.usage()
    # Of gVisor the machine sees threads alone.
    assert usage.processes == 2 or (manner == "container" and is_gvisor() and usage.processes > 0)
    assert usage.memory_bytes > 2**20
    assert usage.cpu_percent == 0.0
    assert again.cpu_percent >= 0.0


async def test_the_child_is_forked_by_the_thread_that_runs_trio(start: Start, manner: str) -> None:
    """PDEATHSIG follows the forking thread (STACK.md): one of trio's workers is retired after 10 s idle."""
    if manner in ("warm", "container"):
        pytest.skip("forks are the children of their template's keeper, containers of their engine: see test_warm_end")
    async with start(programs.SLEEP) as process:
        await read_line(process)
        async with await trio.open_file(f"/proc/self/task/{threading.get_native_id()}/children") as file:
            mine = await file.read()
        assert str(process.identity.pid) in mine.split()


async def test_the_leader_dies_with_the_service(manner: str, project: Path) -> None:
    """kill -9 of the service: the kernel kills the leader (PR_SET_PDEATHSIG), with a namespace all that is in it."""
    async with open_driver([sys.executable], manner, project, "IGNORE_TERM") as driver:
        descriptors = [os.pidfd_open(pid) for pid in driver.told["pids"]]
        os.kill(driver.told["service"], signal.SIGKILL)
        for descriptor in descriptors:
            await trio.lowlevel.wait_readable(descriptor)
            os.close(descriptor)


async def test_a_program_that_does_not_exist_is_a_failed_launch_and_leaves_nothing(
    runtime: Runtime, listener: socket.socket, tmp_path: Path
) -> None:
    spec = ProcessSpec(
        preview_id="preview_test",
        argv=["/nonexistent/program"],
        directory=tmp_path / "missing",
        environment={},
        listener=listener,
        limits=LIMITS,
    )
    try:
        async with runtime.open_process(spec) as process:
            said, ended = await read_all(process), await process.wait()
    except LaunchFailed:
        return
    # A service that gives its folders to nobody does not look at them: bubblewrap does.
    assert (isolates(runtime), os.geteuid() == 0) == (True, False)
    assert "No such file or directory" in said
    assert ended == Exit(code=127 if runtime.name == "container" else 1)


async def test_a_runtime_says_what_it_holds(runtime: Runtime) -> None:
    said = runtime.describe()
    assert {"processes", "privileges", "files", "network", "limits"} <= said.keys()
    assert runtime.name


async def test_what_is_left_while_no_descriptor_is_free_is_ended_a_moment_later(start: Start) -> None:
    async with trio.open_nursery() as nursery, start(programs.IGNORE_TERM) as process:
        await read_line(process)
        await nursery.start(no_descriptor_for_a_moment)
    assert not proctree.is_alive(process.identity)


COUNTS_TERM = """
import signal, sys, time
def told(*_):
    print('told', flush=True)
    time.sleep(0.2)
    sys.exit(3)
signal.signal(signal.SIGTERM, told)
print('up', flush=True)
while True: time.sleep(60)
"""


async def test_what_is_stopped_while_no_descriptor_is_free_is_asked_once_and_has_its_time(start: Start) -> None:
    async with trio.open_nursery() as nursery, start(COUNTS_TERM) as process:
        assert await read_line(process) == "up"
        await nursery.start(no_descriptor_for_a_moment)
        assert await process.stop(20) == Exit(code=3)
        assert await read_all(process) == "told\n"


async def test_several_wait_for_the_end_while_no_descriptor_is_free(start: Start) -> None:
    async with trio.open_nursery() as nursery, start(programs.EXIT_7) as process:
        await nursery.start(no_descriptor_for_a_moment)
        assert await process.wait() == Exit(code=7)
