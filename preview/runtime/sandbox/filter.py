"""The filter of system calls that a sandboxed process and all below it run under: an allow list.

What stands on no list of ``calls`` is absent (ENOSYS): a call of a newer kernel that nobody has looked at, and one that
programs look for and do without. What is known and denied is refused (EPERM). Some of the allowed ones are refused by
their arguments: new namespaces, terminal input, sockets of other families than the usual ones, another personality.

Calls that wait until the disk has what was written are answered at once, and nothing is done: a preview's files end
with it, and outlast neither the machine nor a loss of power anyway. A database that is made again waits for the disk
with each of its tables; and one ``sync`` would have everybody wait (as systemd-nspawn(1), ``--suppress-sync``).

libseccomp compiles two programs, one of arguments and one of names, as a rule of it is of one answer where it matches
and the filter's default elsewhere. They are put one behind the other: where the first would allow, the second decides.

The system calls of sandboxed programs, by name: an allow list, and what is refused by name.

The base is the default profile of container runtimes (github.com/moby/profiles, seccomp/default.json, read at commit
cd3bed8), as it is for a container without capabilities. Taken away from it: what no web application needs and what
reaches further than one process (``REFUSED`` and ``SANDBOX_BREAKING`` below), and asking for the kernel's time offsets.
Names that only other architectures or newer versions of libseccomp know are skipped.
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

_FILES = """
    access cachestat chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
    fadvise64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fgetxattr flistxattr flock fremovexattr
    fsetxattr fstat fstatfs ftruncate futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch
    inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit ioctl
    lchown lgetxattr link linkat listmount listxattr listxattrat llistxattr lremovexattr lseek lsetxattr lstat mkdir
    mkdirat mknod mknodat newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64 pwritev pwritev2
    read readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir sendfile
    setxattr setxattrat splice stat statfs statmount statx symlink symlinkat tee truncate umask unlink unlinkat utime
    utimensat utimes vmsplice write writev
"""
# With ``fsync`` and its like: see ANSWERED.
_SOCKETS = """
    accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg
    sendto setsockopt shutdown socket socketpair
"""
_WAITING = """
    alarm clock_getres clock_gettime clock_nanosleep epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait
    epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 futex futex_requeue futex_wait futex_waitv futex_wake
    getitimer gettimeofday nanosleep pause poll ppoll pselect6 rt_sigaction rt_sigpending rt_sigprocmask
    rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo select setitimer sigaltstack signalfd
    signalfd4 time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create
    timerfd_gettime timerfd_settime times
"""
_MEMORY = """
    brk madvise map_shadow_stack membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap mseal msync
    munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease remap_file_pages
"""
_PROCESSES = """
    arch_prctl capget capset clone execve execveat exit exit_group fork get_robust_list get_thread_area getcpu getegid
    geteuid getgid getgroups getpgid getpgrp getpid getppid getpriority getrandom getresgid getresuid getrlimit
    getrusage getsid gettid getuid ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset
    landlock_restrict_self personality pidfd_open pidfd_send_signal prctl prlimit64 restart_syscall rseq
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
    sched_rr_get_interval sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield seccomp
    set_robust_list set_thread_area set_tid_address setfsgid setfsuid setgid setgroups setpgid setpriority setregid
    setresgid setresuid setreuid setrlimit setsid setuid sysinfo tgkill tkill uname uretprobe vfork wait4 waitid
"""
_SHARED = """
    mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget
    semop semtimedop shmat shmctl shmdt shmget
"""
# The same under the names of other architectures, and of 32-bit ones.
_ELSEWHERE = """
    _llseek _newselect arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush chown32 clock_getres_time64
    clock_gettime64 clock_nanosleep_time64 fadvise64_64 fchown32 fcntl64 fstat64 fstatat64 fstatfs64 ftruncate64
    futex_time64 getegid32 geteuid32 getgid32 getgroups32 getresgid32 getresuid32 getuid32 io_pgetevents_time64
    lchown32 lstat64 mmap2 mq_timedreceive_time64 mq_timedsend_time64 ppoll_time64 pselect6_time64 recv
    recvmmsg_time64 riscv_flush_icache riscv_hwprobe rt_sigtimedwait_time64 sched_rr_get_interval_time64
    semtimedop_time64 send sendfile64 set_tls setfsgid32 setfsuid32 setgid32 setgroups32 setregid32 setresgid32
    setresuid32 setreuid32 setuid32 sigprocmask sigreturn stat64 statfs64 swapcontext timer_gettime64 timer_settime64
    timerfd_gettime64 timerfd_settime64 truncate64 ugetrlimit utimensat_time64 waitpid
"""
ALLOWED = tuple(" ".join((_FILES, _SOCKETS, _WAITING, _MEMORY, _PROCESSES, _SHARED, _ELSEWHERE)).split())
# They wait until the disk has what was written. Answered at once, without an effect; or allowed, see ``filter``.
ANSWERED = ("fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "sync_file_range2")

# What would undo the sandbox, the other previews' or the kernel's side of it: no setting allows one of these.
_SANDBOX_BREAKING = """
    chroot clone3 fsconfig fsmount fsopen fspick mount mount_setattr move_mount open_by_handle_at open_tree
    open_tree_attr pivot_root setns umount umount2 unshare
    acct bpf create_module delete_module fanotify_init finit_module init_module ioperm iopl kexec_file_load kexec_load
    lookup_dcookie nfsservctl perf_event_open query_module quotactl quotactl_fd reboot swapoff swapon syslog uselib
    vhangup vm86 vm86old
    adjtimex clock_adjtime clock_adjtime64 clock_settime clock_settime64 setdomainname sethostname settimeofday stime
    add_key keyctl request_key
    io_uring_enter io_uring_register io_uring_setup ipc socketcall
"""
SANDBOX_BREAKING = frozenset(_SANDBOX_BREAKING.split())
# Known, and refused with EPERM: other processes, memory that is handled from outside, and what the sandbox consists of.
_REFUSED = """
    fanotify_mark get_mempolicy kcmp mbind memfd_secret migrate_pages modify_ldt move_pages name_to_handle_at
    pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace set_mempolicy set_mempolicy_home_node
    userfaultfd
"""
# Looked for and done without where they are absent (ENOSYS, as for all that stands nowhere here): glibc falls back to
# clone(2), whose flags can be seen, libuv to a pool of threads, and the last two are not used by anything of today.
_ABSENT = frozenset({"clone3", "io_uring_enter", "io_uring_register", "io_uring_setup", "ipc", "socketcall"})
REFUSED = tuple(sorted((SANDBOX_BREAKING - _ABSENT) | set(_REFUSED.split())))
# What a template's forks go into sandboxes of their own with. Theirs forbids it in turn, as filters only add up.
FOR_FORKS = frozenset({"unshare", "mount", "move_mount", "open_tree"})


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
    """Return the filter for this machine's architecture in the kernel's form (an array of ``struct sock_filter``).

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
    """Check the names of system calls that an operator allows additionally.

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
