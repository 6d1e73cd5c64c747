"""Only what the kernel has shown to be the service's may be moved or killed: no number passes for it."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from runtime_kit import open_descriptors

import preview
from preview.runtime.cgroups import Cgroup
from preview.runtime.interface import ProcessIdentity
from preview.runtime.kernel import proctree, verified
from preview.runtime.kernel.verified import (
    NotVerified,
    OpenProcess,
    VerifiedProcess,
    as_known,
    find_living,
    verify,
)
from preview.runtime.process.ending import ask_group_to_end, end_all
from preview.runtime.process.process import TreeProcess
from preview.runtime.warm.forks.process import Fork

PACKAGE = Path(preview.__file__).parent
# Who may have a process verified, and so say what it has to be: each names the object of the service's own in which it
# is found.
MAKERS = {
    # The sender that the kernel attached to a message, or the peer of a connection: its control group and namespaces.
    # Of gVisor, its sandbox beside that peer.
    "verify": {"runtime/container/joining.py", "runtime/container/gvisor/meeting.py", "runtime/warm/origin.py"},
    # A control group; children of a process that was started here; an earlier run's rows and marks.
    "find_living": {
        "runtime/cgroups/group.py",
        "runtime/cgroups/tree.py",
        "runtime/process/ending.py",
        "runtime/process/freezing.py",
        "runtime/sandbox/process.py",
        "runtime/warm/template_process.py",
    },
    # What was found so before, by pid and start time: below a leader that was started here, or its orphan.
    "as_known": {"runtime/process/membership.py", "runtime/sandbox/process.py", "runtime/warm/forks/process.py"},
}


@contextmanager
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-I", "-S", "-c", "import time; time.sleep(600)"]) as process:
        try:
            yield process
        finally:
            process.kill()


def modules_with(text: str) -> set[str]:
    """Modules of the product in which this stands."""
    return {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if text in path.read_text("utf-8")}


# They run in a sandbox of E2B, and in a container: a number there means a process inside.
INSIDE = ("http/e2b/inside/keeper.py", "runtime/container/inside/preview_join.py")
# In a container of gVisor all others end, and no number is named.
ALL_OTHERS = "runtime/container/inside/preview_meet.py"


def test_nothing_else_makes_a_verified_process() -> None:
    home = {str(Path(verified.__file__).relative_to(PACKAGE))}
    assert modules_with("OpenProcess(") | modules_with("VerifiedProcess(") == home
    assert modules_with("_MAKER)") == home
    # A worker's comes from the process that forked it, in which no stranger's code runs and no stranger's file is read.
    assert modules_with("signal.pidfd_send_signal(") == {*home, "worker/forked.py"}
    # What has a number of its own, for as long as it is not reaped: a child that was started by this very module.
    assert modules_with("os.killpg(") == {
        "environments/sandbox/program.py",
        *INSIDE,
        "runtime/process/ending.py",
        "runtime/process/process.py",
    }
    # Freezing wakes by number what it has stopped, when no descriptor is free: SIGCONT does nothing to what runs.
    # A container's process is asked with signal 0, which sends nothing, whether it may be signalled.
    assert modules_with("os.kill(") == {
        *INSIDE,
        ALL_OTHERS,
        "runtime/container/process.py",
        "runtime/process/ending.py",
        "runtime/process/freezing.py",
        "runtime/warm/template/preview_pages.py",
    }
    imports = [
        (module, alias.name)
        for module in modules_with("verified")
        for node in ast.walk(ast.parse((PACKAGE / module).read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module in ("preview.runtime", "preview.runtime.kernel.verified")
        for alias in node.names
    ]
    assert "verified" not in {name for _, name in imports}
    made = {function: {module for module, name in imports if name == function} for function in MAKERS}
    assert made == MAKERS


def test_none_is_made_without_the_modules_own_mark() -> None:
    identity = proctree.identify(os.getpid())
    assert identity is not None
    with pytest.raises(TypeError):
        VerifiedProcess(identity, object())  # type: ignore[arg-type]  # the point


async def refused_by_the_type_checker(group: Cgroup, pidfd: int, identity: ProcessIdentity, tree: TreeProcess) -> None:
    """Never called: the type checker fails on an ignore that nothing needs, so where a number would do."""
    group.enter(os.getpid())  # type: ignore[arg-type]
    group.enter(pidfd)  # type: ignore[arg-type]
    Fork(pidfd, pidfd, group)  # type: ignore[arg-type]
    ask_group_to_end(os.getpid())  # type: ignore[arg-type]
    ask_group_to_end(identity)  # type: ignore[arg-type]
    tree._ask_each([os.getpid()])  # type: ignore[list-item]
    tree._ask_each([identity])  # type: ignore[list-item]

    async def pids() -> list[int]:
        return [os.getpid()]

    await end_all(pids)  # type: ignore[arg-type]
    await end_all(tree._orphans, [identity])  # type: ignore[list-item]
    identity.kill()  # type: ignore[attr-defined]


WRONG = """
from preview.runtime.process.ending import ask_group_to_end, end_all
from preview.runtime.cgroups import Cgroup

