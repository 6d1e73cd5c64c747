"""A socket of packets to a process that may say anything, or nothing, read within bounds."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from preview.runtime.inbound import Word, close_inbound, receive_now, seal


class PacketsEnded(Exception):
    """The other side is gone, or sends what nobody listens to any further."""


@contextmanager
def open_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends, of which ours is sealed; both are closed when the context is left, unless they were detached.

    Raises:
        OSError: No descriptor is left.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            seal(ours)
            yield ours, theirs
        finally:
            close_inbound(ours)


async def receive(ours: socket.socket, most_bytes: int) -> Word:
    """Return the next packet, with the process that the kernel names as its sender.

    Raises:
        PacketsEnded: There is none any more, or it brought descriptors.

    Cancellation: nothing is lost.
    """
    await trio.lowlevel.checkpoint_if_cancelled()
    while True:
        try:
            word = receive_now(ours, most_bytes)
        except BlockingIOError:
            await trio.lowlevel.wait_readable(ours)
        except OSError as error:
            raise PacketsEnded from error
        else:
            if word.had_descriptors:
                raise PacketsEnded("it sends descriptors, which nobody takes")
            if not word.data:
                raise PacketsEnded
            return word


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
    """Parse a packet of JSON; empty unless it is an object.

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
