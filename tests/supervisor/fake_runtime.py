"""A runtime without processes: the test decides when the child answers, prints and ends. The socket is real."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import trio
import trio.testing

from preview.core.isolation import Network
from preview.runtime import ColdStarts, Excess, Exit, Held, ProcessIdentity, ProcessSpec, Usage

_ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class FakeProcess:
    def __init__(self, spec: ProcessSpec, number: int) -> None:
        self.spec = spec
        self.identity = ProcessIdentity(10_000_000 + number, 1, "no-such-boot")
        self.writer, self.output = trio.testing.memory_stream_one_way_pair()
        self._ended = trio.Event()
        self._exit = Exit(code=0)
        self._ready = trio.Event()

    def become_ready(self) -> None:
        self._ready.set()

    def end(self, ended: Exit) -> None:
        if not self._ended.is_set():
            self._exit = ended
            self._ended.set()
            # As the kernel does: nobody is left who could print.
            self.writer.close()

    async def wait(self) -> Exit:
        await self._ended.wait()
        return self._exit

    async def usage(self) -> Usage:
        await trio.lowlevel.checkpoint()
        return Usage(1, 0.0, 1)

    def resident_bytes(self) -> int | None:
        return None

    def excess(self) -> Excess:
        return Excess()

    def members(self) -> list[int]:
        return []

    async def stop(self, grace_s: float) -> Exit:
        self.end(Exit(signal=15))
        await self.writer.aclose()
        return await self.wait()

    async def serve(self) -> None:
        await self._ready.wait()
        assert self.spec.listener is not None
        copy = trio.socket.from_stdlib_socket(socket.socket(fileno=self.spec.listener.dup().detach()))
        with copy:
            while True:
                connection, _ = await copy.accept()
                with connection:
                    await connection.recv(65536)
                    await connection.send(_ANSWER)


class FakeRuntime(ColdStarts):
    name = "fake"

    def __init__(self) -> None:
        self.live: dict[str, FakeProcess] = {}
        self.started = 0
        self._news = trio.lowlevel.ParkingLot()

    async def process(self, preview_id: str) -> FakeProcess:
        """The preview's child, once it has started."""
        while preview_id not in self.live:
            await self._news.park()
        return self.live[preview_id]

    def describe(self) -> Mapping[str, str]:
        return {}

    def holds(self) -> frozenset[Held]:
        return frozenset()

    def network(self, wanted: Network) -> Network:
        return wanted

    def shares_listener(self, _network: Network) -> bool:
        return True

    @asynccontextmanager
    async def open_process(self, spec: ProcessSpec) -> AsyncIterator[FakeProcess]:
        self.started += 1
        process = FakeProcess(spec, self.started)
        if spec.number > 1:
            # It takes over from one that was ready.
            process.become_ready()
        self.live[spec.preview_id] = process
        self._news.unpark_all()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(process.serve)
                yield process
                nursery.cancel_scope.cancel()
        finally:
            del self.live[spec.preview_id]
            with trio.move_on_after(1, shield=True):
                await process.writer.aclose()
                await process.output.aclose()


__all__ = ["FakeProcess", "FakeRuntime"]
