"""Wire format between the service, the worker server and its workers."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import ClassVar, Final, Self

# Packets between the service and the worker server: a keyword, followed by numbers.
FORK: Final = b"fork"
SPARE: Final = b"spare"
"""Request for a fork without a waiting job: the fork runs the warm-up job first."""
READY: Final = b"ready"
FORKED: Final = b"forked"
ENDED: Final = b"ended"
MAX_PACKET_BYTES: Final = 256
MAX_FDS: Final = 4

_SIZE: Final = struct.Struct("=I")
_PIECE_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Header:
    """Header of a job.

    Attributes:
        size_bytes: Size of the JSON that follows.
    """

    SIZE: ClassVar[int] = _SIZE.size

    size_bytes: int

    def pack(self) -> bytes:
        """Pack into bytes."""
        return _SIZE.pack(self.size_bytes)

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """Unpack from bytes."""
        return cls(*_SIZE.unpack(data))


def receive_exactly(connection: socket.socket, size_bytes: int) -> bytes:
    """Receive exactly ``size_bytes`` bytes, blocking.

    Raises:
        EOFError: The connection ended before all bytes arrived.
    """
    data = bytearray()
    while len(data) < size_bytes:
        piece = connection.recv(min(_PIECE_BYTES, size_bytes - len(data)))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)
