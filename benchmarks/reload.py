"""Saving a file: does a request fail meanwhile, and how long is it until the new code answers?

``uv run python benchmarks/reload.py [--reloads N] [--rate R] [--saves N] [--isolation plain] [--save FILE]``

First ``R`` requests a second come for as long as ``N`` reloads take: half of them on new connections to the preview
itself, half on kept ones through ``POST …/preview/request``. Each must be answered, by the code from before or by the
new one. Then the time from a save to the first answer of the new code: by ``PreviewManager.reload`` in this process, by
``PATCH …/files``, and by writing the file that ``preview run --watch`` watches.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import h11
import trio
from _caches import use_usual_caches
from _measure import RUN_BY, compare, percentile, save
from _service import USER, Server, launch, open_server

from preview.core.isolation import Isolation
from preview.service import Service, open_service
from preview.settings import Settings
from preview.supervisor import FilesChange, LivePreview

CODE = """
from fastapi import FastAPI
from fastapi.responses import PlainTextResponse

app = FastAPI()


@app.get("/health")
def health():
    return {{"ok": True}}


@app.get("/")
async def version():
    return PlainTextResponse("version {}")
"""
KEPT_CONNECTIONS = 8
PATIENCE_S = 60
WATCHED = "writing a file of preview run --watch"
_POLL_S = 0.002


def files(version: int) -> dict[str, bytes]:
    """The project; only its code has a version."""
    return {"main.py": CODE.format(version).encode(), "requirements.txt": b"fastapi\n"}


@dataclass
class Load:
    """What came of the requests."""

    took_ms: list[float] = field(default_factory=list)
    failed: Counter[str] = field(default_factory=Counter)

    def add(self, began: float, status: int, body: bytes) -> None:
        if status == 200 and b"version " in body:
            self.took_ms.append((trio.current_time() - began) * 1000)
        else:
            self.failed[f"{status} {body[:60]!r}"] += 1


class Connection:
    """A client's connection, kept for as long as the server keeps it."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.parser = h11.Connection(h11.CLIENT)

    async def ask(
        self, raw_target: str, headers: list[tuple[str, str]], method: str = "GET", body: bytes = b""
    ) -> tuple[int, bytes]:
        fields = [("Host", "localhost"), ("Content-Length", str(len(body))), *headers]
        sent = self.parser.send(h11.Request(method=method, target=raw_target, headers=fields)) or b""
        sent += (self.parser.send(h11.Data(data=body)) or b"") + (self.parser.send(h11.EndOfMessage()) or b"")
        await self.stream.send_all(sent)
        status, content = 0, b""
        while True:
            event = self.parser.next_event()
            if event is h11.NEED_DATA:
                self.parser.receive_data(await self.stream.receive_some())
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                content += bytes(event.data)
            elif isinstance(event, h11.EndOfMessage):
                if self.parser.our_state is h11.DONE and self.parser.their_state is h11.DONE:
                    self.parser.start_next_cycle()
                return status, content


async def ask_once(address: tuple[str, int]) -> tuple[int, bytes]:
    """One request on a connection of its own."""
    async with await trio.open_tcp_stream(*address) as stream:
        return await Connection(stream).ask("/", [("Connection", "close")])


async def direct(address: tuple[str, int], load: Load) -> None:
    began = trio.current_time()
    try:
        load.add(began, *await ask_once(address))
    except (OSError, trio.BrokenResourceError, h11.ProtocolError) as error:
        load.failed[f"direct: {type(error).__name__}: {error}"] += 1


async def direct_at(address: tuple[str, int], rate: float, load: Load) -> None:
    """Requests at this rate, whether or not those before have been answered."""
    next_at = trio.current_time()
    async with trio.open_nursery() as nursery:
        while True:
            nursery.start_soon(direct, address, load)
            next_at += 1 / rate
            await trio.sleep_until(next_at)


