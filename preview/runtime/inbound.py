"""Messages from inside a preview: received with the sender's pid from the kernel, and without descriptors.

Closing a received descriptor can block for as long as its sender chooses: ``close`` of a TCP connection with unread
data waits for SO_LINGER (socket(7)), in the thread that closes it last. Receiving a message without its descriptors
blocks in the same way, and so does closing a socket in which they are queued. So:

* If the kernel supports SO_PASSRIGHTS (Linux 6.16), it refuses descriptors at the sender.
* Otherwise all descriptors of a message are received, and closed in a separate thread. No more messages are read from
  their sender, so each channel costs one such thread at most.
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

# asm-generic/socket.h, Linux 6.16. Older kernels do not know the option.
_SO_PASSRIGHTS = 83
# linux/socket.h; struct ucred: pid, uid, gid, in this process's own namespaces.
_SCM_CREDENTIALS = 2
_CREDENTIALS = struct.Struct("iII")
# include/net/scm.h, SCM_MAX_FD: the most descriptors in one message.
_MOST_DESCRIPTORS = 253
_ANCILLARY_BYTES = socket.CMSG_SPACE(_CREDENTIALS.size) + socket.CMSG_SPACE(4 * _MOST_DESCRIPTORS)
# A socket queues 208 KiB (net.core.wmem_default), and each message counts as 768 bytes at least: 277 messages.
_MOST_QUEUED = 512
# SO_LINGER: off.
_NO_LINGER = struct.pack("ii", 0, 0)


@dataclass(frozen=True, slots=True)
class Word:
    """One message.

    Attributes:
        data: Content; empty at the end of the stream.
        sender: Pid of the sender here, attached by the kernel; 0 if none. The process may have ended, and its pid may
            have been reused.
        had_descriptors: Whether descriptors came with the message; they have been discarded.
    """

    data: bytes
    sender: int
    had_descriptors: bool


def seal(ours: socket.socket) -> None:
    """Make the socket non-blocking; have the kernel attach the sender to each message, and refuse descriptors.

    Call it before the other end is passed on.
    """
    ours.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    with suppress(OSError):
        ours.setsockopt(socket.SOL_SOCKET, _SO_PASSRIGHTS, 0)


def receive_now(ours: socket.socket, most_bytes: int) -> Word:
    """Read the next message of a sealed socket.

    Raises:
        BlockingIOError: There is no message yet.
        OSError: There are no more messages.
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
    # MSG_CTRUNC: this process had no space for all descriptors, and the kernel has closed the rest.
    return Word(data, sender, had_descriptors=bool(descriptors) or bool(flags & socket.MSG_CTRUNC))


def close_inbound(ours: socket.socket) -> None:
    """Close a sealed socket and discard its queued messages. A second call does nothing."""
    if ours.fileno() < 0:
        return
    with suppress(OSError):
        # After this, nobody can send.
        ours.shutdown(socket.SHUT_RDWR)
    with suppress(OSError):
        for _ in range(_MOST_QUEUED):
            word = receive_now(ours, 1)
            if not word.data and not word.sender:
                break
    ours.close()


def discard(descriptors: Sequence[int]) -> None:
    """Close descriptors that came from a preview, without blocking."""
    if not descriptors:
        return
    kept = list(descriptors)
    for one in kept:
        without_linger(one)
    try:
        threading.Thread(target=_close_all, args=(kept,), name="discarded descriptors", daemon=True).start()
    except RuntimeError:  # No thread is available; lingering has just been switched off.
        _close_all(kept)


def without_linger(descriptor: int) -> None:
    """Let a socket close at once. Another process with the same socket can undo this."""
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
