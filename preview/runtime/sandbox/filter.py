"""The system call filter of sandboxed processes and their children: an allow list, by name and by argument.

A call on none of the lists below is absent (ENOSYS): calls of newer kernels, and calls that programs probe for and can
do without. Known calls that are denied are refused (EPERM). Some allowed calls are refused for certain arguments: new
namespaces, terminal input, unusual socket families, another personality.

The base is the default profile of container runtimes (github.com/moby/profiles, seccomp/default.json, read at commit
cd3bed8), for a container without capabilities. Removed from it are calls that no web application needs and that reach
beyond one process (``SANDBOX_BREAKING`` and ``_REFUSED``), and reading the kernel's time offsets. Names that only other
architectures or newer versions of libseccomp know are skipped.

Calls that wait for the disk return success at once, and do nothing. A preview's files end with it, and do not need to
survive a crash of the machine. Otherwise a new database would wait for the disk with each table, and one ``sync`` would
block all previews (see systemd-nspawn(1), ``--suppress-sync``).

libseccomp compiles two programs, one for arguments and one for names, because a libseccomp filter has one default
action. The programs are concatenated: if the first allows a call, the second decides.
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
# ``fsync`` and similar calls are in ANSWERED.
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
# The same calls under the names of other architectures, including 32-bit ones.
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
# Calls that wait for the disk. They return success without an effect, or are allowed (``compile_filter(lasts=True)``).
ANSWERED = ("fsync", "fdatasync", "sync", "syncfs", "sync_file_range", "sync_file_range2")

# Calls that could break the sandbox of this or another preview, or harm the kernel: no setting allows one of these.
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
# Known, and refused with EPERM: access to other processes and their memory, and handles that bypass the sandbox.
_REFUSED = """
    fanotify_mark get_mempolicy kcmp mbind memfd_secret migrate_pages modify_ldt move_pages name_to_handle_at
    pidfd_getfd process_madvise process_vm_readv process_vm_writev ptrace set_mempolicy set_mempolicy_home_node
    userfaultfd