async def through_at(server: Server, generation_id: str, token: str, rate: float, load: Load) -> None:
    """Requests through the service on one kept connection, at this rate."""
    body = json.dumps({"method": "GET", "path": "/"}).encode()
    headers = [
        ("Authorization", f"Bearer {server.token}"),
        ("X-Preview-Token", token),
        ("Content-Type", "application/json"),
    ]
    target = f"/api/v1/generations/{generation_id}/preview/request"
    async with await trio.open_tcp_stream(*server.address) as stream:
        connection, next_at = Connection(stream), trio.current_time()
        while True:
            began = trio.current_time()
            load.add(began, *await connection.ask(target, headers, "POST", body))
            next_at = max(next_at + 1 / rate, began)
            await trio.sleep_until(next_at)


async def under_load(service: Service, server: Server, preview: LivePreview, reloads: int, rate: float) -> Load:
    """Print what came of the requests while the preview was reloaded so often; all of them."""
    new, kept, took_ms = Load(), Load(), []
    generation_id = preview.record.generation_id
    assert preview.address is not None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(direct_at, preview.address, rate / 2, new)
        for _ in range(KEPT_CONNECTIONS):
            through = partial(
                through_at, server, generation_id, preview.further_token(), rate / 2 / KEPT_CONNECTIONS, kept
            )
            nursery.start_soon(through)
        for version in range(1, reloads + 1):
            began = trio.current_time()
            await service.previews.reload(USER, generation_id, FilesChange({"main.py": files(version)["main.py"]}))
            took_ms.append((trio.current_time() - began) * 1000)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    print(f"\n{reloads} reloads under {rate:g} requests/s, as {RUN_BY}")
    show("a reload", took_ms)
    for name, load in (("new connections", new), ("kept, through the service", kept)):
        show(f"{name}: {len(load.took_ms)} answered, {load.failed.total()} failed", load.took_ms)
        for what, count in load.failed.most_common(5):
            print(f"    {count} x {what}")
    return Load(new.took_ms + kept.took_ms, new.failed + kept.failed)


def show(name: str, values_ms: list[float]) -> None:
    if values_ms:
        middle, high, most = percentile(values_ms, 50), percentile(values_ms, 95), max(values_ms)
        print(f"  {name:<52} median {middle:7.1f} ms, p95 {high:7.1f}, most {most:7.1f}")


async def until_new(address: tuple[str, int], version: int) -> None:
    expected = f"version {version}".encode()
    while (await ask_once(address))[1] != expected:
        await trio.sleep(_POLL_S)


async def times(
    address: tuple[str, int], save: Callable[[int], Awaitable[object]], saves: int, first: int
) -> list[float]:
    """Milliseconds from a save to the first answer of the new code, on a new connection."""
    took_ms = []
    for version in range(first, first + saves + 1):
        began = trio.current_time()
        with trio.fail_after(PATIENCE_S):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(save, version)
                await until_new(address, version)
                took_ms.append((trio.current_time() - began) * 1000)
    return took_ms[1:]


async def saved(service: Service, server: Server, preview: LivePreview, saves: int) -> dict[str, list[float]]:
    generation_id, address = preview.record.generation_id, preview.address
    assert address is not None

    async def in_process(version: int) -> None:
        await service.previews.reload(USER, generation_id, FilesChange({"main.py": files(version)["main.py"]}))

    async def over_http(version: int) -> None:
        body = json.dumps({"files": {"main.py": files(version)["main.py"].decode()}}).encode()
        headers = [("Authorization", f"Bearer {server.token}"), ("Content-Type", "application/json")]
        async with await trio.open_tcp_stream(*server.address) as stream:
            path = f"/api/v1/generations/{generation_id}/files"
            status, answer = await Connection(stream).ask(path, headers, "PATCH", body)
        assert status == 200, answer
        assert json.loads(answer)["reload"]["status"] == "reloaded", answer

    print(f"\nfrom the save to the first answer of the new code, as {RUN_BY}")
    took_ms = {
        "PreviewManager.reload": await times(address, in_process, saves, 10_000),
        "PATCH …/files": await times(address, over_http, saves, 20_000),
    }
    for name, values_ms in took_ms.items():
        show(name, values_ms)
    return took_ms


