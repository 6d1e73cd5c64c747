"""Capabilities of a service that runs as root: all but those it needs are dropped (capabilities(7)).

``preview serve`` and ``preview run`` drop them before they read anything, for themselves and all child processes. They
clear the effective, permitted and bounding sets, so no executed program regains a capability. A host that embeds the
service decides this for its own process.
"""

from __future__ import annotations

import ctypes
import os
import struct
from types import MappingProxyType

# linux/capability.h: the number, and its use here.
KEPT = MappingProxyType(
    {
        "CAP_CHOWN": 0,  # gives a preview's folders to its user
        "CAP_DAC_OVERRIDE": 1,  # reads and removes files that this user has written
        "CAP_DAC_READ_SEARCH": 2,  # the only capability of the worker that reads projects, which writes nothing
        "CAP_FOWNER": 3,  # opens folders whose mode a preview has restricted
        "CAP_KILL": 5,  # ends processes of other users
        "CAP_SETGID": 6,  # switches a preview to its own user and group
        "CAP_SETUID": 7,
        "CAP_NET_BIND_SERVICE": 10,  # listens on a port below 1024
        "CAP_NET_ADMIN": 12,  # filters the sockets that previews inherit
        "CAP_SYS_PTRACE": 19,  # inspects namespaces of other users' processes
        "CAP_SYS_ADMIN": 21,  # mounts a sandbox's file systems and creates its namespaces
        "CAP_SYS_NICE": 23,  # gives the service priority over starting previews
        "CAP_SETFCAP": 31,  # since Linux 5.12: maps root in a build's user namespace
    }
)
# linux/prctl.h
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
_SETPCAP, _MOST = 8, 64


def give_up_capabilities() -> None:
    """Drop all capabilities but ``KEPT``, for good, if the process runs as root.

    Other users have no capabilities; the call does nothing for them. Call it while the process has a single thread:
    capabilities are per thread, and new threads inherit them.

    Raises:
        OSError: The kernel refuses.
    """
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.capset.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
    libc.capget.argtypes = (ctypes.c_char_p, ctypes.c_char_p)

    def check(result: int) -> None:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"capabilities cannot be dropped: {os.strerror(number)}")

    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    held = ctypes.create_string_buffer(struct.calcsize("=6I"))
    check(libc.capget(header, held))
    # Two words of 32 bits per set, the lower first: effective, permitted, inheritable. ``KEPT`` fits in the lower.
    permitted = struct.unpack("=6I", held.raw)[1]
    kept = sum(1 << number for number in KEPT.values()) & permitted
    # Some containers lack CAP_SETPCAP; the bounding set then stays unchanged. Executed programs still gain no
    # capability, because PR_SET_NO_NEW_PRIVS is set below.
    if permitted & 1 << _SETPCAP:
        for number in range(_MOST):
            # EINVAL: this kernel has no capability of this number or above.
            if number not in KEPT.values() and libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) < 0:
                break
    check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    check(libc.capset(header, struct.pack("=6I", kept, kept, 0, 0, 0, 0)))
