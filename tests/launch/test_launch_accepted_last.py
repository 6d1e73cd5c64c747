"""A connection that asyncio has accepted in the very turn in which the server is told to let go of the socket."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

from preview.runtime.launchers import LAUNCHERS


def launcher() -> Any:
    spec = importlib.util.spec_from_file_location("preview_asgi_under_test", LAUNCHERS / "preview_asgi.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Told:
    """The control channel, as far as a drain needs it."""

    def __init__(self) -> None:
        self.words: list[str] = []

    def tell(self, word: str) -> None:
        self.words.append(word)


async def accepted_while_draining() -> tuple[bytes, list[str]]:
    connections: set[Any] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.add(writer)
        writer.write(b"answered " + await reader.readexactly(1))
        await writer.drain()
        writer.close()
        connections.discard(writer)

    listening = socket.create_server(("127.0.0.1", 0))
    server = await asyncio.start_server(answer, sock=listening)
    state = SimpleNamespace(connections=connections, tasks=set())
    told, served = Told(), SimpleNamespace(servers=[server], server_state=state, should_exit=False)
    with socket.create_connection(listening.getsockname()) as client:
        client.sendall(b"1")
        # The loop has accepted it now, and makes the connection in its next turn: behind what runs here.
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        await launcher()._drain(served, told, 60.0)
        client.settimeout(10)
        return await asyncio.to_thread(client.recv, 100), told.words


def test_what_was_accepted_last_is_answered() -> None:
    # A thread of its own: the browser of other tests leaves an asyncio loop running in this one.
    with ThreadPoolExecutor(1) as threads:
        answer, words = threads.submit(asyncio.run, accepted_while_draining()).result()
    assert answer == b"answered 1"
    assert words == ["closed", "drained"]
