"""The rights of a program that runs as root: those that it needs, and for good no others (capabilities(7)).

`preview serve` and `preview run` give up the others before they read anything, for themselves and all that they start:
from the effective set, from the permitted one, and from the bounding set, so that no program that is executed regains
one. A host that embeds the service decides that for its own process.
"""

from __future__ import annotations

import ctypes
import os
import struct
from types import MappingProxyType

# linux/capability.h: the number, and what needs it.
KEPT = MappingProxyType(
    {
        "CAP_CHOWN": 0,  # gives a preview's folders to its user
        "CAP_DAC_OVERRIDE": 1,  # reads and removes what that user has written
        "CAP_DAC_READ_SEARCH": 2,  # all that the process which reads projects has: it writes nothing
        "CAP_FOWNER": 3,  # opens folders that it has closed
        "CAP_KILL": 5,  # ends processes of other users
        "CAP_SETGID": 6,  # a preview becomes a user of its own
        "CAP_SETUID": 7,
        "CAP_NET_BIND_SERVICE": 10,  # listens at a port below 1024
        "CAP_NET_ADMIN": 12,  # fences the sockets that previews inherit
        "CAP_SYS_PTRACE": 19,  # looks at namespaces of processes of other users
        "CAP_SYS_ADMIN": 21,  # mounts what a sandbox shows, and makes its namespaces
        "CAP_SYS_NICE": 23,  # lets the service go first where they start
        "CAP_SETFCAP": 31,  # since Linux 5.12: a namespace of users in which root is root, for builds
    }
)
# linux/prctl.h
_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 24, 38
_CAPABILITY_VERSION_3 = 0x20080522
_SETPCAP, _MOST = 8, 64


def give_up_capabilities() -> None:
    """Give up all capabilities but ``KEPT``, and the way to more; for a process of its own that runs as root.

    Any other user has none, and is left as it is. To be called while there is one thread: each has rights of its own,
    and those that it starts have the same.

    Raises:
        OSError: The kernel does not let it.
    """
    if os.geteuid() != 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    libc.capset.argtypes = (ctypes.c_char_p, ctypes.c_char_p)
    libc.capget.argtypes = (ctypes.c_char_p, ctypes.c_char_p)

    def check(result: int) -> None:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"capabilities cannot be given up: {os.strerror(number)}")

    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, 0)
    held = ctypes.create_string_buffer(struct.calcsize("=6I"))
    check(libc.capget(header, held))
    # Sets of 32 each, the lower first: effective, permitted, inheritable. All that is kept is in the lower.
    permitted = struct.unpack("=6I", held.raw)[1]
    kept = sum(1 << number for number in KEPT.values()) & permitted
    # Without this right, as in some containers, the bounding set stays as it is: then nothing is regained either, as
    # no program that is executed from here on gives any (PR_SET_NO_NEW_PRIVS).
    if permitted & 1 << _SETPCAP:
        for number in range(_MOST):
            # EINVAL: this kernel knows no more of them.
            if number not in KEPT.values() and libc.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) < 0:
                break
    check(libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    check(libc.capset(header, struct.pack("=6I", kept, kept, 0, 0, 0, 0)))
