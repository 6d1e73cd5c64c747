"""System calls that Python has no function for; Linux only, any architecture (glibc or musl).

Sources: linux/sched.h, linux/mount.h, linux/prctl.h, linux/capability.h, linux/seccomp.h. The newer calls have the same
numbers on every architecture (asm-generic/unistd.h).
"""

from __future__ import annotations

import ctypes
import os
import struct

CLONE_NEWNS = 0x00020000
CLONE_NEWCGROUP = 0x02000000
CLONE_NEWUTS = 0x04000000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 32, 4096, 16384, 1 << 18

_SYS_OPEN_TREE, _SYS_MOVE_MOUNT = 428, 429
_AT_FDCWD = -100
_AT_RECURSIVE, _OPEN_TREE_CLONE, _MOVE_MOUNT_F_EMPTY_PATH = 0x8000, 1, 4

_PR_SET_DUMPABLE, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 4, 22, 24, 38
_SECCOMP_MODE_FILTER = 2
_CAPABILITY_VERSION_3 = 0x20080522
# Size of struct sock_filter, linux/filter.h.
_INSTRUCTION_BYTES = 8
_HIGHEST_CAPABILITY = 63

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def unshare(flags: int) -> None:
    """Replace the namespaces named by ``flags`` with new ones (unshare(2))."""
    _check(_libc.unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str, flags: int = 0, options: str = "") -> None:
    """Mount a file system at ``target``; the arguments are those of the system call."""
    data = options.encode() if options else None
    result = _libc.mount(source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), data)
    _check(result, f"mount {target}")


def clone_mount(path: str) -> int:
    """Return a descriptor of a detached copy of the mount at ``path``, with all mounts below it (open_tree(2))."""
    flags = _OPEN_TREE_CLONE | _AT_RECURSIVE | os.O_CLOEXEC
    result = _libc.syscall(ctypes.c_long(_SYS_OPEN_TREE), ctypes.c_int(_AT_FDCWD), path.encode(), ctypes.c_uint(flags))
    return int(_check(result, f"open_tree {path}"))


def attach(descriptor: int, path: str) -> None:
    """Attach the detached mount ``descriptor`` at ``path`` (move_mount(2))."""
    result = _libc.syscall(
        ctypes.c_long(_SYS_MOVE_MOUNT),
        ctypes.c_int(descriptor),
        b"",
        ctypes.c_int(_AT_FDCWD),
        path.encode(),
        ctypes.c_uint(_MOVE_MOUNT_F_EMPTY_PATH),
    )
    _check(result, f"move_mount {path}")


def set_host_name(name: str) -> None:
    """Set the host name in this namespace."""
    _check(_libc.sethostname(name.encode(), ctypes.c_size_t(len(name))), "sethostname")


def set_dumpable() -> None:
    """Give this process its own files in /proc again, which a change of user takes away (proc(5))."""
    _check(_libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0), "prctl dumpable")


def no_new_privileges() -> None:
    """Let no executed program gain a privilege (PR_SET_NO_NEW_PRIVS)."""
    _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl no_new_privs")


def drop_capabilities(keep: tuple[int, ...] = ()) -> None:
    """Drop all capabilities except ``keep``, and let no executed program regain one."""
    for number in range(_HIGHEST_CAPABILITY + 1):
        # EINVAL: the kernel knows no higher capability.
        if number not in keep and _libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) < 0:
            break
    kept = sum(1 << number for number in keep)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    low, high = kept & 0xFFFFFFFF, kept >> 32
    data = struct.pack("=6I", low, low, 0, high, high, 0)
    _check(_libc.capset(header, data), "capset")


def filter_calls(program: bytes) -> None:
    """Filter the system calls of this process and its children, with a program in seccomp(2)'s format."""
    memory = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog, with the C compiler's padding.
    header = struct.pack("@HP", len(program) // _INSTRUCTION_BYTES, ctypes.addressof(memory))
    _check(_libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0), "prctl seccomp")
