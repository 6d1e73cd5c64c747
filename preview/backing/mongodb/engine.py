"""A MongoDB of the operator's: a user and a database of its own for each preview.

Nothing of the server is changed but what has this service's names.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import trio

from preview.backing.interface import QueryResult, RunClient, TableSummary
from preview.backing.mongodb import contents
from preview.backing.mongodb.account import NAME, MongodbServer, Refused, Session
from preview.backing.mongodb.bson import Document, NotBson
from preview.backing.mongodb.relay import Relay, large_commands, own_large_commands, refuse
from preview.backing.mongodb.wire import NotMongodb
from preview.backing.operator.keeper import Keeper
from preview.backing.operator.names import Names
from preview.backing.server import ServerUnavailable
from preview.backing.streams import FIRST_S, SessionEnded
from preview.detection import ServiceKind
from preview.errors import DataUnavailable, QueryRefused
from preview.settings_address import ServerAddress

_DROP_S = 5.0
_NO_USER = 11
_ENDED = (SessionEnded, NotMongodb, trio.BrokenResourceError, trio.ClosedResourceError)


class OperatorMongodb:
    """See ``BackingEngine``.

    Args:
        address: The server, with an administrator's account.
        names: Names of this service.
        connections: Connections that a preview may have.
        most_bytes: Size of a preview's data.
    """

    kind = ServiceKind.MONGODB

    def __init__(self, address: ServerAddress, names: Names, *, connections: int, most_bytes: int) -> None:
        self.connections = connections
        self.most_bytes = most_bytes
        self.server = MongodbServer(address)
        self.large = large_commands()
        self._names = names
        self._live: set[str] = set()
        self.keeper = Keeper("mongodb", self, Refused)

    @property
    def version(self) -> str:
        """See ``BackingEngine``."""
        return f"{NAME} {self.keeper.version}".rstrip()

    def want(self) -> None:
        """See ``BackingEngine``: the operator runs the server."""

    async def run(self) -> None:
        """Drop what a service that ended has left, and what could not be dropped. Cancellation: it ends."""
        async with self.server.open():
            await self.keeper.run()

    @asynccontextmanager
    async def open_database(self, preview_id: str, slot: int) -> AsyncIterator[MongodbDatabase]:  # noqa: ARG002
        """See ``BackingEngine``. Cancellation: the database is dropped (bounded)."""
        database = MongodbDatabase(self, self._names.new())
        try:
            yield database
        finally:
            if database.name in self._live:
                self._live.discard(database.name)
                with trio.move_on_after(_DROP_S, shield=True):
                    await self.keeper.drop(database.name)

    async def make(self, name: str, password: str) -> None:
        """Make a user that may read and write the database of its own name, and nothing else.

        Raises:
            ServerUnavailable: The server does not answer, or refuses.

        Cancellation: what exists is dropped later.
        """
        await self.keeper.set_up()
        self._live.add(name)
        # Again where an earlier try was cut off: nobody else has this name.
        await self._drop_user(name)
        # Not dbAdmin: with it, ``profile`` would set what is logged of all databases.
        roles: list[Document] = [{"role": "readWrite", "db": name}]
        made: Document = {"createUser": name, "pwd": password, "roles": roles, "mechanisms": ["SCRAM-SHA-256"]}
        await self.server.execute(name, made)

    async def empty(self, name: str) -> None:
        """Drop everything in a database, and end its sessions. Raises and is cancelled like ``make``."""
        await self._end_sessions(name)
        await self.server.execute(name, {"dropDatabase": 1})

    async def drop_now(self, name: str) -> None:
        """See ``Databases``. Cancellation: some of it may be left."""
        # The user first: no session begins any more.
        await self._drop_user(name)
        await self.empty(name)

    async def _drop_user(self, name: str) -> None:
        try:
            await self.server.execute(name, {"dropUser": name})
        except ServerUnavailable as error:
            if not isinstance(error.__cause__, Refused) or error.__cause__.code != _NO_USER:
                raise

    async def _end_sessions(self, name: str) -> None:
        await self.server.execute("admin", {"killAllSessions": [{"user": name, "db": name}]})

    async def check(self) -> str:
        """See ``Databases``. Cancellation: nothing changes."""
        return await self.server.check()

    async def hold_lock(self, *, alone: bool) -> tuple[str, bool]:  # noqa: ARG002
        """See ``Databases``: MongoDB has no such locks, so a copied data folder needs a new mark before its start.

        Cancellation: nothing changes.
        """
        await trio.lowlevel.checkpoint()
        return NAME, True

    async def let_others_hold(self) -> None:
        """See ``Databases``. Cancellation: nothing changes."""
        await trio.lowlevel.checkpoint()

    def is_live(self, name: str) -> bool:
        """See ``Databases``."""
        return name in self._live

    async def list_names(self) -> Sequence[str]:
        """See ``Databases``. Cancellation: nothing changes."""
        own: Document = {"$regex": f"^pv_{self._names.mark}_"}
        users = await self.server.execute("admin", {"usersInfo": {"forAllDBs": True}, "filter": {"user": own}})
        said = await self.server.execute("admin", {"listDatabases": 1, "nameOnly": True, "filter": {"name": own}})
        found = [*_texts(users.get("users"), "user"), *_texts(said.get("databases"), "name")]
        return [name for name in dict.fromkeys(found) if self._names.is_own(name)]

    async def measure(self, name: str) -> int | None:
        """Return a database's size in bytes; None if there is no answer. Cancellation: nothing changes."""
        with suppress(ServerUnavailable):
            said = await self.server.execute(name, {"dbStats": 1})
            sizes = [said.get(one) for one in ("storageSize", "indexSize")]
            return sum(int(one) for one in sizes if isinstance(one, int | float))
        return None


