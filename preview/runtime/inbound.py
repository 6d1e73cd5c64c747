"""Words from inside a preview: read with the sender that the kernel names, and never with a descriptor.

A descriptor that comes along is not only a lie about what it is. Closing it may take as long as its maker likes: a TCP
connection whose data nobody reads waits in ``close`` for its SO_LINGER (socket(7)), in whatever thread closes it last,
and so does reading a message without its descriptors, or closing a socket on which they still wait. So:

* Where the kernel can, it refuses them at the sender (SO_PASSRIGHTS, Linux 6.16).
* Elsewhere all that one message can bring are taken in, and closed in a thread of their own. Their sender is not
  listened to any further, so that is one thread a channel at most.
"""

from __future__ import annotations

import array
import os
import socket
import struct
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

# asm-generic/socket.h, Linux 6.16. Elsewhere it is an unknown option.
_SO_PASSRIGHTS = 83
# linux/socket.h; struct ucred: pid, uid, gid, in this process's own namespaces.
_SCM_CREDENTIALS = 2
_CREDENTIALS = struct.Struct("iII")
# include/net/scm.h, SCM_MAX_FD: the most that one message brings.
_MOST_DESCRIPTORS = 253
_ANCILLARY_BYTES = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4 * _MOST_DESCRIPTORS)
# A socket holds 208 KiB (net.core.wmem_default), and each message counts as 768 bytes at least: 277 of them.
_MOST_QUEUED = 512
# SO_LINGER: off.
_NO_LINGER = struct.pack("ii", 0, 0)


@dataclass(frozen=True, slots=True)
class Word:
    """One message.

    Attributes:
        data: What it says. Empty at the end.
        sender: The process that sent it, by its number here, as the kernel attached it; 0 where it named none. It may
            have ended since, and the number may be another's by now.
        had_descriptors: Whether it brought any; they are gone.
    """

    data: bytes
    sender: int
    had_descriptors: bool


def seal(ours: socket.socket) -> None:
    """Have the kernel attach the sender to each message, and refuse descriptors; nothing waits on it any more.

    Call it before the other end is given away.
    """
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    with suppress(OSError):
        ours.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)


def receive_now(ours: socket.socket, most_bytes: int) -> Word:
    """Read the next message of a sealed socket.

    Raises:
        BlockingIOError: There is none yet.
        OSError: There is none any more.
    """
    data, ancillary, flags, _ = ours.recvmsg(most_bytes, _ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC)
    sender = 0
    descriptors = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(content[: len(content) // descriptors.itemsize * descriptors.itemsize])
        elif (level, kind) == (socket.SOL_SOCKET, _SCM_CREDENTIALS) and len(content) >= _CREDENTIALS.size:
            sender = _CREDENTIALS.unpack_from(content)[0]
    discard(descriptors)
    # Cut short: this process had no space for all descriptors, and the kernel has closed the others.
    return Word(data, sender, had_descriptors=bool(descriptors) or bool(flags & socket.MSG_CTRUNC))


def close_inbound(ours: socket.socket) -> None:
    """Close a sealed socket, with all that waits on it. A second call does nothing."""
    if ours.fileno() < 0:
        return
    with suppress(OSError):
        # From here on nobody can send anything.
        ours.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        for _ in range(_MOST_QUEUED):
            word = receive_now(ours, 1)
            if not word.data and not word.sender:
                break
    ours.close()


def discard(descriptors: Sequence[int]) -> None:
    """Close descriptors that came from inside, without waiting for that."""
    if not descriptors:
        return
    kept = list(descriptors)
    for one in kept:
        without_linger(one)
    try:
        threading.Thread(target=_close_all, args=(kept,), name="discarded descriptors", daemon=True).start()
    except RuntimeError:  # no thread can be had: what a moment ago did not linger is closed here
        _close_all(kept)


def without_linger(descriptor: int) -> None:
    """Let a socket close at once. Who else holds it may take that back."""
    try:
        one = socket.socket(fileno=descriptor)
    except OSError:  # no socket
        return
    with suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
    one.detach()


def _close_all(descriptors: Sequence[int]) -> None:
    for one in descriptors:
        with suppress(OSError):
            os.close(one)
