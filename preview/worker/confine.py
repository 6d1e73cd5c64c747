"""The confinement of a worker: what the process that reads a stranger's files can still do.

All of it needs no privileges. Landlock (kernel 5.13 and newer) lets the worker open one project and the standard
library, for reading. A list of allowed system calls (libseccomp) leaves it no network, no process, no signal and
nothing that changes a file. Resource limits bound its memory, its processor time and its descriptors. A worker of a
service that runs as root keeps one capability, to read files of other users: a preview's files belong to its own user.

Sources: landlock(7), https://docs.kernel.org/userspace-api/landlock.html; linux/landlock.h; capset(2).
"""

from __future__ import annotations

import ctypes
import errno
import math
import os
import resource
import struct
import sysconfig
from typing import Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)

# linux/landlock.h and the system call numbers, which all architectures share.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# Rights over files by version of Landlock: REFER came with 2, TRUNCATE with 3, IOCTL_DEV with 5.
_FILE_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15}
_ALL_FILE_RIGHTS: Final = 16
_TCP_SINCE, _TCP = 4, 0b11
_SCOPES_SINCE, _SCOPES = 6, 0b11
# prctl(2): linux/prctl.h.
_SET_PDEATHSIG, _SET_NO_NEW_PRIVS, _SET_SECCOMP, _CAPBSET_DROP = 1, 38, 22, 24
_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL = 47, 4
_SECCOMP_FILTER, _SIGKILL = 2, 9
# capset(2): linux/capability.h.
_CAPABILITY_VERSION, _DAC_READ_SEARCH, _LAST_CAPABILITY = 0x20080522, 1 << 2, 63

# Twice (for 64 bits): effective, permitted, inheritable.
_CAPABILITY_SETS: Final = struct.Struct("=6I")

_PAGE_BYTES: Final = resource.getpagesize()
_MIB: Final = 1 << 20
# Seven numbers.
_STATM_BYTES: Final = 200
# A project has some files open at a time, one after the other.
_MAX_OPEN_FILES: Final = 64

_ALLOWED: Final = (
    *("read", "pread64", "readv", "write", "pwrite64", "writev", "lseek", "close", "ftruncate"),
    *("open", "openat", "stat", "fstat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2"),
    *("getdents", "getdents64", "readlink", "readlinkat", "getcwd", "fcntl", "dup", "statfs", "fstatfs"),
    *("mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "futex", "sched_yield", "rseq", "membarrier"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall"),
    *("getpid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getrandom", "uname", "sysinfo", "getrusage"),
    # What a worker still needs to take its job and to confine itself further.
    *("recvmsg", "recvfrom", "landlock_add_rule", "landlock_restrict_self"),
    *(
        "clock_gettime",
        "clock_getres",
        "clock_nanosleep",
        "nanosleep",
        "gettimeofday",
        "time",
        "sched_getaffinity",
        "exit",
        "exit_group",
    ),
)