def pid(group: Cgroup) -> None:
    group.enter(1)

def pidfd(group: Cgroup) -> None:
    ask_group_to_end(3)
"""


@pytest.mark.long
def test_a_number_does_not_type_check(tmp_path: Path) -> None:
    """Besides what stands above, of which the whole project's check says so: the checker's own words."""
    file = tmp_path / "wrong.py"
    file.write_text(WRONG)
    command = [sys.executable, "-m", "mypy", "--no-error-summary", str(file)]
    done = subprocess.run(command, cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert [line.partition("error: ")[2] for line in done.stdout.splitlines()] == [
        'Argument 1 to "enter" of "Cgroup" has incompatible type "int"; expected "OpenProcess"  [arg-type]',
        'Argument 1 to "ask_group_to_end" has incompatible type "int"; expected "VerifiedProcess"  [arg-type]',
    ]


def test_what_leaves_the_object_between_two_looks_is_not_found() -> None:
    """Its number may be another's by then."""
    with sleeper() as process, sleeper() as other:
        looks = iter([[process.pid, other.pid], [other.pid]])
        assert [one.pid for one in find_living(lambda: next(looks))] == [other.pid]


def test_one_that_is_known_is_killed_and_none_of_another_start() -> None:
    with sleeper() as process:
        identity = proctree.identify(process.pid)
        assert identity is not None
        for one in as_known([replace(identity, start_ticks=identity.start_ticks + 1), replace(identity, boot_id="x")]):
            one.kill()
        assert process.poll() is None
        (same,) = as_known([identity])
        same.kill()
        assert process.wait(10) == -signal.SIGKILL


@pytest.mark.parametrize("pid", [0, -1, 2**22, 2**31 - 1])
def test_a_number_that_is_nobodys_is_refused(pid: int) -> None:
    before = open_descriptors()
    with pytest.raises(NotVerified):
        verify(pid, lambda _pid: None)
    assert open_descriptors() <= before


def test_the_service_itself_is_refused_whatever_is_found_of_it() -> None:
    with pytest.raises(NotVerified, match="names the service itself"):
        verify(os.getpid(), lambda _pid: None)


def test_what_has_a_fault_or_cannot_be_looked_at_is_refused_and_unharmed() -> None:
    before = open_descriptors()
    with sleeper() as process:
        with pytest.raises(NotVerified, match="it is blue"):
            verify(process.pid, lambda _pid: "it is blue")

        def fails(_pid: int) -> str:
            raise PermissionError

        with pytest.raises(NotVerified, match="cannot be looked at"):
            verify(process.pid, fails)
        assert process.poll() is None
    assert open_descriptors() <= before


def test_what_ends_while_it_is_looked_at_is_refused() -> None:
    """Its number may be another's by the time it is looked at."""
    with sleeper() as process:

        def ends(_pid: int) -> None:
            process.kill()
            process.wait()

        with pytest.raises(NotVerified, match="ended"):
            verify(process.pid, ends)


def test_a_kill_ends_that_process_and_none_that_has_its_number_later() -> None:
    with sleeper() as process, closing(verify(process.pid, lambda _pid: None)) as one:
        assert isinstance(one, OpenProcess)
        assert not one.has_ended
        with closing(one.dup()) as same:
            same.kill()
            process.wait()
        assert one.has_ended
        one.kill()
