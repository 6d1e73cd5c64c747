"""The filter of system calls, each call made by its number in a sandbox; and how a sandboxed program ends."""

from __future__ import annotations

import errno
import json
import os
import platform
import signal
import socket
from pathlib import Path

import pyseccomp  # type: ignore[import-untyped]
import pytest
import sandbox_programs as programs
import trio
from engine_kit import is_gvisor
from runtime_kit import Start, application, open_driver, read_all, read_line, unprivileged_python

from preview.runtime import Exit, SandboxRuntime
from preview.runtime.kernel import proctree
from preview.runtime.sandbox.filter import _FAMILIES, _NAMESPACES, ANSWERED, REFUSED

_SIGCHLD = int(signal.SIGCHLD)
_ABSENT = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register")


def numbers(names: tuple[str, ...]) -> dict[str, int]:
    found = {name: pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) for name in names}
    # Negative: another architecture's call, or one that this libseccomp does not know.
    return {name: number for name, number in found.items() if number >= 0}


async def called(start: Start, calls: list[tuple[str, int, list[int]]]) -> dict[str, int]:
    async with start(programs.CALL, json.dumps(calls)) as process:
        found: dict[str, int] = json.loads(await read_all(process))
    return found


async def test_each_refused_call_is_refused(start_caged: Start) -> None:
    wanted = numbers(REFUSED)
    assert {"mount", "ptrace", "bpf", "setns", "keyctl", "unshare", "process_vm_readv"} <= wanted.keys()
    # -1 everywhere: were a call let through, it would do nothing and say EBADF, EFAULT or EINVAL.
    found = await called(start_caged, [(name, number, [-1] * 6) for name, number in wanted.items()])
    assert {name: code for name, code in found.items() if code != errno.EPERM} == {}


async def test_calls_that_programs_do_without_are_absent(start_caged: Start) -> None:
    found = await called(start_caged, [(name, number, [-1] * 6) for name, number in numbers(_ABSENT).items()])
    assert {name: code for name, code in found.items() if code != errno.ENOSYS} == {}


async def test_nobody_waits_for_the_disk(start_caged: Start) -> None:
    # Were a call let through, it would say EBADF.
    found = await called(start_caged, [(name, number, [-1] * 6) for name, number in numbers(ANSWERED).items()])
    assert "fdatasync" in found
    assert set(found.values()) == {0}


@pytest.mark.parametrize("flag", _NAMESPACES, ids=hex)
async def test_clone_makes_no_namespace(start_caged: Start, flag: int) -> None:
    found = await called(start_caged, [("clone", numbers(("clone",))["clone"], [flag | _SIGCHLD, 0, 0, 0, 0])])
    assert found == {"clone": errno.EPERM}


async def test_a_program_changes_no_personality_and_may_ask_for_it(start_caged: Start, cage: str) -> None:
    number = numbers(("personality",))["personality"]
    # linux/personality.h: READ_IMPLIES_EXEC, PER_LINUX32, and 0xffffffff, which asks.
    found = await called(start_caged, [(hex(one), number, [one]) for one in (0x0400000, 8, 0, 0xFFFFFFFF)])
    # gVisor's kernel does not know this question.
    assert found.pop("0xffffffff") == (errno.EINVAL if cage == "container" and is_gvisor() else 0)
    assert found == {"0x400000": errno.EPERM, "0x8": errno.EPERM, "0x0": errno.EPERM}


@pytest.mark.parametrize("number", [0x5412, 0x541C, 0x5412 | 1 << 32], ids=["TIOCSTI", "TIOCLINUX", "high bits"])
async def test_nothing_is_put_into_a_terminals_input(start_caged: Start, number: int) -> None:
    """The kernel looks at the lower 32 bits only (CVE-2019-10063)."""
    found = await called(start_caged, [("ioctl", numbers(("ioctl",))["ioctl"], [0, number, 0])])
    assert found == {"ioctl": errno.EPERM}