class _Filter(ctypes.Structure):
    """``struct sock_fprog``."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def landlock_version() -> int:
    """Return the version of Landlock that this kernel offers; 0 without it."""
    return max(0, int(_LIBC.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)))


class WorkerConfinement:
    """Built once by the worker server, before it forks; a worker then takes it on in two steps.

    Attributes:
        parts: Names of what this machine offers: ``landlock``, ``seccomp``, ``limits``.
    """

    def __init__(self) -> None:
        self._landlock = landlock_version()
        self._filter = _compile_filter()
        self._rules = -1
        self._mapped_bytes = 0
        self._library = sysconfig.get_path("stdlib")
        self.parts = (*(("landlock",) if self._landlock else ()), *(("seccomp",) if self._filter else ()), "limits")

    @staticmethod
    def give_up_privileges() -> None:
        """Keep no privilege but to read any file, for good: in the server, so that each worker begins so.

        Raises:
            OSError: The kernel refused it.
        """
        _check(_LIBC.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _give_up_capabilities()

    @staticmethod
    def end_with(parent: int) -> None:
        """Have the kernel kill this process when its parent ends; at once, where it has ended already."""
        # Giving up capabilities does not reset it (prctl(2)).
        _check(_LIBC.prctl(_SET_PDEATHSIG, _SIGKILL, 0, 0, 0))
        if os.getppid() != parent:
            os._exit(1)

    def enter(self) -> None:
        """Give up all rights that no job needs. Call it in a new worker, before anything foreign is read.

        Raises:
            OSError: The kernel supports a restriction but refused to set it.
        """
        for name, value in (
            (resource.RLIMIT_NOFILE, _MAX_OPEN_FILES),
            (resource.RLIMIT_CORE, 0),
            (resource.RLIMIT_NPROC, 0),
        ):
            _lower(name, value)
        self._mapped_bytes = _mapped_bytes()
        if self._landlock:
            self._rules = self._make_rules()
        if self._filter:
            program = _Filter(len(self._filter) // 8, self._filter)
            _check(_LIBC.prctl(_SET_SECCOMP, _SECCOMP_FILTER, ctypes.byref(program), 0, 0))

    def close(self, directory: int | None, *, memory_mb: int, seconds: float, file_bytes: int) -> None:
        """Leave only the job's folder readable, and bound what the job may use. Cannot be taken back.

        Args:
            directory: Descriptor of the folder that may be read.
            memory_mb: MiB beyond what the process has mapped before.
            seconds: Of processor time.
            file_bytes: The longest file that may be written, to a descriptor that came with the job.

        Raises:
            OSError: A part that the machine offers was refused.
        """
        _lower(resource.RLIMIT_AS, self._mapped_bytes + memory_mb * _MIB)
        _lower(resource.RLIMIT_CPU, math.ceil(seconds + sum(os.times()[:2])))
        _lower(resource.RLIMIT_FSIZE, file_bytes)
        if self._landlock:
            if directory is not None:
                self._allow_reading(self._rules, directory)
            _check(_LIBC.syscall(_RESTRICT_SELF, self._rules, 0))
            os.close(self._rules)

    def _make_rules(self) -> int:
        """Nothing is allowed but to read the standard library: encodings are loaded when a file names one."""
        files = (1 << _FILE_RIGHTS.get(self._landlock, _ALL_FILE_RIGHTS)) - 1
        tcp = _TCP if self._landlock >= _TCP_SINCE else 0
        scopes = _SCOPES if self._landlock >= _SCOPES_SINCE else 0
        # The kernel takes a longer structure than it knows, where the rest of it is zero.
        attributes = struct.pack("=QQQ", files, tcp, scopes)
        rules = _check(_LIBC.syscall(_CREATE_RULESET, attributes, len(attributes), 0))
        library = os.open(self._library, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._allow_reading(rules, library)
        os.close(library)
        return rules

    @staticmethod
    def _allow_reading(rules: int, directory: int) -> None:
        rule = struct.pack("=Qi", _READ_FILE | _READ_DIR, directory)
        _check(_LIBC.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0))


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _lower(name: int, value: int) -> None:
    """Set a limit, hard and soft; one that is lower already stays."""
    hard = resource.getrlimit(name)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(name, (value, value))


def _give_up_capabilities() -> None:
    kept = _DAC_READ_SEARCH if os.geteuid() == 0 else 0
    for number in range(_LAST_CAPABILITY + 1):
        # Numbers beyond the kernel's last are refused, and without the right to drop them there is none to keep.
        _LIBC.prctl(_CAPBSET_DROP, number, 0, 0, 0)
    _LIBC.prctl(_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    held = ctypes.create_string_buffer(_CAPABILITY_SETS.size)
    _check(_LIBC.capget(header, held))
    kept &= _CAPABILITY_SETS.unpack(held.raw)[1]
    _check(_LIBC.capset(header, _CAPABILITY_SETS.pack(kept, kept, 0, 0, 0, 0)))


def _mapped_bytes() -> int:
    # Path.read_text takes a millisecond here: each module that a fork runs first is copied, page by page.
    descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(descriptor, _STATM_BYTES).split()[0]) * _PAGE_BYTES
    finally:
        os.close(descriptor)


def _compile_filter() -> bytes:
    """Return the list of allowed system calls as the kernel takes it; empty if libseccomp is not installed."""
    try:
        import pyseccomp  # type: ignore[import-untyped]  # noqa: PLC0415  loads the library when it is imported
    except (ImportError, OSError, RuntimeError):
        return b""
    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    for name in _ALLOWED:
        if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0:
            rules.add_rule(pyseccomp.ALLOW, name)
    # Limits of its own process alone; those of others of the same user could be lowered.
    rules.add_rule(pyseccomp.ALLOW, "prlimit64", pyseccomp.Arg(0, pyseccomp.EQ, 0))
    # Python asks whether each file that it opens is a terminal.
    rules.add_rule(pyseccomp.ERRNO(errno.ENOTTY), "ioctl")
    with os.fdopen(os.memfd_create("filter", os.MFD_CLOEXEC), "rb+") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
