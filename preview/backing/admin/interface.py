"""The interface of a PostgreSQL server, as the databases of previews in it use it."""

from __future__ import annotations

from typing import Protocol

import trio

from preview.backing.streams import Join
from preview.core.servers import Program


class PostgresqlServing(Protocol):
    """A server, the service's own or the operator's; see ``PostgresqlEngine``."""

    program: Program
    join: Join
    # Whether a password itself may be sent to it; see ``ServerAddress.is_private``.
    is_private: bool
    # Of one preview.
    connections: int

    async def connect(self) -> trio.SocketStream:
        """Connect as a client. Cancellation: no connection is left."""

    async def begin(self, client: trio.SocketStream, first: bytes, name: str) -> trio.SocketStream:
        """Begin a session with its first message; the client has read no answer yet. Cancellation: none is left."""

    def password(self, name: str) -> str:
        """Return the password of a role."""

    async def make(self) -> str:
        """Make a role with its database; return their name. Cancellation: what exists is dropped later."""

    async def drop(self, name: str) -> None:
        """Drop a database with its role. Cancellation: it is tried again later."""

    async def measure(self, name: str) -> int | None:
        """Return a database's size in bytes. Cancellation: nothing changes."""
