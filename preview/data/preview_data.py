"""The data of one preview: its databases to look at, and all of it to save and to load.

A snapshot has what the application has made: files that differ from the generation's, and dumps of the databases. Its
SQLite files are consistent copies. So a snapshot fits later versions of the code, other previews, and forks.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryFile

import trio

from preview.backing import CLIENT_SOCKETS, ClientCommand, PreviewServer, QueryResult, TableSummary
from preview.core.quoting import quoted
from preview.data.client import LONGEST_S, Confined, ConfinedProgram
from preview.data.delta import find_unchanged, write_whole
from preview.data.scratch import Scratch, give_file, open_scratch, take_file
from preview.data.snapshot import COPY, FILES, Part
from preview.data.sqlite import SqliteFile, backup, find_sqlite_files, list_tables, query, read_table
from preview.data.stillness import Stillness
from preview.data.threads import in_thread
from preview.data.tree import add_copy, restore_tree, save_tree
from preview.detection import ServiceKind
from preview.errors import DataUnavailable, PreviewError
from preview.runtime import open_local_socket

# Indexes are made again, which takes several times as long as the dump.
_LOAD_S = 600.0
SQLITE = "SQLite"
# Names of the parts' files by kind.
_FILES_TAR, _SQLITE_TAR = "files.tar", "database.tar"
_DUMPS = {
    ServiceKind.POSTGRESQL: "postgresql.sql",
    ServiceKind.MYSQL: "mysql.sql",
    ServiceKind.REDIS: "redis.rdb",
    ServiceKind.MONGODB: "mongodb.bson",
}
_WITH_TABLES = (ServiceKind.POSTGRESQL, ServiceKind.MYSQL, ServiceKind.MONGODB)
# Ids of SQLite files: in the project, and in the folder that DATABASE_URL names.
_IN_PROJECT, _IN_FOLDER = "sqlite:", "sqlite:@/"


@dataclass(frozen=True, slots=True)
class DataLimits:
    """Limits of a snapshot's files.

    Attributes:
        files: Number of files.
        size_bytes: Size of all.
    """

    files: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Database:
    """A database of a preview.

    Attributes:
        id: ``postgresql``, ``mysql``, ``sqlite:instance/app.db``.
        kind: ``PostgreSQL``, ``MySQL``, ``SQLite``.
        name: Name for people.
        tables: Its tables.
        problem: Why it cannot be read, if so.
    """

    id: str
    kind: str
    name: str
    size_bytes: int | None = None
    tables: Sequence[TableSummary] = ()
    problem: str | None = None


class PreviewData:
    """The data of one preview. Its folders and databases belong to a stranger's code.

    Args:
        project: Folder of the generation's files.
        database: Folder of the SQLite file that ``DATABASE_URL`` names.
        scratch: Private folder, in which folders for programs are made.
        servers: Its own databases.
        confined: Runs programs beside it.
        write_generation: Writes the generation's files into an empty folder.
        limits: Limits of a snapshot.
        stillness: Keeps its processes still while it is saved; None if none runs.
    """

    def __init__(
        self,
        *,
        project: Path,
        database: Path,
        scratch: Path,
        servers: Sequence[PreviewServer],
        confined: Confined,
        write_generation: Callable[[Path], Awaitable[None]],
        limits: DataLimits,
        stillness: Stillness | None = None,
    ) -> None:
        self._project = project
        self._database = database
        self._scratch = scratch
        self._servers = servers
        self._confined = confined
        self._write_generation = write_generation
        self._limits = limits
        self._stillness = stillness

    # Look

    async def list_databases(self) -> list[Database]:
        """Return the databases with their tables. Cancellation: nothing changes."""
        found = [await self._describe_server(server) for server in self._servers if server.kind in _WITH_TABLES]
        for folder, prefix in ((self._project, _IN_PROJECT), (self._database, _IN_FOLDER)):
            files = await self._find_files(folder)
            listed = await list_tables(folder, [one.path for one in files], self._confined.run)
            found += [
                Database(prefix + file.path, SQLITE, file.path, file.size_bytes, one.tables, one.problem)
                for file, one in zip(files, listed, strict=True)
            ]
        return found

    async def _find_files(self, folder: Path) -> Sequence[SqliteFile]:
        find = partial(find_sqlite_files, folder, most_files=self._limits.files)
        return await in_thread(find)

    async def _describe_server(self, server: PreviewServer) -> Database:
        kind = server.kind
        try:
            return Database(kind.name.lower(), kind, kind, await server.measure(), await server.list_tables())
        except DataUnavailable as error:
            return Database(kind.name.lower(), kind, kind, problem=error.message)

    async def read_table(self, database: str | None, table: str, *, offset: int, limit: int) -> QueryResult:
        """Return rows of a table.

        Args:
            database: Its id; None if there is one only.
            table: Name as listed.
            offset: Rows to leave out.
            limit: Most rows.

        Raises:
            DataUnavailable: There is no such database or table, or it cannot be read.

        Cancellation: nothing changes.
        """
        found = await self._find(database)
        if isinstance(found, PreviewServer):
            return await found.read_table(table, offset=offset, limit=limit)
        return await read_table(*found, table, offset=offset, limit=limit, run=self._confined.run)

    async def query(self, database: str | None, statement: str, *, most_rows: int) -> QueryResult:
        """Execute one statement that only reads.

        Args:
            database: Its id; None if there is one only.
            statement: The statement.
            most_rows: Most rows.

        Raises:
            QueryRefused: The database refuses the statement.
            DataUnavailable: There is no such database, or it cannot be read.

        Cancellation: nothing changes.
        """
        found = await self._find(database)
        if isinstance(found, PreviewServer):
            return await found.query(statement, most_rows=most_rows)
        return await query(*found, statement, most_rows=most_rows, run=self._confined.run)

    async def _find(self, database: str | None) -> PreviewServer | tuple[Path, str]:
        known: dict[str, PreviewServer | tuple[Path, str]] = {
            server.kind.name.lower(): server for server in self._servers if server.kind in _WITH_TABLES
        }
        if database is not None and database in known:
            return known[database]
        for folder, prefix in ((self._project, _IN_PROJECT), (self._database, _IN_FOLDER)):
            for one in await self._find_files(folder):
                known[prefix + one.path] = (folder, one.path)
        if database is None and len(known) == 1:
            return next(iter(known.values()))
        if database is not None and database in known:
            return known[database]
        names = ", ".join(quoted(name) for name in known)
        if not known:
            raise DataUnavailable("The preview has no database yet.")
        if database is None:
            raise DataUnavailable(f"Name the database; the preview has {names}.")
        raise DataUnavailable(f"The preview has no database {quoted(database)}; it has {names}.")

    # Save and load

    async def save(self, folder: Path, *, with_copies: bool = False) -> tuple[Part, ...]:
        """Write all data into a folder of the service; return its parts, without sizes and hashes.

        All parts are of one moment: the application's processes are stopped meanwhile, for 3 s at most. Each part is
        consistent by itself, however long it takes.

        Args:
            folder: The folder.
            with_copies: Whether to copy tables too, so that they load faster.

        Raises:
            DataUnavailable: Some of it cannot be saved.
            PreviewError: The generation's files cannot be read.

        Cancellation: the folder may be partly filled.
        """
        found: list[Part] = []
        failures: list[Exception] = []

        async def attempt(work: Callable[[], Awaitable[Part | None]]) -> None:
            try:
                part = await work()
            except (PreviewError, OSError) as error:
                failures.append(error)
                nursery.cancel_scope.cancel()
                return
            if part is not None:
                found.append(part)

        async with open_scratch(self._scratch) as scratch:
            await self._write_generation(scratch.own)
            async with self._still(), trio.open_nursery() as nursery:
                nursery.start_soon(attempt, partial(self._save_files, folder, scratch))
                nursery.start_soon(attempt, partial(self._save_folder, folder))
                for server in self._servers:
                    nursery.start_soon(attempt, partial(self._save_server, server, folder, with_copies))
        if failures:
            raise failures[0]
        return tuple(sorted(found, key=lambda part: part.file))

    @asynccontextmanager
    async def _still(self) -> AsyncIterator[None]:
        """Keep the application still. Cancellation: it goes on."""
        if self._stillness is None:
            yield
            return
        folders = (self._project, self._database)
        files = [folder / one.path for folder in folders for one in await self._find_files(folder)]
        async with self._stillness.keep(files):
            yield

    async def _save_files(self, folder: Path, scratch: Scratch) -> Part | None:
        find = partial(find_unchanged, self._project, scratch.own, most_files=self._limits.files)
        unchanged = await in_thread(find)
        return await self._save_tree(self._project, folder / _FILES_TAR, scratch, FILES, unchanged)

    async def _save_folder(self, folder: Path) -> Part | None:
        async with open_scratch(self._scratch) as scratch:
            return await self._save_tree(self._database, folder / _SQLITE_TAR, scratch, SQLITE, ())

    async def _save_tree(
        self, source: Path, file: Path, scratch: Scratch, kind: str, unchanged: Collection[str]
    ) -> Part | None:
        """Save a folder, its SQLite files as consistent copies; without a part if nothing is in it."""
        paths = [one.path for one in await self._find_files(source) if one.path not in unchanged]
        most_bytes = self._limits.size_bytes
        copies = await backup(source, paths, scratch.shared, self._confined.run, most_bytes=most_bytes)
        count = await in_thread(partial(self._write_tar, source, file, copies, unchanged))
        return Part(kind, file.name, 0, "", count) if count else None

    def _write_tar(self, source: Path, file: Path, copies: Mapping[str, Path], unchanged: Collection[str]) -> int:
        limits = self._limits
        with file.open("xb") as tar:
            saved = save_tree(
                source,
                tar,
                leave_out=copies.keys(),
                unchanged=unchanged,
                most_bytes=limits.size_bytes,
                most_files=limits.files,
            )
            left = limits.size_bytes - saved.size_bytes
            for path, copy in copies.items():
                left -= add_copy(tar, path, copy, most_bytes=left)
        count = saved.files + len(copies)
        if not count:
            file.unlink()
        return count

    async def _save_server(self, server: PreviewServer, folder: Path, with_copies: bool) -> Part | None:
        async with open_scratch(self._scratch) as scratch:
            name, copy = _DUMPS[server.kind], folder / COPY if with_copies else None
            if not await server.save(scratch.shared / name, partial(self._run_client, scratch), copy):
                return None
            take = partial(take_file, scratch.shared, name, folder / name, self._limits.size_bytes)
            await in_thread(take)
            return Part(server.kind, name, 0, "")

    async def load(self, folder: Path | None, parts: Sequence[Part] = ()) -> None:
        """Replace all data by that of a snapshot; no process of the preview may run.

        Args:
            folder: Folder of the snapshot; None for no data: files are the generation's, and databases empty.
            parts: Its parts.

        Raises:
            DataUnavailable: Some of it cannot be loaded; the data may be partly replaced.
            PreviewError: The generation's files cannot be read.

        Cancellation: the data may be partly replaced.
        """
        files = {part.kind: part.file for part in parts}
        missing = files.keys() - {FILES, SQLITE} - {server.kind for server in self._servers}
        if missing:
            names = " and ".join(sorted(missing))
            raise DataUnavailable(f"The snapshot has data of {names}, and the preview has no such server.")
        # Databases first: what fails mostly fails there, and files are the simplest to bring back.
        for server in self._servers:
            if folder is None or server.kind not in files:
                await server.reset()
                continue
            async with open_scratch(self._scratch) as scratch:
                name = files[server.kind]
                await in_thread(partial(give_file, folder / name, scratch.shared / name))
                run = partial(self._run_client, scratch, longest_s=_LOAD_S)
                await server.load(scratch.shared / name, run, folder / COPY)
        async with open_scratch(self._scratch) as scratch:
            await self._write_generation(scratch.own)
            await self._load_tree(self._project, folder, files.get(FILES), scratch.own)
        await self._load_tree(self._database, folder, files.get(SQLITE), None)

    async def _load_tree(self, target: Path, folder: Path | None, name: str | None, base: Path | None) -> None:
        """Make a folder the generation's with a snapshot's difference over it."""
        difference = None if folder is None or name is None else folder / name
        # The generation's own files come on top of those that were saved.
        limits = {"most_bytes": 2 * self._limits.size_bytes, "most_files": 2 * self._limits.files}

        def restore() -> None:
            with TemporaryFile(dir=self._scratch) as tar:
                write_whole(base, difference, tar, **limits)
                restore_tree(tar, target, **limits)

        await in_thread(restore)

    async def _run_client(self, scratch: Scratch, command: ClientCommand, *, longest_s: float = LONGEST_S) -> None:
        program = ConfinedProgram(
            argv=command.argv,
            environment=command.environment,
            readable=command.readable,
            writable=(scratch.shared, scratch.sockets),
            directory=scratch.shared,
            shown_at={CLIENT_SOCKETS: scratch.sockets},
            longest_s=longest_s,
        )
        try:
            async with open_local_socket(scratch.sockets / command.socket, command.serve):
                await self._confined.run(program)
        except OSError as error:
            raise DataUnavailable(f"The server cannot be reached: {error.strerror or error}.") from error
