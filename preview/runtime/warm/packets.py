"""A socket of packets to a process that may say anything, or nothing, read within bounds."""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

__all__ = ["PacketsEnded", "open_pair", "parse", "printable", "receive", "send"]

_MOST_DESCRIPTORS = 4


class PacketsEnded(Exception):
    """The other side is gone."""


@contextmanager
def open_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends, both closed when the context is left; close one of them before that, and ``dup`` the other to keep it.

    Raises:
        OSError: No descriptor is left.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def receive(ours: socket.socket, most_bytes: int) -> tuple[bytes, list[int]]:
    """The next packet, and the descriptors that came with it, which are the caller's to close.

    Raises:
        PacketsEnded: There is none any more.
        OSError: There was no room for its descriptors.

    Cancellation: nothing is lost.
    """
    # Ahead of the packet: behind it, its descriptors would be nobody's.
    await trio.lowlevel.checkpoint_if_cancelled()
    while True:
        try:
            packet, descriptors, flags, _ = socket.recv_fds(
                ours, most_bytes, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            await trio.lowlevel.wait_readable(ours)
        except OSError as error:
            raise PacketsEnded from error
        else:
            if not packet:
                for one in descriptors:
                    os.close(one)
                raise PacketsEnded
            if flags & socket.MSG_CTRUNC:
                for one in descriptors:
                    os.close(one)
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return packet, list(descriptors)


async def send(ours: socket.socket, packet: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send one packet.

    Raises:
        PacketsEnded: Nobody takes it.

    Cancellation: it is sent, or not; never a part of it.
    """
    while True:
        try:
            socket.send_fds(ours, [packet], descriptors)
        except BlockingIOError:
            await trio.lowlevel.wait_writable(ours)
        except OSError as error:
            raise PacketsEnded from error
        else:
            return


def parse(packet: bytes) -> dict[str, object]:
    """What a packet of JSON says; nothing, where that is no object.

    Raises:
        ValueError: It says what nobody understands, however it is built.
    """
    try:
        said = json.loads(packet)
    except RecursionError:
        raise ValueError("too deep") from None
    return said if isinstance(said, dict) else {}


def printable(value: object, most_characters: int = 200) -> str:
    """Text of the other side's for a sentence in a log: one line, without anything that acts on a terminal."""
    text = str(value)[:most_characters]
    return "".join(one if one.isprintable() else "?" for one in text)
