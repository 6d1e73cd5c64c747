"""A packet socket to an untrusted process, read within limits of size and content."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import trio

from preview.runtime.inbound import Word, close_inbound, receive_now, seal


class PacketsEnded(Exception):
    """The other side has closed the socket, or has sent descriptors."""


@contextmanager
def open_pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Yield our sealed end and their end; leaving the context closes both, unless they were detached.

    Raises:
        OSError: No file descriptor is free.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            seal(ours)
            yield ours, theirs
        finally:
            close_inbound(ours)


async def receive(ours: socket.socket, most_bytes: int) -> Word:
    """Return the next packet, with the pid that the kernel names as its sender.

    Raises:
        PacketsEnded: There are no more packets, or the packet brought descriptors.

    Cancellation: no packet is lost.
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
                raise PacketsEnded("it sent unexpected file descriptors")
            if not word.data:
                raise PacketsEnded
            return word


async def send(ours: socket.socket, packet: bytes, descriptors: Sequence[int] = ()) -> None:
    """Send one packet.

    Raises:
        PacketsEnded: The other side has closed the socket.

    Cancellation: the packet is sent either whole or not at all.
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
    """Parse a JSON packet; return an empty dict unless it is an object.

    Raises:
        ValueError: The packet is not valid JSON, or is nested too deeply.
    """
    try:
        said = json.loads(packet)
    except RecursionError:
        raise ValueError("too deep") from None
    return said if isinstance(said, dict) else {}


def printable(value: object, most_characters: int = 200) -> str:
    """Return untrusted text as one printable line for a log message."""
    text = str(value)[:most_characters]
    return "".join(one if one.isprintable() else "?" for one in text)
