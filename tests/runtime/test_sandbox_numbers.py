"""Every way into the kernel that a preview has, by its number: what is not on the list of system calls is refused."""

from __future__ import annotations

import errno
import json
import platform
import signal
import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pyseccomp  # type: ignore[import-untyped]
import pytest
import sandbox_programs as programs
from engine_kit import is_gvisor
from runtime_fixtures import starter
from runtime_kit import Start, read_all
from runtime_warm import open_texts

from preview.errors import ConfigurationError
from preview.runtime import Runtime, SandboxRuntime
from preview.runtime.sandbox.filter import (
    ALLOWED,
    ANSWERED,
    REFUSED,
    SANDBOX_BREAKING,
    check_extra_calls,
    compile_filter,
)

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86-64")

_X32 = 1 << 30
_MOST = 600
# uretprobe(2), uprobe: newer kernels look at no filter for them (kernel/seccomp.c, seccomp_uprobe_exception), and end
# or refuse whoever calls them from anywhere but where a tracer of the machine has put them.
_PAST_FILTERS = (335, 336)
# asm/unistd_64.h: calls that the list names and refuses, and those that it does not name.
_DENIED = (
    *(("ptrace", 101), ("syslog", 103), ("modify_ldt", 154), ("pivot_root", 155), ("adjtimex", 159), ("chroot", 161)),
    *(("mount", 165), ("umount2", 166), ("swapon", 167), ("reboot", 169), ("init_module", 175), ("mbind", 237)),
    *(("set_mempolicy", 238), ("get_mempolicy", 239), ("kexec_load", 246), ("add_key", 248), ("keyctl", 250)),
    *(("unshare", 272), ("perf_event_open", 298), ("name_to_handle_at", 303), ("open_by_handle_at", 304)),
    *(("clock_adjtime", 305), ("setns", 308), ("process_vm_readv", 310), ("process_vm_writev", 311), ("kcmp", 312)),
    *(("bpf", 321), ("userfaultfd", 323), ("open_tree", 428), ("move_mount", 429), ("fsopen", 430)),
    *(("pidfd_getfd", 438), ("process_madvise", 440), ("mount_setattr", 442), ("memfd_secret", 447)),
    ("set_mempolicy_home_node", 450),
)
_UNKNOWN = (
    *(("ustat", 136), ("sysfs", 139), ("io_uring_setup", 425), ("io_uring_enter", 426), ("io_uring_register", 427)),
    *(("clone3", 435), ("lsm_get_self_attr", 459), ("file_getattr", 468), ("file_setattr", 469)),
    ("one that is yet to come", 480),
)


async def tried(start: Start, way: str, numbers: list[int]) -> list[tuple[int, int, int]]:
    """Number, signal that ended it or 0, error number or 0."""
    async with start(programs.WAYS_IN, way, json.dumps(numbers)) as process:
        return [(number, ended, code) for number, ended, code in json.loads(await read_all(process))]


async def answers(start: Start, calls: tuple[tuple[str, int], ...]) -> dict[str, tuple[int, int]]:
    names = {number: name for name, number in calls}
    return {names[number]: (ended, code) for number, ended, code in await tried(start, "plain", list(names))}


async def test_no_call_but_the_listed_ones_passes(start_caged: Start) -> None:
    known = {pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) for name in (*ALLOWED, *ANSWERED)}
    wanted = [number for number in range(_MOST) if number not in {*known, *_PAST_FILTERS}]
    denied = {pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) for name in REFUSED}
    found = await tried(start_caged, "plain", wanted)
    assert len(found) == len(wanted) > _MOST - len(known)
    expected = {number: (0, errno.EPERM if number in denied else errno.ENOSYS) for number in wanted}
    assert {number: (ended, code) for number, ended, code in found if (ended, code) != expected[number]} == {}


async def test_a_call_that_is_known_and_denied_says_so(start_caged: Start) -> None:
    assert await answers(start_caged, _DENIED) == dict.fromkeys(dict(_DENIED), (0, errno.EPERM))


async def test_a_call_that_nobody_has_looked_at_is_absent(start_caged: Start) -> None:
    assert await answers(start_caged, _UNKNOWN) == dict.fromkeys(dict(_UNKNOWN), (0, errno.ENOSYS))


@pytest.mark.parametrize(("way", "first"), [pytest.param("plain", _X32, id="x32"), pytest.param("i386", 0, id="i386")])
async def test_the_machines_other_ways_in_end_the_program(start_caged: Start, cage: str, way: str, first: int) -> None:
    if way == "i386" and cage == "container" and is_gvisor():
        pytest.skip("it leads to gVisor, as any other call: test_the_32_bit_way_in_leads_to_gvisor_under_the_same_list")
    found = await tried(start_caged, way, [first + number for number in range(_MOST)])
    assert len(found) == _MOST
    assert {number: (ended, code) for number, ended, code in found if ended != signal.SIGSYS} == {}


@pytest.mark.parametrize("manner", ["cold", "warm"])
async def test_what_an_operator_allows_besides_is_let_through(
    sandbox: SandboxRuntime, listener: socket.socket, project: Path, manner: str
) -> None:
    parts, calls = sandbox.parts, check_extra_calls(["kcmp", "ptrace"])
    wider = SandboxRuntime(parts.etc, own_users=parts.own_users, calls=calls, broker=sandbox._broker)
    async with AsyncExitStack() as stack:
        runtime: Runtime = wider if manner == "cold" else await stack.enter_async_context(open_texts(wider))
        found = await answers(starter(runtime, listener, project), _DENIED)
    let_through = {name for name, answer in found.items() if answer != (0, errno.EPERM)}
    # ESRCH: a process of this number is looked for.
    assert let_through == {"kcmp", "ptrace"}
    assert found["kcmp"] == (0, errno.ESRCH)


@pytest.mark.parametrize("name", sorted(SANDBOX_BREAKING))
def test_no_setting_allows_what_would_undo_the_sandbox(name: str) -> None:
    with pytest.raises(ConfigurationError, match="would undo the sandbox"):
        check_extra_calls([name])


def test_a_setting_with_a_name_that_is_no_call_is_an_error() -> None:
    with pytest.raises(
        ConfigurationError, match="PREVIEW_SYSCALLS_ALLOWED names ptrase, which libseccomp does not know"
    ):
        check_extra_calls(["ptrase"])
    assert check_extra_calls(["ptrace", "kcmp"]) == {"ptrace", "kcmp"}


def test_filters_of_all_kinds_fit_into_the_kernels_bound() -> None:
    """bpf_common.h, BPF_MAXINSNS: 4096 instructions of 8 bytes; templates and their forks count together."""
    extra = frozenset({"ptrace"})
    kinds = [
        compile_filter(),
        compile_filter(for_template=True),
        compile_filter(lasts=True),
        compile_filter(alone=True),
    ]
    assert max(map(len, [*kinds, compile_filter(also_allowed=extra)])) < 1024 * 8
