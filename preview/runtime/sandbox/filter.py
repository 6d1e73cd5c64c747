"""The filter of system calls that a sandboxed process and all below it run under: an allow list.

What stands on no list of ``calls`` is absent (ENOSYS): a call of a newer kernel that nobody has looked at, and one that
programs look for and do without. What is known and denied is refused (EPERM). Some of the allowed ones are refused by
their arguments: new namespaces, terminal input, sockets of other families than the usual ones, another personality.

Calls that wait until the disk has what was written are answered at once, and nothing is done: a preview's files end
with it, and outlast neither the machine nor a loss of power anyway. A database that is made again waits for the disk
with each of its tables; and one ``sync`` would have everybody wait (as systemd-nspawn(1), ``--suppress-sync``).

libseccomp compiles two programs, one of arguments and one of names, as a rule of it is of one answer where it matches
and the filter's default elsewhere. They are put one behind the other: where the first would allow, the second decides.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any

from preview.errors import ConfigurationError
from preview.runtime.sandbox.calls import ALLOWED, ANSWERED, FOR_FORKS, REFUSED, SANDBOX_BREAKING

# clone(2), unshare(2): linux/sched.h
_NAMESPACES = (
    0x00000080,  # CLONE_NEWTIME
    0x00020000,  # CLONE_NEWNS
    0x02000000,  # CLONE_NEWCGROUP
    0x04000000,  # CLONE_NEWUTS
    0x08000000,  # CLONE_NEWIPC
    0x10000000,  # CLONE_NEWUSER
    0x20000000,  # CLONE_NEWPID
    0x40000000,  # CLONE_NEWNET
)
# asm-generic/ioctls.h: what puts characters into a terminal's input (CVE-2017-5226).
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_REQUEST_MASK = 0xFFFFFFFF
# personality(2): tells which it is, and changes nothing.
_ASKS = 0xFFFFFFFF
# Local, IPv4, IPv6, and asking for network interfaces (getifaddrs(3)). AF_VSOCK reaches a virtual machine's host from
# any network namespace; others are kernel code that nobody looks at.
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
# linux/filter.h: struct sock_filter; linux/bpf_common.h: "return this constant", "jump so many further".
_INSTRUCTION = struct.Struct("=HBBI")
_RETURN, _JUMP = 0x06, 0x05
# seccomp_attr_set(3): SCMP_FLTATR_CTL_OPTIMIZE, a binary tree of numbers in place of a list; libseccomp 2.5.
_BINARY_TREE = 2


@lru_cache(maxsize=8)
def compile_filter(
    *, for_template: bool = False, lasts: bool = False, also_allowed: frozenset[str] = frozenset()
) -> bytes:
    """The filter for this machine's architecture, as the kernel takes it (an array of ``struct sock_filter``).

    Args:
        for_template: Whether it is for a process whose forks go into sandboxes of their own.
        lasts: Whether what is written outlasts the program: then it may wait for the disk.
        also_allowed: Names that the operator allows besides; checked by ``check_extra_calls``.

    Raises:
        ConfigurationError: libseccomp is not installed.
    """
    seccomp = _library()
    allowed = {*ALLOWED, *also_allowed, *(ANSWERED if lasts else ()), *(FOR_FORKS if for_template else ())}
    names = seccomp.SyscallFilter(seccomp.ERRNO(errno.ENOSYS))
    # An older libseccomp compares with one number after the other: the answers are the same.
    with suppress(OSError, ValueError):
        names.set_attr(seccomp.Attr.CTL_OPTIMIZE, _BINARY_TREE)
    _add(seccomp, names, seccomp.ALLOW, sorted(allowed))
    _add(seccomp, names, seccomp.ERRNO(errno.EPERM), [name for name in REFUSED if name not in allowed])
    _add(seccomp, names, seccomp.ERRNO(0), [name for name in ANSWERED if name not in allowed])
    return _chained(_exported(_arguments(seccomp)), _exported(names), seccomp.ALLOW)


def check_extra_calls(names: Iterable[str]) -> frozenset[str]:
    """The names of system calls that an operator allows besides.

    Raises:
        ConfigurationError: One would undo the sandbox, or this machine knows none of that name; or libseccomp, which
            knows them, is not installed.
    """
    for name in sorted(names):
        if name in SANDBOX_BREAKING:
            raise ConfigurationError(
                f"PREVIEW_SYSCALLS_ALLOWED names {name}, which would undo the sandbox: take it out."
            )
        if _number(_library(), name) < 0:
            raise ConfigurationError(
                f"PREVIEW_SYSCALLS_ALLOWED names {name}, which is no system call of this machine that libseccomp "
                "knows: check its spelling (syscalls(2)), or install a newer libseccomp2."
            )
    return frozenset(names)


def _library() -> Any:
    try:
        import pyseccomp  # type: ignore[import-untyped]  # noqa: PLC0415  loads the library when it is imported
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigurationError("libseccomp is missing; install the package libseccomp2.") from error
    return pyseccomp


def _number(seccomp: Any, name: str) -> int:
    """Negative: another architecture's, or one that this libseccomp does not know."""
    number: int = seccomp.resolve_syscall(seccomp.Arch.NATIVE, name)
    return number


def _add(seccomp: Any, rules: Any, action: int, names: Iterable[str], *conditions: object) -> None:
    for name in names:
        # What this machine does not know cannot be called by its name, and is absent by its number.
        if _number(seccomp, name) >= 0:
            rules.add_rule(action, name, *conditions)


def _arguments(seccomp: Any) -> Any:
    """Refuses by arguments, and allows all else."""
    rules = seccomp.SyscallFilter(seccomp.ALLOW)

    def refuse(name: str, *conditions: object) -> None:
        _add(seccomp, rules, seccomp.ERRNO(errno.EPERM), [name], *conditions)

    for flag in _NAMESPACES:
        refuse("clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    for request in (_TIOCSTI, _TIOCLINUX):
        refuse("ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, _REQUEST_MASK, request))
    refuse("personality", seccomp.Arg(0, seccomp.NE, _ASKS))
    for family in range(max(_FAMILIES)):
        if family not in _FAMILIES:
            refuse("socket", seccomp.Arg(0, seccomp.EQ, family))
    refuse("socket", seccomp.Arg(0, seccomp.GT, int(max(_FAMILIES))))
    # The rest of netlink speaks to parts of the kernel that have no business here; 0 is NETLINK_ROUTE.
    refuse("socket", seccomp.Arg(0, seccomp.EQ, int(socket.AF_NETLINK)), seccomp.Arg(2, seccomp.NE, 0))
    return rules


def _exported(rules: Any) -> bytes:
    descriptor = os.memfd_create("filter", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "rb+") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def _chained(first: bytes, second: bytes, allow: int) -> bytes:
    """One program: where the first would allow, the second decides. Each loads what it compares with by itself."""
    size = _INSTRUCTION.size
    steps = [_INSTRUCTION.unpack_from(first, offset) for offset in range(0, len(first), size)]
    return (
        b"".join(
            _INSTRUCTION.pack(_JUMP, 0, 0, len(steps) - at - 1)
            if step == (_RETURN, 0, 0, allow)
            else _INSTRUCTION.pack(*step)
            for at, step in enumerate(steps)
        )
        + second
    )
