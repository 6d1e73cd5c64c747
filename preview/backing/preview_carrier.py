"""Joins pairs of sockets: what one side sends, the other gets. ``preview_carrier.py CONTROL_FD``.

Each message of the control socket brings three descriptors: two sockets, and a lifeline that is closed when their
connection has ended. The program ends when the service has closed the control socket.

It looks at no byte that it carries. Standard library only; the service's own interpreter runs it.
"""

from __future__ import annotations

import os
import select
import socket
import sys

_CHUNK_BYTES = 64 * 1024
_DESCRIPTORS = 3
_GONE = select.EPOLLHUP | select.EPOLLERR
_NONE = -1


class Side:
    """One socket of a pair.

    Attributes:
        peer: The other socket of the pair.
        lifeline: Closed with the pair.
        pending: Bytes that this socket did not take yet. Until it has, its peer is not read.
        has_ended: Whether this socket will send no more.
        mask: Events that are waited for; ``_NONE`` if not even its end is.
    """

    __slots__ = ("has_ended", "lifeline", "mask", "peer", "pending", "sock")

    def __init__(self, sock: socket.socket, lifeline: socket.socket) -> None:
        """Own the socket. ``peer`` is set by the caller."""
        self.sock = sock
        self.lifeline = lifeline
        self.peer = self
        self.pending = b""
        self.has_ended = False
        self.mask = 0


class Carrier:
    """All pairs of this process."""

    def __init__(self, control: socket.socket) -> None:
        """Read pairs from ``control``."""
        self._control = control
        self._epoll = select.epoll()
        self._epoll.register(control.fileno(), select.EPOLLIN)
        self._sides: dict[int, Side] = {}
        self._buffer = bytearray(_CHUNK_BYTES)
        self._view = memoryview(self._buffer)

    def run(self) -> None:
        """Carry until the service closes the control socket."""
        control = self._control.fileno()
        while True:
            is_asked = False
            for descriptor, events in self._epoll.poll():
                if descriptor == control:
                    is_asked = True
                    continue
                side = self._sides.get(descriptor)
                # The other socket's event of the same round may have ended the pair.
                if side is not None and not (events == select.EPOLLIN and self._has_passed_on(side)):
                    self._serve(side, events)
            # Last: a new pair may get the numbers of one that ended in this round, whose events would be taken for its.
            if is_asked and not self._take_pair():
                return

    def _take_pair(self) -> bool:
        data, descriptors, _, _ = socket.recv_fds(self._control, 1, _DESCRIPTORS)
        if not data:
            return False
        if len(descriptors) < _DESCRIPTORS:
            # No descriptor is free. This pair ends, and the others go on.
            for descriptor in descriptors:
                os.close(descriptor)
            return True
        first, second, lifeline = (socket.socket(fileno=one) for one in descriptors)
        one, other = Side(first, lifeline), Side(second, lifeline)
        one.peer, other.peer = other, one
        for side in (one, other):
            side.sock.setblocking(False)
            side.mask = select.EPOLLIN
            self._sides[side.sock.fileno()] = side
            self._epoll.register(side.sock.fileno(), side.mask)
        return True

    def _has_passed_on(self, side: Side) -> bool:
        """Pass on what a socket has sent; false if anything else is to be done. Almost all events are of this kind."""
        peer = side.peer
        if peer.pending:
            return False
        try:
            count = side.sock.recv_into(self._buffer)
            if not count:
                return False
            sent = _send(peer.sock, self._view[:count])
        except BlockingIOError:
            return True
        except OSError:
            self._end(side)
            return True
        if sent < count:
            peer.pending = bytes(self._view[sent:count])
            self._wait(side)
            self._wait(peer)
        return True

    def _serve(self, side: Side, events: int) -> None:
        try:
            if events & select.EPOLLOUT:
                self._flush(side)
            if events & select.EPOLLIN and not side.peer.pending:
                self._read(side)
            elif events & select.EPOLLHUP and side.peer.pending:
                # What it sent before its end is read once its peer has taken the rest. The event would repeat.
                self._epoll.unregister(side.sock.fileno())
                side.mask = _NONE
            elif events & _GONE:
                self._end(side)
                return
        except OSError:
            self._end(side)
            return
        if side.has_ended and side.peer.has_ended and not side.pending and not side.peer.pending:
            self._end(side)
            return
        self._wait(side)
        self._wait(side.peer)

    def _read(self, side: Side) -> None:
        peer = side.peer
        try:
            count = side.sock.recv_into(self._buffer)
        except BlockingIOError:
            return
        if count == 0:
            side.has_ended = True
            peer.sock.shutdown(socket.SHUT_WR)
            return
        sent = _send(peer.sock, self._view[:count])
        peer.pending = bytes(self._view[sent:count])

    def _flush(self, side: Side) -> None:
        try:
            side.pending = side.pending[side.sock.send(side.pending) :]
        except BlockingIOError:
            return

    def _wait(self, side: Side) -> None:
        mask = 0 if side.has_ended or side.peer.pending else select.EPOLLIN
        mask |= select.EPOLLOUT if side.pending else 0
        if side.mask == _NONE:
            if not side.peer.pending:
                side.mask = mask
                self._epoll.register(side.sock.fileno(), mask)
        elif mask != side.mask:
            side.mask = mask
            self._epoll.modify(side.sock.fileno(), mask)

    def _end(self, side: Side) -> None:
        for one in (side, side.peer):
            del self._sides[one.sock.fileno()]
            # The service still has the socket, so closing it here would not end its events (epoll(7)).
            if one.mask != _NONE:
                self._epoll.unregister(one.sock.fileno())
            one.sock.close()
        side.lifeline.close()


def _send(sock: socket.socket, data: memoryview) -> int:
    """Return how many bytes the socket took."""
    try:
        return sock.send(data)
    except BlockingIOError:
        return 0


if __name__ == "__main__":
    Carrier(socket.socket(fileno=int(sys.argv[1]))).run()
