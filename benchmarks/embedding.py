"""Cost of the bridge to asyncio: processor time of the server for each request, against the same answers without it.

    uv run python benchmarks/embedding.py [--requests 3000] [--rounds 5]

Each server runs twice, with a plain asyncio application and with a trio application behind ``AsyncioBridge``; rounds
alternate. The last part compares a stream of events: a trio application under Hypercorn's trio worker, which is how
this service's own server runs it, and the same application behind the bridge.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

SCRIPTS = Path(sys.executable).parent
APPS = """
import trio
from preview.embedding import AsyncioBridge, in_asyncio

BODY = b"x" * 100
HEAD = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]}
EVENTS = {"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]}

async def answer(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"] == "/events":
        await send(EVENTS)
        for number in range(int(scope["query_string"])):
            await send({"type": "http.response.body", "body": b"data: a line of a log\\n\\n", "more_body": True})
        await send({"type": "http.response.body", "body": b""})
        return
    await send(HEAD)
    await send({"type": "http.response.body", "body": BODY})

async def plain(scope, receive, send):
    await answer(scope, receive, send)

bridge = AsyncioBridge()

async def bridged(scope, receive, send):
    if in_asyncio():
        await bridge.serve(answer, scope, receive, send)
    else:
        await answer(scope, receive, send)
"""
SERVERS = {
    "uvicorn, asyncio": ("uvicorn", "--loop", "asyncio", "--no-access-log", "--port", "PORT", "APP"),
    "uvicorn, uvloop": ("uvicorn", "--loop", "uvloop", "--no-access-log", "--port", "PORT", "APP"),
    "hypercorn, trio": ("hypercorn", "-k", "trio", "-b", "127.0.0.1:PORT", "APP"),
}


@contextmanager
def serving(server: str, app: str, folder: Path) -> Iterator[tuple[int, psutil.Process]]:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    name, *words = (part.replace("PORT", str(port)).replace("APP", f"apps:{app}") for part in SERVERS[server])
    environment = os.environ | {"PYTHONPATH": str(folder)}
    process = subprocess.Popen(
        [SCRIPTS / name, *words], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                time.sleep(0.05)
        yield port, busiest(process.pid)
    finally:
        process.terminate()
        process.wait()


def busiest(pid: int) -> psutil.Process:
    """The process that serves: Hypercorn has it as a child."""
    parent = psutil.Process(pid)
    children = [one for one in parent.children(recursive=True) if "resource_tracker" not in " ".join(one.cmdline())]
    return children[-1] if children else parent


def spent_us(process: psutil.Process) -> float:
    times = process.cpu_times()
    return (times.user + times.system) * 1e6


def requests(port: int, process: psutil.Process, count: int) -> float:
    """Processor time for each request on one connection, in microseconds."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        before = spent_us(process)
        for _ in range(count):
            line.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            got = b""
            while not got.endswith(b"x" * 100):
                got += line.recv(4096)
        return (spent_us(process) - before) / count


def events(port: int, process: psutil.Process, count: int) -> float:
    """Processor time for each event of a stream, in microseconds."""
    with socket.create_connection(("127.0.0.1", port)) as line:
        before = spent_us(process)
        line.sendall(f"GET /events?{count} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        while line.recv(1 << 16):
            pass
        return (spent_us(process) - before) / count


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "apps.py").write_text(APPS)
        for server in ("uvicorn, asyncio", "uvicorn, uvloop"):
            with serving(server, "plain", folder) as plain, serving(server, "bridged", folder) as bridged:
                found: dict[str, list[float]] = {"plain": [], "bridged": []}
                for _ in range(chosen.rounds):
                    found["plain"].append(requests(*plain, chosen.requests))
                    found["bridged"].append(requests(*bridged, chosen.requests))
                both = {name: statistics.median(values) for name, values in found.items()}
                more = both["bridged"] - both["plain"]
                print(f"{server}: plain {both['plain']:.0f} us, bridged {both['bridged']:.0f} us, {more:+.0f} us")
        with serving("hypercorn, trio", "bridged", folder) as own:
            for server in ("uvicorn, asyncio", "uvicorn, uvloop"):
                with serving(server, "bridged", folder) as bridged:
                    sides = [(events(*own, 20_000), events(*bridged, 20_000)) for _ in range(chosen.rounds)]
                    ours, theirs = (statistics.median(side) for side in zip(*sides, strict=True))
                    print(
                        f"{server}, events: {theirs:.1f} us, Hypercorn's trio worker {ours:.1f}, {theirs / ours:.2f} x"
                    )


if __name__ == "__main__":
    main()