async def test_sockets_are_of_the_usual_families_only(start_caged: Start) -> None:
    unusual = [family for family in range(64) if family not in _FAMILIES]
    # A raw netlink socket; 0 is NETLINK_ROUTE, 16 NETLINK_GENERIC.
    wanted = [*((family, socket.SOCK_STREAM, 0) for family in unusual), (socket.AF_NETLINK, socket.SOCK_RAW, 16)]
    async with start_caged(programs.SOCKETS, json.dumps([[int(one) for one in each] for each in wanted])) as process:
        found = json.loads(await read_all(process))
    assert set(found.values()) == {errno.EPERM}


async def test_the_usual_families_are_allowed(start_caged: Start) -> None:
    usual = [[int(one), int(socket.SOCK_STREAM), 0] for one in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6)]
    usual.append([int(socket.AF_NETLINK), int(socket.SOCK_RAW), 0])
    async with start_caged(programs.SOCKETS, json.dumps(usual)) as process:
        found = json.loads(await read_all(process))
    assert set(found.values()) == {0}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the x32 and i386 ways in exist on x86-64 only")
async def test_the_machines_other_ways_into_the_kernel_lead_nowhere(start_caged: Start) -> None:
    """x32 calls have bit 30 set; were they not looked at, ``mount`` by that number would pass the filter."""
    x32 = 1 << 30
    async with start_caged(
        programs.CALL, json.dumps([["mount", numbers(("mount",))["mount"] | x32, [0] * 5]])
    ) as process:
        text = await read_all(process)
        ended = await process.wait()
    assert ended == Exit(signal=signal.SIGSYS) or json.loads(text)["mount"] in (errno.EPERM, errno.ENOSYS)


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT, signal.SIGKILL, signal.SIGTERM])
async def test_the_signal_that_ended_it_is_told(start_caged: Start, number: signal.Signals) -> None:
    async with start_caged(programs.EXIT_BY_SIGNAL, str(int(number))) as process:
        assert await process.wait() == Exit(signal=number)


@pytest.mark.parametrize("code", [0, 1, 100, 255])
async def test_the_exit_code_is_told_through_all_that_is_around_it(start_caged: Start, code: int) -> None:
    async with start_caged(f"raise SystemExit({code})") as process:
        assert await process.wait() == Exit(code=code)


async def test_stop_reaches_the_program_and_not_bubblewrap(start_caged: Start) -> None:
    async with start_caged(programs.SELF_TERM) as process:
        assert await read_line(process) == "up"
        assert await process.stop(grace_s=10) == Exit(code=3)
        assert await read_all(process) == str(int(signal.SIGTERM))


async def test_the_end_of_the_program_is_the_end_of_all_in_its_namespace(start_caged: Start) -> None:
    async with start_caged(programs.LEAVE_DAEMON) as process:
        await read_line(process)
        leader, inside = process.identity.pid, application(process)
        descriptors = [os.pidfd_open(pid) for pid in proctree.descendants(leader)]
        os.kill(inside, signal.SIGTERM)
        for descriptor in descriptors:
            await trio.lowlevel.wait_readable(descriptor)
            os.close(descriptor)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody without rights")
async def test_a_service_without_rights_sandboxes_in_one_step(sandbox: SandboxRuntime, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    os.chown(project, 65534, 65534)
    for folder in (project, *(one for one in project.parents if one.stat().st_mode & 0o777 == 0o700)):
        folder.chmod(0o755)
    async with open_driver(unprivileged_python(), "sandbox", project, "IGNORE_TERM") as driver:
        assert (driver.told["uid"], driver.told["said"]) == (65534, "up")
        # Bubblewrap, the namespace's first process, the program.
        assert len(driver.told["pids"]) == 3
        descriptors = [os.pidfd_open(pid) for pid in driver.told["pids"]]
        os.kill(driver.told["service"], signal.SIGKILL)
        for descriptor in descriptors:
            await trio.lowlevel.wait_readable(descriptor)
            os.close(descriptor)