class MongodbDatabase:
    """See ``BackingDatabase``.

    Args:
        engine: The server.
        name: Name of the user, and of its database.
    """

    kind = ServiceKind.MONGODB

    def __init__(self, engine: OperatorMongodb, name: str) -> None:
        self._engine = engine
        self.name = name
        self._password = secrets.token_urlsafe(24)
        self._turn = trio.Lock()
        self._is_made = False
        self._connections = 0
        self._large = own_large_commands()

    def want(self) -> None:
        """See ``BackingDatabase``: the operator runs the server."""

    async def serve(self, client: trio.SocketStream) -> None:
        """See ``BackingDatabase``. Cancellation: both ends are closed."""
        with suppress(*_ENDED):
            if self._connections >= self._engine.connections:
                await self._refuse(client, f"too many connections: a preview may have {self._engine.connections}")
                return
            self._connections += 1
            try:
                await self._serve(client)
            finally:
                self._connections -= 1

    async def _serve(self, client: trio.SocketStream) -> None:
        try:
            await self._make_once()
            server = await self._engine.server.connect(self.name, self._password)
        except ServerUnavailable as error:
            await self._refuse(client, str(error))
            return
        try:
            await Relay(client, server, self.name, self._engine.large, self._large).run()
        finally:
            server.socket.close()

    async def _refuse(self, client: trio.SocketStream, sentence: str) -> None:
        with trio.move_on_after(FIRST_S):
            await refuse(client, sentence)

    async def _make_once(self) -> None:
        async with self._turn:
            if not self._is_made:
                await self._engine.make(self.name, self._password)
                self._is_made = True

    async def reset(self) -> None:
        """See ``BackingDatabase``. Cancellation: some of the data may be left."""
        if not self._is_made:
            return
        with _reading():
            await self._engine.empty(self.name)

    async def measure(self) -> int | None:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        return await self._engine.measure(self.name) if self._is_made else None

    async def save(self, file: Path, run: RunClient) -> bool:  # noqa: ARG002  no program is needed
        """See ``BackingDatabase``. Cancellation: there may be a part of the file."""
        if not self._is_made:
            return False
        async with self._session() as session:
            return await contents.save(session, self.name, file, self._engine.most_bytes)

    async def load(self, file: Path, run: RunClient) -> None:  # noqa: ARG002  no program is needed
        """See ``BackingDatabase``. Cancellation: the database may be empty, or have a part of the file."""
        with _reading():
            await self._make_once()
            await self._engine.empty(self.name)
        async with self._session() as session:
            await contents.load(session, self.name, file)

    async def list_tables(self) -> Sequence[TableSummary]:
        """See ``BackingDatabase``: the collections. Cancellation: nothing changes."""
        if not self._is_made:
            return []
        async with self._session() as session:
            return await contents.list_collections(session, self.name)

    async def read_table(self, name: str, *, offset: int, limit: int) -> QueryResult:
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        if not self._is_made:
            raise DataUnavailable(f"The preview has stored nothing in {NAME} yet.")
        async with self._session() as session:
            return await contents.read_collection(session, self.name, name, offset=offset, limit=limit)

    async def query(self, statement: str, *, most_rows: int) -> QueryResult:  # noqa: ARG002
        """See ``BackingDatabase``. Cancellation: nothing changes."""
        await trio.lowlevel.checkpoint()
        raise QueryRefused(f"{NAME} has no SQL: look at its collections instead.")

    @asynccontextmanager
    async def _session(self) -> AsyncIterator[Session]:
        with _reading():
            async with self._engine.server.open_session(self.name, self._password, self.name) as session:
                yield session


@contextmanager
def _reading() -> Iterator[None]:
    """Translate what fails. Raises: DataUnavailable."""
    try:
        yield
    except Refused as error:
        raise DataUnavailable(f"{NAME} refuses: {error}.") from error
    except ServerUnavailable as error:
        raise DataUnavailable(str(error)) from error
    except (*_ENDED, NotBson) as error:
        raise DataUnavailable(f"{NAME} does not answer as expected.") from error


def _texts(found: object, name: str) -> list[str]:
    """Return the texts of this name in a list of documents."""
    values = [one.get(name) for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return [one for one in values if isinstance(one, str)]