"""
# Programs probe for these and can do without them (ENOSYS, like all unlisted calls). glibc falls back to clone(2),
# whose flags a filter can read; libuv falls back to a thread pool. Nothing current uses the last two.
_ABSENT = frozenset({"clone3", "io_uring_enter", "io_uring_register", "io_uring_setup", "ipc", "socketcall"})
REFUSED = tuple(sorted((SANDBOX_BREAKING - _ABSENT) | set(_REFUSED.split())))
# A template's forks need these to enter their own sandboxes. Their own filter then forbids the calls: filters add up.
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
_CLONE_THREAD = 0x00010000
# asm-generic/ioctls.h: requests that insert characters into a terminal's input (CVE-2017-5226).
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_REQUEST_MASK = 0xFFFFFFFF
# personality(2): this argument only queries the personality.
_ASKS = 0xFFFFFFFF
# Local, IPv4, IPv6, and the query for network interfaces (getifaddrs(3)). AF_VSOCK reaches a virtual machine's host
# from any network namespace; other families are rarely audited kernel code.
_FAMILIES = (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK)
# linux/filter.h: struct sock_filter; linux/bpf_common.h: "return a constant", "jump forward".
_INSTRUCTION = struct.Struct("=HBBI")
_RETURN, _JUMP = 0x06, 0x05
# seccomp_attr_set(3): SCMP_FLTATR_CTL_OPTIMIZE, binary tree search instead of a linear list; libseccomp 2.5.
_BINARY_TREE = 2


@lru_cache(maxsize=8)
def compile_filter(
    *,
    for_template: bool = False,
    lasts: bool = False,
    alone: bool = False,
    also_allowed: frozenset[str] = frozenset(),
) -> bytes:
    """Return the filter for this machine's architecture in the kernel's format (an array of ``struct sock_filter``).

    Args:
        for_template: Whether the process is a template, whose forks enter their own sandboxes.
        lasts: Whether written files outlive the program, so that calls may wait for the disk.
        alone: Whether the program may start threads only, no processes.
        also_allowed: Names that the operator also allows, checked by ``check_extra_calls``.

    Raises:
        ConfigurationError: libseccomp is not installed.
    """
    seccomp = _library()
    allowed = {*ALLOWED, *also_allowed, *(ANSWERED if lasts else ()), *(FOR_FORKS if for_template else ())}
    names = seccomp.SyscallFilter(seccomp.ERRNO(errno.ENOSYS))
    # An older libseccomp searches linearly, with the same results.
    with suppress(OSError, ValueError):
        names.set_attr(seccomp.Attr.CTL_OPTIMIZE, _BINARY_TREE)
    _add(seccomp, names, seccomp.ALLOW, sorted(allowed))
    _add(seccomp, names, seccomp.ERRNO(errno.EPERM), [name for name in REFUSED if name not in allowed])
    _add(seccomp, names, seccomp.ERRNO(0), [name for name in ANSWERED if name not in allowed])
    return _chained(_exported(_arguments(seccomp, alone=alone)), _exported(names), seccomp.ALLOW)


def check_extra_calls(names: Iterable[str]) -> frozenset[str]:
    """Check the names of system calls that an operator also allows; return them as a set.

    Raises:
        ConfigurationError: A call could break the sandbox, or is unknown on this machine; or libseccomp is not
            installed.
    """
    for name in sorted(names):
        if name in SANDBOX_BREAKING:
            raise ConfigurationError(
                f"PREVIEW_SYSCALLS_ALLOWED names {name}, which would undo the sandbox: take it out."
            )
        if _number(_library(), name) < 0:
            raise ConfigurationError(
                f"PREVIEW_SYSCALLS_ALLOWED names {name}, which libseccomp does not know as a system call of this "
                "machine: check its spelling (syscalls(2)), or install a newer libseccomp2."
            )
    return frozenset(names)


def _library() -> Any:
    try:
        import pyseccomp  # type: ignore[import-untyped]  # noqa: PLC0415  importing it loads the C library
    except (ImportError, OSError, RuntimeError) as error:
        raise ConfigurationError("libseccomp is missing; install the package libseccomp2.") from error
    return pyseccomp


def _number(seccomp: Any, name: str) -> int:
    """Return a call's number; negative if it is another architecture's, or unknown to this libseccomp."""
    number: int = seccomp.resolve_syscall(seccomp.Arch.NATIVE, name)
    return number


def _add(seccomp: Any, rules: Any, action: int, names: Iterable[str], *conditions: object) -> None:
    for name in names:
        # A call that is unknown here has no name to match, and its number is refused by default.
        if _number(seccomp, name) >= 0:
            rules.add_rule(action, name, *conditions)


def _arguments(seccomp: Any, *, alone: bool) -> Any:
    """Return rules that refuse calls by argument and allow all others."""
    rules = seccomp.SyscallFilter(seccomp.ALLOW)

    def refuse(name: str, *conditions: object) -> None:
        _add(seccomp, rules, seccomp.ERRNO(errno.EPERM), [name], *conditions)

    for flag in _NAMESPACES:
        refuse("clone", seccomp.Arg(0, seccomp.MASKED_EQ, flag, flag))
    if alone:
        refuse("fork")
        refuse("vfork")
        refuse("clone", seccomp.Arg(0, seccomp.MASKED_EQ, _CLONE_THREAD, 0))
    for request in (_TIOCSTI, _TIOCLINUX):
        refuse("ioctl", seccomp.Arg(1, seccomp.MASKED_EQ, _REQUEST_MASK, request))
    refuse("personality", seccomp.Arg(0, seccomp.NE, _ASKS))
    for family in range(max(_FAMILIES)):
        if family not in _FAMILIES:
            refuse("socket", seccomp.Arg(0, seccomp.EQ, family))
    refuse("socket", seccomp.Arg(0, seccomp.GT, int(max(_FAMILIES))))
    # Other netlink protocols reach parts of the kernel that previews do not need; 0 is NETLINK_ROUTE.
    refuse("socket", seccomp.Arg(0, seccomp.EQ, int(socket.AF_NETLINK)), seccomp.Arg(2, seccomp.NE, 0))
    return rules


def _exported(rules: Any) -> bytes:
    descriptor = os.memfd_create("filter", os.MFD_CLOEXEC)
    with os.fdopen(descriptor, "rb+") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def _chained(first: bytes, second: bytes, allow: int) -> bytes:
    """Concatenate two programs: if ``first`` would allow, ``second`` decides; each loads its own operands."""
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
