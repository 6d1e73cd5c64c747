"""Holds the inherited socket to serving: it is of the machine's network, which the sandbox is to be kept from.

A socket stays in the network that it was made in. By ``connect`` with AF_UNSPEC (connect(2)) a listening or accepted
one becomes like new, and would then reach, from within a sandbox without any network, whatever this machine reaches:
the service, a database, other machines; or listen on another port. No filter of system calls sees that, as addresses
stand in memory. So the socket gets a filter of packets, which those that it accepts inherit, and which is locked: it
takes only what is for its own port, and no answer to an attempt to connect. One that listens on a loopback address is
bound to that interface besides: not even an attempt leaves the machine.

What the filter cannot see is what such a socket sends. An attempt to connect would stay half open where it arrives: it
takes a place in that queue, and its answer is sent again for a minute. So the socket is marked (``SO_MARK``, which only
root can set, and the sandbox cannot change), and those who listen and know the mark take no packet that has it: the
service, and each preview that is fenced.
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
# linux/bpf_common.h, linux/filter.h: code, steps if true, steps if false, operand
_INSTRUCTION = struct.Struct("HBBI")
_LOAD_WORD, _LOAD_HALF, _LOAD_BYTE, _AND, _JUMP_EQUAL, _RETURN = 0x20, 0x28, 0x30, 0x54, 0x15, 0x06
_ALL = 0xFFFFFFFF
# Where a filter finds the mark of a packet: SKF_AD_OFF and SKF_AD_MARK of linux/filter.h.
_PACKET_MARK = (-0x1000 + 20) & _ALL
# Where they stand in a segment (RFC 9293, section 3.1).
_DESTINATION_PORT, _FLAGS = 2, 13
_SYN_ACK = 0x12
_LOOPBACK = b"lo"

MARK: Final = 0x50
"""The mark of what a preview sends by the socket that it inherits. A packet filter of the machine can go by it."""

_REFUSE_MARKED: Final = ((_LOAD_WORD, 0, 0, _PACKET_MARK), (_JUMP_EQUAL, 0, 1, MARK), (_RETURN, 0, 0, 0))


def restrict_to_accept(listener: socket.socket) -> None:
    """Let the socket, and all that it accepts, serve its own port and nothing else, in any process; for ever.

    One that is fenced already stays as it is.

    Raises:
        PermissionError: The kernel lets only an administrator of the network do so (newer ones, on TCP sockets).
        OSError: No memory is left.
    """
    if listener.getsockopt(socket.SOL_SOCKET, _SO_LOCK_FILTER):
        return
    host, port = listener.getsockname()[:2]
    if ipaddress.ip_address(host).is_loopback:
        # A process without CAP_NET_RAW can bind a socket, and not unbind it (socket(7), since Linux 5.7).
        with suppress(PermissionError):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, _LOOPBACK)
    # Without root there is no mark, and what it asks for may stay half open; what it may reach is the same.
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


def refuse_fenced(listener: socket.socket) -> None:
    """Let no socket that is fenced connect to this one, not even by half.

    Where the kernel lets only an administrator of the network do so, and this process is none, nothing happens: then
    no preview has such a socket either (``can_fence``).

    Args:
        listener: The service's own. One that is not of IPv4 or IPv6 stays as it is.
    """
    if listener.family in {socket.AF_INET, socket.AF_INET6}:
        with suppress(PermissionError):
            _attach(listener, *_REFUSE_MARKED, (_RETURN, 0, 0, _ALL))


def _attach(listener: socket.socket, *instructions: tuple[int, int, int, int]) -> None:
    """Give the socket a filter of packets in the kernel's classic language (BPF)."""
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
