"""The filter of system calls that a sandboxed process and all below it run under.

It refuses what a web application has no use for and what has let programs out of namespaces before: new namespaces,
mounts, kernel modules, BPF, keys, other processes' memory, io_uring, sockets of other families than the usual ones.
The list follows what Docker's default profile refuses (docs.docker.com, "Seccomp security profiles for Docker"), and
flatpak's. A refused call gives EPERM, or ENOSYS where programs look for that and fall back on another way.

Calls that wait until the disk has what was written are answered at once, and nothing is done: a preview's files end
with it, and outlast neither the machine nor a loss of power anyway. A database that is made anew waits for the disk
with each of its tables; and one ``sync`` would have everybody wait (as systemd-nspawn(1), ``--suppress-sync``).
"""

from __future__ import annotations

import errno
import os
import socket
from functools import lru_cache

from preview.errors import ConfigurationError

__all__ = ["compile_filter"]

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

_REFUSED = (
    # The view of files and the namespaces
    *("mount", "umount", "umount2", "pivot_root", "chroot", "setns", "unshare", "move_mount", "open_tree"),
    *("fsopen", "fsconfig", "fsmount", "fspick"),
    *("mount_setattr", "name_to_handle_at", "open_by_handle_at", "fanotify_init", "quotactl", "quotactl_fd"),
    # The kernel itself
    *("init_module", "finit_module", "delete_module", "create_module", "query_module", "kexec_load"),
    *("kexec_file_load", "reboot", "swapon", "swapoff"),
    *("syslog", "acct", "bpf", "perf_event_open", "lookup_dcookie", "nfsservctl", "uselib", "iopl", "ioperm"),
    *("vm86", "vm86old", "modify_ldt"),
    *("settimeofday", "clock_settime", "clock_settime64", "adjtimex", "clock_adjtime", "clock_adjtime64", "stime"),
    *("sethostname", "setdomainname"),
    # Other processes, and memory that is handled from outside
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd", "kcmp", "userfaultfd"),
    *("move_pages", "migrate_pages"),
    *("mbind", "set_mempolicy"),
    # Keys belong to the user, not to a namespace
    *("add_key", "request_key", "keyctl"),
)
# What a template's forks go into sandboxes of their own with. Theirs forbids it in turn, as filters only add up.
_FOR_FORKS = frozenset({"unshare", "mount", "move_mount", "open_tree"})
# Looked for and done without: glibc falls back to clone(2), libuv to a pool of threads.
_ABSENT = ("clone3", "io_uring_setup", "io_uring_enter", "io_uring_register")
_ANSWERED = ("fsync", "fdatasync", "sync", "syncfs", "sync_file_range")
# Local, IPv4, IPv6, and asking for network interfaces (getifaddrs(3)). AF_VSOCK reaches a virtual machine's host from
# any network namespace; others are kernel code that nobody looks at.
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
_HIGHEST_FAMILY = 64


@lru_cache(maxsize=3)
def compile_filter(*, for_template: bool = False, lasts: bool = False) -> bytes:
    """The filter for this machine's architecture, as the kernel takes it (an array of ``struct sock_filter``).

    Args:
        for_template: Whether it is for a process whose forks go into sandboxes of their own.
        lasts: Whether what is written outlasts the program: then it may wait for the disk.

    Raises:
        ConfigurationError: libseccomp is not installed.
    """
    try:
        import pyseccomp  # type: ignore[import-untyped]  # noqa: PLC0415  loads the library when it is imported
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigurationError("libseccomp is missing; install the package libseccomp2.") from error
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    refused, absent = pyseccomp.ERRNO(errno.EPERM), pyseccomp.ERRNO(errno.ENOSYS)
    answered = pyseccomp.ERRNO(0)

    def add(action: int, name: str, *conditions: object) -> None:
        # A call that this architecture (or this libseccomp) does not know cannot be made under its name either.
        if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0:
            rules.add_rule(action, name, *conditions)

    for name in _REFUSED:
        if not (for_template and name in _FOR_FORKS):
            add(refused, name)
    for name in _ABSENT:
        add(absent, name)
    for name in () if lasts else _ANSWERED:
        add(answered, name)
    for flag in _NAMESPACES:
        add(refused, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, flag, flag))
    for request in (_TIOCSTI, _TIOCLINUX):
        add(refused, "ioctl", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, _REQUEST_MASK, request))
    for family in range(_HIGHEST_FAMILY):
        if family not in _FAMILIES:
            add(refused, "socket", pyseccomp.Arg(0, pyseccomp.EQ, family))
    add(refused, "socket", pyseccomp.Arg(0, pyseccomp.GE, _HIGHEST_FAMILY))
    # The rest of netlink speaks to parts of the kernel that have no business here; 0 is NETLINK_ROUTE.
    add(refused, "socket", pyseccomp.Arg(0, pyseccomp.EQ, int(socket.AF_NETLINK)), pyseccomp.Arg(2, pyseccomp.NE, 0))
    descriptor = os.memfd_create("filter", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "rb+") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
