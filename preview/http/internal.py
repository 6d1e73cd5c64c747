"""The internal listener of a node: only other nodes of the cluster get past its first 80 bytes."""

from __future__ import annotations

import math
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog
import trio

from preview.cluster import NodeKey, NotANode, accept_node
from preview.errors import ConfigurationError
from preview.http.protocol.listening import ConnectionLimiter, PatientListener
from preview.runtime import refuse_fenced

log = structlog.get_logger(__name__)

_BACKLOG = 1024
# Seconds for the handshake of one round trip, however slowly its bytes arrive.
_PROVE_S = 5.0
# Connections that have not proved anything yet, in total and from one address: strangers cannot keep other nodes out.
_MOST_STRANGERS = 256
_MOST_STRANGERS_OF_ONE = 32
# Refusals are logged together: after a loss, the other nodes give up thousands of connections a minute.
_TELL_EACH_S = 10.0

Handler = Callable[[trio.SocketStream], Awaitable[None]]


@dataclass(slots=True)
class _Refusals:
    """Logs refused connections: the first at once, the next ones counted, in one line each some seconds."""

    untold: int = 0
    told_at: float = -math.inf

    def note(self, address: str | None, why: str) -> None:
        """Note one; the line has the newest."""
        self.untold += 1
        now = trio.current_time()
        if now >= self.told_at + _TELL_EACH_S:
            log.warning("internal connection refused", address=address, why=why, connections=self.untold)
            self.untold, self.told_at = 0, now


@dataclass(frozen=True, slots=True)
class InternalListener:
    """A bound socket for other nodes. Made by ``bind_internal``.

    Attributes:
        sock: The listening socket.
        key: The cluster's key.
        node: Name of this node.
        strangers: Counts the connections that have not proved anything yet.
        refusals: Logs those that are refused.
    """

    sock: socket.socket
    key: NodeKey
    node: str
    strangers: ConnectionLimiter = field(
        default_factory=lambda: ConnectionLimiter(_MOST_STRANGERS, _MOST_STRANGERS_OF_ONE)
    )
    refusals: _Refusals = field(default_factory=_Refusals)

    async def run(self, handler: Handler, connections: trio.Nursery) -> None:
        """Accept connections until cancelled, and serve those of nodes.

        Args:
            handler: Serves a connection on which a node has proved itself. It closes the stream.
            connections: Owns the tasks of connections.

        Cancellation: no more connections are accepted.
        """

        async def serve(stream: trio.SocketStream) -> None:
            if await self._is_node(stream):
                await handler(stream)

        listener = trio.SocketListener(trio.socket.from_stdlib_socket(self.sock))
        await trio.serve_listeners(serve, [PatientListener(listener)], handler_nursery=connections)

    async def _is_node(self, stream: trio.SocketStream) -> bool:
        """Return whether the other side has proved to be a node; otherwise the stream is closed."""
        address = _address_of(stream)
        if not self.strangers.has_room_for(address):
            await trio.aclose_forcefully(stream)
            return False
        why = "too slow"
        try:
            with self.strangers.counted(address), trio.move_on_after(_PROVE_S):
                await accept_node(stream, self.key, self.node)
                return True
        except NotANode as error:
            why = str(error)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            why = "the connection broke"
        self.refusals.note(address, why)
        await trio.aclose_forcefully(stream)
        return False


def bind_internal(address: str, key: NodeKey, node: str) -> InternalListener:
    """Bind the internal listener.

    Args:
        address: ``HOST:PORT``.
        key: The cluster's key.
        node: Name of this node.

    Raises:
        ConfigurationError: The address is taken or invalid.
    """
    host, _, port = address.rpartition(":")
    sock: socket.socket | None = None
    try:
        # A node's name resolves to its own address, on the node itself too.
        family, _, _, _, found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)[0]
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        sock.bind(found)
        refuse_fenced(sock)
        sock.listen(_BACKLOG)
    except (OSError, ValueError, OverflowError) as error:
        if sock is not None:
            sock.close()
        raise ConfigurationError(
            f"Cannot listen for other nodes on {address}: {getattr(error, 'strerror', None) or error}; "
            "set PREVIEW_NODE_ADDRESS to an address of this machine and a free port."
        ) from error
    return InternalListener(sock, key, node)


def _address_of(stream: trio.SocketStream) -> str | None:
    try:
        return str(stream.socket.getpeername()[0])
    except OSError:
        return None
