"""Restricts the inherited listening socket to serving, because it belongs to the host's network.

A socket stays in the network namespace in which it was made. ``connect`` with AF_UNSPEC (connect(2)) turns a listening
or accepted socket into a new one. From a sandbox without any network, such a socket would reach everything that the
host reaches: the service, databases, other machines. It could also listen on another port. A system call filter cannot
prevent this, because addresses are in memory. So the socket gets a locked packet filter, which accepted sockets
inherit. The filter drops packets for other ports, and responses to connection attempts. A socket that listens on a
loopback address is also bound to that interface, so no attempt even leaves the machine.

The filter does not see outgoing packets. A connection attempt would stay half open at the target: it takes a place in
the target's queue, and its response is sent again for a minute. So the socket is marked (``SO_MARK``, which only root
can set and the sandbox cannot change). Listeners that know the mark drop such packets: the service, and each preview
with a restricted socket.
"""

from __future__ import annotations

import ctypes
import ipaddress
import socket
import struct
from contextlib import suppress
from typing import Final

# asm-generic/socket.h
_SO_ATTACH_FILTER, _SO_LOCK_FILTER = 26, 44
# linux/bpf_common.h, linux/filter.h: code, jump if true, jump if false, operand
_INSTRUCTION = struct.Struct("HBBI")
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE, _AND, _JUMP_EQUAL, _RETURN = 0x20, 0x28, 0x30, 0x54, 0x15, 0x06
_ALL = 0xFFFFFFFF
# Offset of the packet's mark in a filter: SKF_AD_OFF and SKF_AD_MARK of linux/filter.h.
_PACKET_MARK = (-0x1000 + 20) & _ALL
# Offsets in a TCP segment (RFC 9293, section 3.1).
_DESTINATION_PORT, _FLAGS = 2, 13
_SYN_ACK = 0x12
_LOOPBACK = b"lo"

MARK: Final = 0x50
"""The mark of packets sent through the socket that a preview inherits. A packet filter of the host can match it."""

_REFUSE_MARKED: Final = ((_LOAD_WORD, 0, 0, _PACKET_MARK), (_JUMP_EQUAL, 0, 1, MARK), (_RETURN, 0, 0, 0))


def restrict_to_accept(listener: socket.socket) -> None:
    """Permanently restrict the socket, and all sockets that it accepts, to serving its own port, in any process.

    A socket that is already restricted is not changed.

    Raises:
        PermissionError: The process lacks CAP_NET_ADMIN, which newer kernels require for TCP sockets.
        OSError: The kernel has no memory for the filter.
    """
    if is_restricted(listener):
        return
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_loopback:
        # Without CAP_NET_RAW a process can bind a socket to an interface, but not unbind it (socket(7), Linux 5.7).
        with suppress(PermissionError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _LOOPBACK)
    # Only root can set the mark. Without it connection attempts may stay half open, but reach nothing more.
    with suppress(PermissionError):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, MARK)
    _attach(
        listener,
        *_REFUSE_MARKED,
        (_LOAD_HALF, 0, 0, _DESTINATION_PORT),
        (_JUMP_EQUAL, 0, 4, port),
        (_LOAD_BYTE, 0, 0, _FLAGS),
        (_AND, 0, 0, _SYN_ACK),
        (_JUMP_EQUAL, 1, 0, _SYN_ACK),
        (_RETURN, 0, 0, _ALL),
        (_RETURN, 0, 0, 0),
    )
    listener.setsockopt(socket.SOL_SOCKET, _SO_LOCK_FILTER, 1)


def is_restricted(listener: socket.socket) -> bool:
    """Return whether the socket is permanently restricted; the kernel knows."""
    return bool(listener.getsockopt(socket.SOL_SOCKET, _SO_LOCK_FILTER))


def refuse_fenced(listener: socket.socket) -> None:
    """Drop all packets from restricted sockets, so that they cannot even half open a connection.

    Does nothing if the kernel requires CAP_NET_ADMIN and this process lacks it: then previews have no restricted
    sockets either (``can_fence``).

    Args:
        listener: A socket of the service. Only IPv4 and IPv6 sockets are changed.
    """
    if listener.family in {socket.AF_INET, socket.AF_INET6}:
        with suppress(PermissionError):
            _attach(listener, *_REFUSE_MARKED, (_RETURN, 0, 0, _ALL))


def _attach(listener: socket.socket, *instructions: tuple[int, int, int, int]) -> None:
    """Attach a packet filter, a program in the kernel's classic BPF."""
    program = b"".join(_INSTRUCTION.pack(*one) for one in instructions)
    memory = ctypes.create_string_buffer(program)
    header = struct.pack("@HP", len(instructions), ctypes.addressof(memory))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, header)


def can_fence() -> bool:
    """Return whether this process may restrict a socket, by trying."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        try:
            restrict_to_accept(listener)
        except PermissionError:
            return False
    return True
