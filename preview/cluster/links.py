"""Connections between nodes: opened by the node that passes a request on, accepted by the preview's owner."""

from __future__ import annotations

import errno
import os
import socket

import trio

from preview.cluster.credentials import ANSWER_BYTES, HELLO_BYTES, PROOF_BYTES, NodeKey, NotANode
from preview.core.descriptors import connect_socket

# A node in the same network accepts within milliseconds. A lost one must not keep a request for long.
_CONNECT_S = 3.0


class NodeLink:
    """Opens connections to one node; see ``preview.runtime.Connects``.

    Args:
        node: The node's name.
        address: Host and port of its internal listener.
        key: The cluster's key.
    """

    def __init__(self, node: str, address: tuple[str, int], key: NodeKey) -> None:
        self.node = node
        self.address = address
        self._key = key

    async def open_connection(self) -> socket.socket:
        """Return a new connection on which both sides are proved; the caller closes it.

        Raises:
            OSError: The node does not accept in time, or is not the one that is wanted.

        Cancellation: no connection is left.
        """
        deadline = trio.current_time() + _CONNECT_S
        family, address = await self._resolved()
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with trio.fail_at(deadline):
                await connect_socket(sock, address)
                await self._prove(sock)
        except trio.TooSlowError as error:
            sock.close()
            raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT)) from error
        except NotANode as error:
            sock.close()
            raise OSError(errno.EACCES, str(error)) from error
        except BaseException:
            sock.close()
            raise
        return sock

    async def _resolved(self) -> tuple[int, tuple[str, int]]:
        """Return the address family and the IP address; a name may have another address by now."""
        with trio.move_on_after(_CONNECT_S):
            found = await trio.socket.getaddrinfo(*self.address, type=socket.SOCK_STREAM)
            family, _, _, _, address = found[0]
            return family, (str(address[0]), int(address[1]))
        raise OSError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))

    async def _prove(self, sock: socket.socket) -> None:
        hello = await _read(sock, HELLO_BYTES)
        answer = self._key.answer(hello, self.node)
        sock.send(answer)  # fits into the empty buffer of a new socket
        self._key.check_welcome(hello, answer, await _read(sock, PROOF_BYTES), self.node)


async def _read(sock: socket.socket, size: int) -> bytes:
    """Read exactly this many bytes, and none of the bytes after them."""
    came = b""
    while len(came) < size:
        await trio.lowlevel.wait_readable(sock)
        try:
            piece = sock.recv(size - len(came))
        except BlockingIOError:
            continue
        if not piece:
            raise NotANode("The other node has closed the connection: it has another secret or another name.")
        came += piece
    return came


async def accept_node(stream: trio.SocketStream, key: NodeKey, node: str) -> None:
    """Prove both sides of a new connection. The caller sets the deadline, and closes the stream after an error.

    Args:
        stream: A connection from which nothing was read.
        key: The cluster's key.
        node: The own name.

    Raises:
        NotANode: The connecting side is no node of this cluster, or wants another node.
        trio.BrokenResourceError: The connection broke.

    Cancellation: the stream must be closed.
    """
    hello = key.hello()
    await stream.send_all(hello)
    came = b""
    while len(came) < ANSWER_BYTES:
        piece = await stream.receive_some(ANSWER_BYTES - len(came))
        if not piece:
            raise NotANode("The connecting side has closed the connection.")
        came += piece
    await stream.send_all(key.welcome(hello, came, node))
