"""The interface of all backing services; each passes the same contract suite (``tests/backing``)."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

import trio

from preview.detection import ServiceKind


class BackingDatabase(Protocol):
    """A preview's own database (Redis: its own server). Nothing is made before the first connection."""

    @property
    def kind(self) -> ServiceKind:
        """Kind of server."""

    async def serve(self, client: trio.SocketStream) -> None:
        """Serve one connection of the preview, whatever user, password and database name it asks for.

        Args:
            client: Connection from inside the preview; the caller closes it.

        Cancellation: both ends are closed.
        """

    async def reset(self) -> None:
        """Drop what the preview has stored; its next connection finds nothing. Its sessions end.

        Cancellation: some of it may be left.
        """

    async def measure(self) -> int | None:
        """Return the database's size in bytes; None before the first connection. Cancellation: nothing changes."""


class BackingEngine(Protocol):
    """A kind of server that previews can have. It is started when the first preview connects to it."""

    @property
    def kind(self) -> ServiceKind:
        """Kind of server."""

    @property
    def version(self) -> str:
        """Program and version, for messages: ``PostgreSQL 15.13``. The first reading blocks."""

    def want(self) -> None:
        """Start the server in the background, if it does not run."""

    async def run(self) -> None:
        """Run the server once it is wanted, forever. Cancellation: it is ended (bounded)."""

    def open_database(self, preview_id: str, slot: int) -> AbstractAsyncContextManager[BackingDatabase]:
        """Open a preview's own database; leaving the context drops it, and ends all its sessions.

        Args:
            preview_id: Id of the preview.
            slot: The preview's port; see ``ProcessSpec.slot``.

        Cancellation: the database is dropped (bounded).
        """
