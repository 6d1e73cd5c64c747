"""Direct streams over socket pairs: a log, its readers' ends, no server and no preview."""

from __future__ import annotations

import re
import socket
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import h11
import trio

from preview.http.protocol.strict_ws import Sends
from preview.http.streams.direct import DirectStream, DirectStreams
from preview.http.streams.log_streams import Farewell, Waits
from preview.logs import (
    PREAMBLE,
    Contract,
    Encoding,
    Format,
    LogStore,
    LogWriter,
    PreviewLog,
    StreamEncoder,
    run_log_writer,
)
from preview.settings import Settings
from preview.storage.database import open_database
from preview.storage.tables import metadata, preview_instances

PREVIEW = "preview_a"
ENCODING = Encoding(Contract.V1)
ROW = {
    "id": PREVIEW, "generation_id": "g", "project_id": "p", "user_id": "u", "status": "running",
    "health_status": "unknown", "created_at": 0, "expires_at": 0, "token_hash": "", "token_expires_at": 0,
    "log_level": "ERROR",
}  # fmt: skip
_ID = re.compile(rb"^id: (\d+)$", re.MULTILINE)


@dataclass
class Client:
    """The reader's end of one stream."""

    stream: trio.SocketStream
    over: trio.Event = field(default_factory=trio.Event)
    body: bytes = b""
    complete: bool = False

    def __post_init__(self) -> None:
        self._parser = h11.Connection(h11.CLIENT)
        self._parser.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
        self._parser.send(h11.EndOfMessage())
        self._parser.receive_data(b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n\r\n")
        assert isinstance(self._parser.next_event(), h11.Response)

    @property
    def numbers(self) -> list[int]:
        return [int(found) for found in _ID.findall(self.body)]

    async def read(self, most: int = 65536) -> bool:
        """Read once; False behind the proper end of the body."""
        data = await self.stream.receive_some(most)
        self._parser.receive_data(data)
        while (event := self._parser.next_event()) is not h11.NEED_DATA:
            if isinstance(event, h11.EndOfMessage):
                self.complete = True
                return False
            assert isinstance(event, h11.Data), event
            self.body += bytes(event.data)
        return True

    async def until(self, text: bytes) -> None:
        while text not in self.body:
            assert await self.read(), self.body[-300:]

    async def to_end(self) -> bytes:
        while await self.read():
            pass
        return self.body


class Direct:
    """Opens streams of one log."""

    def __init__(self, nursery: trio.Nursery, log: PreviewLog, streams: DirectStreams, waits: Waits) -> None:
        self.nursery, self.log, self.streams, self.waits = nursery, log, streams, waits
        self.sends = Sends()
        self.clients: list[Client] = []

    def open(
        self,
        *,
        after: int | None = None,
        expires_at: datetime | None = None,
        send_buffer: int | None = None,
        encoding: Encoding = ENCODING,
    ) -> Client:
        ours, theirs = socket.socketpair()
        if send_buffer:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        client = Client(trio.SocketStream(trio.socket.from_stdlib_socket(theirs)))
        self.clients.append(client)
        stream = trio.SocketStream(trio.socket.from_stdlib_socket(ours))
        resources = ExitStack()
        made = DirectStream(
            resources.enter_context(self.streams.group(self.log, encoding)),
            self.log.cursor(after=after),
            StreamEncoder(encoding, start_seq=after or 0),
            waits=self.waits,
            farewell=Farewell(PREVIEW, encoding, expires_at),
            preamble=PREAMBLE if encoding.format is Format.SSE else b"",
        )

        async def run() -> None:
            async with stream:
                with resources:
                    await made.run(stream, self.sends)
            client.over.set()

        self.nursery.start_soon(run)
        return client


@asynccontextmanager
async def open_direct(folder: Path, *, keep_alive_s: float = 60, **settings: Any) -> AsyncIterator[Direct]:
    made = Settings(data_dir=folder, **settings)
    async with open_database(f"sqlite:///{folder / 'preview.db'}") as database, trio.open_nursery() as nursery:
        metadata.create_all(database.engine)
        await database.write(lambda connection: connection.execute(preview_instances.insert().values(ROW)))
        writer = LogWriter(database, made)
        log = PreviewLog(PREVIEW, settings=made, writer=writer, store=LogStore(database))
        await nursery.start(run_log_writer, writer)
        streams = DirectStreams(nursery, keep_alive_s=keep_alive_s, pending_bytes=made.backlog_bytes)
        direct = Direct(nursery, log, streams, Waits())
        yield direct
        for client in direct.clients:
            client.stream.socket.close()
        nursery.cancel_scope.cancel()
