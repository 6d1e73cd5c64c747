"""Confinement of a worker process, which reads untrusted files.

No part needs privileges. Landlock (kernel 5.13 and newer) lets the worker read one project and the standard library,
and nothing else. A list of allowed system calls (libseccomp) denies the network, new processes, signals and changes to
files. Resource limits bound memory, processor time and descriptors. If the service runs as root, its workers keep one
capability: to read files of other users, because a preview's files belong to the preview's own user.

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

# linux/landlock.h, and the system call numbers, which are the same on all architectures.
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
# Number of file access rights by Landlock version: 2 added REFER, 3 added TRUNCATE, 5 added IOCTL_DEV.
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

# Two sets for 64 bits, each with effective, permitted and inheritable.
_CAPABILITY_SETS: Final = struct.Struct("=6I")

_PAGE_BYTES: Final = resource.getpagesize()
_MIB: Final = 1 << 20
# The file holds seven numbers.
_STATM_BYTES: Final = 200
# A job opens files one after the other, a few at a time.
_MAX_OPEN_FILES: Final = 64

_ALLOWED: Final = (
    *("read", "pread64", "readv", "write", "pwrite64", "writev", "lseek", "close", "ftruncate"),
    *("open", "openat", "stat", "fstat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2"),
    *("getdents", "getdents64", "readlink", "readlinkat", "getcwd", "fcntl", "dup", "statfs", "fstatfs"),
    *("mmap", "munmap", "mremap", "mprotect", "madvise", "brk", "futex", "sched_yield", "rseq", "membarrier"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "restart_syscall"),
    *("getpid", "gettid", "getuid", "geteuid", "getgid", "getegid", "getrandom", "uname", "sysinfo", "getrusage"),
    # Calls that a worker needs to receive its job and to confine itself further.
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
    """Return the Landlock version that this kernel offers; 0 without Landlock."""
    return max(0, int(_LIBC.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)))


class WorkerConfinement:
    """Confinement that the worker server prepares once, before it forks; each worker applies it in two steps.

    Attributes:
        parts: Names of the parts that this machine offers: ``landlock``, ``seccomp``, ``limits``.
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
        """Drop all privileges for good, except to read any file as root. Workers inherit this from the server.

        Raises:
            OSError: The kernel refused.
        """
        _check(_LIBC.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
        _give_up_capabilities()

    @staticmethod
    def end_with(parent: int) -> None:
        """Have the kernel kill this process when its parent ends. Exit now if the parent has ended already."""
        # Dropping capabilities does not reset this setting (prctl(2)).
        _check(_LIBC.prctl(_SET_PDEATHSIG, _SIGKILL, 0, 0, 0))
        if os.getppid() != parent:
            os._exit(1)

    def enter(self) -> None:
        """Drop all rights that no job needs. A new worker must call this before it reads untrusted data.

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
        """Leave only the job's folder and the standard library readable, and set the job's limits. Cannot be undone.

        Args:
            directory: Descriptor of the folder that may be read; None for a job without one.
            memory_mb: Address space limit in MiB, in addition to the memory that is mapped already.
            seconds: Processor time in seconds.
            file_bytes: Maximum size of a file that the job writes to a descriptor that arrived with it.

        Raises:
            OSError: The kernel offers a restriction but refused to set it.
        """
        _lower(resource.RLIMIT_AS, self._mapped_bytes + memory_mb * _MIB)
        # A forked worker's clock begins at zero; what it used while it waited for its job is milliseconds.
        _lower(resource.RLIMIT_CPU, math.ceil(seconds))
        _lower(resource.RLIMIT_FSIZE, file_bytes)
        if self._landlock:
            if directory is not None:
                self._allow_reading(self._rules, directory)
            _check(_LIBC.syscall(_RESTRICT_SELF, self._rules, 0))
            os.close(self._rules)

    def _make_rules(self) -> int:
        """Allow only reading the standard library: Python loads codecs when a file names one."""
        files = (1 << _FILE_RIGHTS.get(self._landlock, _ALL_FILE_RIGHTS)) - 1
        tcp = _TCP if self._landlock >= _TCP_SINCE else 0
        scopes = _SCOPES if self._landlock >= _SCOPES_SINCE else 0
        # The kernel accepts a structure longer than it knows if the additional bytes are zero.
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
    """Set the soft and the hard limit, but never raise the hard limit."""
    hard = resource.getrlimit(name)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(name, (value, value))


def _give_up_capabilities() -> None:
    kept = _DAC_READ_SEARCH if os.geteuid() == 0 else 0
    for number in range(_LAST_CAPABILITY + 1):
        # Failures are fine: the number is above the kernel's last capability, or there is no privilege to drop any.
        _LIBC.prctl(_CAPBSET_DROP, number, 0, 0, 0)
    _LIBC.prctl(_CAP_AMBIENT, _CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = struct.pack("=Ii", _CAPABILITY_VERSION, 0)
    held = ctypes.create_string_buffer(_CAPABILITY_SETS.size)
    _check(_LIBC.capget(header, held))
    kept &= _CAPABILITY_SETS.unpack(held.raw)[1]
    _check(_LIBC.capset(header, _CAPABILITY_SETS.pack(kept, kept, 0, 0, 0, 0)))


def _mapped_bytes() -> int:
    # Path.read_text takes a millisecond in a new fork: it runs several modules, whose memory pages are copied first.
    descriptor = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return int(os.read(descriptor, _STATM_BYTES).split()[0]) * _PAGE_BYTES
    finally:
        os.close(descriptor)


def _compile_filter() -> bytes:
    """Return the system call filter in the kernel's binary format; empty if libseccomp is not installed."""
    try:
        import pyseccomp  # type: ignore[import-untyped]  # noqa: PLC0415  loads the library on import
    except (ImportError, OSError, RuntimeError):
        return b""
    rules = pyseccomp.SyscallFilter(pyseccomp.ERRNO(errno.EPERM))
    for name in _ALLOWED:
        if pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name) >= 0:
            rules.add_rule(pyseccomp.ALLOW, name)
    # The worker may lower only its own limits: it could lower those of other processes of the same user.
    rules.add_rule(pyseccomp.ALLOW, "prlimit64", pyseccomp.Arg(0, pyseccomp.EQ, 0))
    # Python checks for each file that it opens whether the file is a terminal.
    rules.add_rule(pyseccomp.ERRNO(errno.ENOTTY), "ioctl")
    with os.fdopen(os.memfd_create("filter", os.MFD_CLOEXEC), "rb+") as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()
