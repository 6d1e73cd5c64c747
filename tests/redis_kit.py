"""A Redis of the tests' own, which can be stopped and killed."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio

from preview.logs.bus.redis import RedisFault, open_redis
from preview.settings_address import RedisAddress

PATIENCE_S = 60


class Server:
    """A Redis of the test's own."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        self.address = RedisAddress("127.0.0.1", self.port, False, None, "secret", 0)
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "", "--requirepass"]
        self.process = subprocess.Popen([*command, "secret", "--dir", str(self.folder)], stdout=subprocess.DEVNULL)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    async def up(self) -> None:
        with trio.fail_after(PATIENCE_S):
            while True:
                try:
                    await self.do("PING")
                except RedisFault:
                    await trio.sleep(0.02)
                else:
                    return

    async def do(self, *words: str | bytes | int) -> object:
        async with open_redis(self.address, most_bytes=100_000, within_s=PATIENCE_S) as redis:
            return await redis.call(*words, within_s=PATIENCE_S)


@contextmanager
def open_redis_server(folder: Path) -> Iterator[Server]:
    """A server; without the program the test is skipped."""
    if shutil.which("redis-server") is None:
        pytest.skip("no redis-server")
    made = Server(folder)
    made.start()
    try:
        yield made
    finally:
        made.kill()
