"""Cost of the bridge to asyncio: processor time of the server for each request, against the same answers without it.

    uv run python benchmarks/embedding.py [--part NAME] [--requests 3000] [--rounds 5] [--subscribers 20]

- ``requests``: each server runs twice, with a plain asyncio application and with a trio application behind
  ``AsyncioBridge``; rounds alternate.
- ``events``: a stream of a bare trio application, under Hypercorn's trio worker and behind the bridge.
- ``log``: the service itself. A preview prints lines, subscribers watch its log: under its own server on the ordinary
  path (``PREVIEW_DIRECT_STREAMS=false``), and under uvicorn behind the bridge. All run at once, rounds alternate.
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
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
from _peers import NOT_DIRECT, Peer, open_hosted, openers
from _subscribers import Plan, Subscribers, Task, open_subscribers

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

BRIDGED = ("uvicorn, asyncio", "uvicorn, uvloop")
LINES_OF_BURST = 2000
# By server, the number of the next line that its preview prints.
NEXT_LINE: dict[str, int] = {}


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


def print_requests(folder: Path, rounds: int, count: int) -> None:
    for server in BRIDGED:
        with serving(server, "plain", folder) as plain, serving(server, "bridged", folder) as bridged:
            found: dict[str, list[float]] = {"plain": [], "bridged": []}
            for _ in range(rounds):
                found["plain"].append(requests(*plain, count))
                found["bridged"].append(requests(*bridged, count))
            both = {name: statistics.median(values) for name, values in found.items()}
            more = both["bridged"] - both["plain"]
            print(f"{server}: plain {both['plain']:.0f} us, bridged {both['bridged']:.0f} us, {more:+.0f} us")


def print_events(folder: Path, rounds: int) -> None:
    with serving("hypercorn, trio", "bridged", folder) as own:
        for server in BRIDGED:
            with serving(server, "bridged", folder) as bridged:
                sides = [(events(*own, 20_000), events(*bridged, 20_000)) for _ in range(rounds)]
                ours, theirs = (statistics.median(side) for side in zip(*sides, strict=True))
                print(f"{server}, events: {theirs:.1f} us, Hypercorn's trio worker {ours:.1f}, {theirs / ours:.2f} x")


def delivered(peer: Peer, subscribers: Subscribers, task: Task, rate: float) -> float:
    """Processor time for each line that a subscriber got, in microseconds."""
    subscribers.begin(task)
    before = peer.cpu_s()
    peer.print_lines(task.first, task.lines, rate)
    received = subscribers.end()
    if received.faulty:
        raise RuntimeError(f"{received.faulty} subscribers lack lines")
    return (peer.cpu_s() - before) * 1e6 / received.delivered


def print_log(rounds: int, count: int, rate: float) -> None:
    own = "own server"
    openings = {own: openers("auto")[NOT_DIRECT]()}
    for server in BRIDGED:
        openings[server] = open_hosted("auto", "uvicorn", "--loop", server.split()[-1], "--no-access-log")
    with ExitStack() as stack:
        peers = {name: stack.enter_context(opening) for name, opening in openings.items()}
        readers = {
            name: stack.enter_context(open_subscribers(Plan(peer.port, peer.request, count, count)))
            for name, peer in peers.items()
        }
        for title, lines, pace in ((f"{rate:,.0f} lines/s", int(rate), rate), ("bursts", LINES_OF_BURST, 0.0)):
            found: dict[str, list[float]] = {name: [] for name in peers}
            for number in range(-1, rounds):
                for name in peers if number % 2 else reversed(peers):
                    first = NEXT_LINE.get(name, 0)
                    NEXT_LINE[name] = first + lines
                    value = delivered(peers[name], readers[name], Task(first, lines), pace)
                    # The first round warms up.
                    found[name] += [value] * (number >= 0)
            for name in BRIDGED:
                ours, theirs = statistics.median(found[own]), statistics.median(found[name])
                ratio = statistics.median(a / b for a, b in zip(found[name], found[own], strict=True))
                print(f"{name}, log, {count} subscribers, {title}: {theirs:.1f} us, {own} {ours:.1f}, {ratio:.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--part", action="append", choices=["requests", "events", "log"], help="only this")
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--subscribers", type=int, default=20, help="of the log (20)")
    parser.add_argument("--rate", type=float, default=1000, help="lines/s of the log (1000)")
    chosen = parser.parse_args()
    parts = chosen.part or ["requests", "events", "log"]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "apps.py").write_text(APPS)
        if "requests" in parts:
            print_requests(folder, chosen.rounds, chosen.requests)
        if "events" in parts:
            print_events(folder, chosen.rounds)
    if "log" in parts:
        print_log(chosen.rounds, chosen.subscribers, chosen.rate)


if __name__ == "__main__":
    main()