async def watched(folder: Path, saves: int, environment: dict[str, str]) -> list[float]:
    """The same by writing the file that ``preview run --watch`` watches."""
    project = folder / "project"
    project.mkdir()
    for name, content in files(0).items():
        (project / name).write_bytes(content)
    program = [sys.executable, "-c", "from preview.cli import main; main()", "run", str(project), "--watch", "--json"]
    process = await trio.lowlevel.open_process(program, stdout=subprocess.PIPE, env=environment)
    try:
        with trio.fail_after(PATIENCE_S):
            address = await ready(process)

        async def write(version: int) -> None:
            (project / "main.py").write_bytes(files(version)["main.py"])
            await trio.lowlevel.checkpoint()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(discard, process)
            took_ms = await times(address, write, saves, 30_000)
            nursery.cancel_scope.cancel()
        return took_ms
    finally:
        process.terminate()
        with trio.CancelScope(shield=True):
            await process.wait()


async def discard(process: trio.Process) -> None:
    """What it goes on to say: a full pipe would hold up its story."""
    assert process.stdout is not None
    while await process.stdout.receive_some():
        pass


async def ready(process: trio.Process) -> tuple[str, int]:
    assert process.stdout is not None
    rest = b""
    while True:
        rest += await process.stdout.receive_some()
        *lines, rest = rest.split(b"\n")
        for line in lines:
            event = json.loads(line)
            if event["event"] == "ready":
                host, _, port = event["base_url"].removeprefix("http://").rpartition(":")
                return "127.0.0.1" if host == "localhost" else host, int(port)


@asynccontextmanager
async def open_preview(folder: Path, isolation: str) -> AsyncIterator[tuple[Service, Server, LivePreview]]:
    settings = Settings(
        data_dir=folder / "data",
        cache_dir=folder / "cache",
        port_min=26_000,
        port_max=26_099,
        launches_per_minute=100_000,
        isolation=Isolation(isolation),
    )
    async with open_service(settings) as service, open_server(service) as server:
        assert service.library is not None
        made = await service.library.create(user_id=USER.id, project_id=None, name="", files=files(0))
        yield service, server, await launch(service, made.id)


async def main(arguments: argparse.Namespace) -> int:
    use_usual_caches()
    with tempfile.TemporaryDirectory(prefix="preview-benchmark-") as name:
        folder = Path(name)
        async with open_preview(folder, arguments.isolation) as (service, server, preview):
            load = await under_load(service, server, preview, arguments.reloads, arguments.rate)
            took_ms = await saved(service, server, preview, arguments.saves)
        environment = {
            **os.environ,
            "PREVIEW_DATA_DIR": str(folder / "watched"),
            "PREVIEW_CACHE_DIR": str(folder / "cache"),
            "PREVIEW_LAUNCHES_PER_MINUTE": "100000",
            "PREVIEW_ISOLATION": arguments.isolation,
        }
        took_ms[WATCHED] = await watched(folder, arguments.saves, environment)
        show(WATCHED, took_ms[WATCHED])
    counts = {"answered": [float(len(load.took_ms))], "failed": [float(load.failed.total())]}
    tables = {
        f"{arguments.reloads} reloads under {arguments.rate:g} requests/s": compare(
            counts, floor=None, unit="requests"
        ),
        "from the save to the first answer of the new code": compare(
            {name: values for name, values in took_ms.items() if values}, floor=None, unit="ms"
        ),
    }
    save(arguments.save, tables)
    return 1 if load.failed else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reloads", type=int, default=100)
    parser.add_argument("--rate", type=float, default=200, help="requests a second")
    parser.add_argument("--saves", type=int, default=20)
    parser.add_argument("--isolation", default="auto", choices=[one.value for one in Isolation])
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    sys.exit(trio.run(main, parser.parse_args()))
