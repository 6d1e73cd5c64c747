"""The interface of all backing services; each passes the same contract suite (``tests/backing``)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import trio

from preview.detection import ServiceKind
from preview.runtime import Serve

# Connections of a preview's user beyond the preview's own limit: for the service's look at the data, and for saving it.
RESERVED_CONNECTIONS = 2


CLIENT_SOCKETS = Path("/run/preview")
"""The folder of local sockets, as client programs see it. A port would need a bridge, which starts in 50 ms."""


@dataclass(frozen=True, slots=True)
class ClientCommand:
    """A client program of a server, which saves or loads a preview's data.

    It runs in a sandbox of its own, as the preview's own user, without a network.

    Attributes:
        argv: Program and arguments.
        environment: All variables.
        readable: Folders that it needs besides the system's.
        socket: File name of the local socket in ``CLIENT_SOCKETS`` that is served.
        serve: Serves the connections to this socket.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    readable: tuple[Path, ...]
    socket: str
    serve: Serve


# Runs a client program to its end, within limits of time, memory and size of files; raises DataUnavailable with its
# last words.
RunClient = Callable[[ClientCommand], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Column:
    """A column of an answer.

    Attributes:
        type: Type, as the server names it: ``integer``, ``text``; empty if unknown.
    """

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class QueryResult:
    """The rows of an answer.

    Attributes:
        columns: Columns.
        rows: Values as the server's text, long ones cut; None for NULL.
        is_cut: Whether there are more rows than these, or a value was cut.
        has_more: Whether there are more rows than these.
    """

    columns: tuple[Column, ...] = ()
    rows: tuple[tuple[str | None, ...], ...] = ()
    is_cut: bool = False
    has_more: bool = False


@dataclass(frozen=True, slots=True)
class TableSummary:
    """A table, or a view.

    Attributes:
        name: Name that ``read_table`` takes: ``public.books``, ``books``.
        rows: Number of rows, often an estimate; None if unknown.
        size_bytes: Size with its indexes; None if unknown.
    """

    name: str
    rows: int | None = None
    size_bytes: int | None = None


class BackingDatabase(Protocol):
    """A preview's own database (Redis: its own server). Nothing is made before the first connection."""

    @property
    def kind(self) -> ServiceKind:
        """Kind of server."""

    def want(self) -> None:
        """Start the preview's own server in the background, if it has one and that takes longer than a moment."""

    async def serve(self, client: trio.SocketStream) -> None:
        """Serve one connection of the preview, whatever user, password and database name it asks for.

        Args:
            client: Connection from inside the preview; the caller closes it.

        Cancellation: both ends are closed.
        """

    async def reset(self) -> None:
        """Drop what the preview has stored; its next connection finds nothing. Its sessions end.

        Raises:
            DataUnavailable: Some of it may be left (Redis: it refuses, and does not start again).

        Cancellation: some of it may be left.
        """

    async def measure(self) -> int | None:
        """Return the database's size in bytes; None before the first connection. Cancellation: nothing changes."""

    async def save(self, file: Path, run: RunClient) -> bool:
        """Write all data into a new file. The application may go on meanwhile.

        Args:
            file: The file, in a folder that client programs can write. It does not exist.
            run: Runs a client program that can write this folder.

        Returns:
            False if nothing is stored; there is no file then.

        Raises:
            DataUnavailable: The data cannot be saved; there may be a part of the file.

        Cancellation: there may be a part of the file.
        """

    async def load(self, file: Path, run: RunClient) -> None:
        """Replace all data by a saved file. Sessions end.

        PostgreSQL: if it fails nothing has changed. MySQL, Redis: if it fails the database may be empty.

        Args:
            file: A file that ``save`` of the same kind has written, for any preview. It is not believed.
            run: Runs a client program that can read the file.

        Raises:
            DataUnavailable: The data cannot be loaded.

        Cancellation: as if it fails.
        """

    async def list_tables(self) -> Sequence[TableSummary]:
        """Return the tables and views, sorted by name; none before the first connection.

        Raises:
            DataUnavailable: The server does not say.

        Cancellation: nothing changes.
        """

    async def read_table(self, name: str, *, offset: int, limit: int) -> QueryResult:
        """Return rows of a table, in the order of its primary key.

        Args:
            name: Its name, as ``list_tables`` has it.
            offset: Rows to leave out.
            limit: Most rows.

        Raises:
            DataUnavailable: There is no such table, or the server does not answer.

        Cancellation: nothing changes.
        """

    async def query(self, statement: str, *, most_rows: int) -> QueryResult:
        """Execute one statement that only reads, within a limit of time.

        Args:
            statement: The statement.
            most_rows: Most rows; there may be fewer, as the size is limited too.

        Raises:
            QueryRefused: The database refuses the statement.
            DataUnavailable: The server does not answer.

        Cancellation: nothing changes.
        """


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
