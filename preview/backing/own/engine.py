"""PostgreSQL for previews: a server of its own for each, in a copy of a folder that is prepared once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import trio

from preview.backing.own.database import OwnPostgresqlDatabase
from preview.backing.own.server_folder import OwnLimits, own_command
from preview.backing.own.sessions import answers
from preview.backing.server import Server, ServerUnavailable
from preview.backing.server_command import is_kept
from preview.backing.streams import Join
from preview.core.removal import remove_folder
from preview.core.servers import Program
from preview.detection import ServiceKind
from preview.runtime import Runtime, beside, join

# The server that makes the folder which previews get copies of; no preview has its port, or such an id.
_FIRST, _SLOT = "first", 2
_REMOVE_S = 5.0


class OwnPostgresqlEngine:
    """See ``BackingEngine``.

    Args:
        program: The server program.
        folder: Private folder of the service, in which each server has one.
        limits: Limits of each server.
        runtime: Confines the servers.
        join: Forwards bytes between a client and a server.
        kept: Folder in the cache for the prepared folder that previews get copies of.
    """

    kind = ServiceKind.POSTGRESQL

    def __init__(
        self, program: Program, folder: Path, limits: OwnLimits, runtime: Runtime, *, kept: Path, join: Join = join
    ) -> None:
        self.program = program
        self._folder = folder
        self._limits = limits
        self._runtime = runtime
        self._join = join
        self._kept = kept
        self._wanted = trio.Event()
        self._turn = trio.Lock()
        # Folders in use.
        self._live: set[str] = set()

    @property
    def version(self) -> str:
        """See ``BackingEngine``."""
        return self.program.describe()

    def want(self) -> None:
        """See ``BackingEngine``: prepares the folder that previews get copies of."""
        self._wanted.set()

    async def run(self) -> None:
        """Remove what a service that ended has left, and prepare. Cancellation: the preparation ends."""
        await trio.to_thread.run_sync(self._remove_leftovers)
        await self._wanted.wait()
        with suppress(ServerUnavailable):
            await self._prepare()
        await trio.sleep_forever()

    @asynccontextmanager
    async def open_database(self, preview_id: str, slot: int) -> AsyncIterator[OwnPostgresqlDatabase]:
        """See ``BackingEngine``. Cancellation: the server ends, and its folder is removed (bounded)."""
        async with self._open_server(preview_id, slot) as server:
            database = OwnPostgresqlDatabase(self.program, server, self._limits, self._join)

            async def run() -> None:
                await database.wanted.wait()
                # The start of the server itself fails too then, and says why.
                with suppress(ServerUnavailable):
                    await self._prepare()
                await server.run()

            async with beside(run):
                yield database

    @asynccontextmanager
    async def _open_server(self, name: str, slot: int) -> AsyncIterator[Server]:
        folder = self._folder / name
        self._live.add(name)
        command = own_command(self.program, folder, f"postgresql-{name}", self._limits, slot=slot, kept=self._kept)
        try:
            yield Server(command, self._runtime, answers)
        finally:
            with trio.move_on_after(_REMOVE_S, shield=True):
                await trio.to_thread.run_sync(remove_folder, folder, abandon_on_cancel=True)
            self._live.discard(name)

    async def _prepare(self) -> None:
        """Make the folder that previews get copies of, unless there is one. Only one is made at a time.

        Raises:
            ServerUnavailable: It cannot be made.
        """
        async with self._turn, self._open_server(_FIRST, _SLOT) as server:
            if not await trio.to_thread.run_sync(is_kept, server.command):
                # Its command keeps a copy before the server runs; that it comes up then says that the copy is good.
                async with beside(server.run):
                    await server.connected()

    def _remove_leftovers(self) -> None:
        if self._folder.is_dir():
            for one in list(self._folder.iterdir()):
                if one.name not in self._live:
                    remove_folder(one)
