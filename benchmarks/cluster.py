"""What does it cost to ask a node that does not run the preview?

``uv run python benchmarks/cluster.py [--rounds N] [--seconds S] [--connections C] [--share CORES] [--watchers W]
[--save FILE]``

Two services of one cluster on one PostgreSQL, both on this machine. A preview runs on the first one. Requests to it,
and its log at 1,000 lines a second, by the first node and by the second one, in turn. All processes share this
machine's processors, and through the second node there is one more.

``--share 0.5`` measures only the requests, with a control group for each node and its previews that has so much of the
processors, as on two machines of that size; the client has the rest. It needs root.

``--watchers 50`` measures only the processor time of both nodes while that many read the log through the second one:
with a stream between the nodes for each, and with one for all.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import trio
from _measure import Figure, compare, interleave_async, percentile, report, save

sys.path[:0] = [str(Path(__file__).resolve().parent.parent / "tests" / part) for part in ("", "faults")]

from cluster_kit import World, open_nodes  # noqa: E402  found by the line above
from fault_client import Client, open_raw  # noqa: E402
from fault_postgres import open_postgres  # noqa: E402
from fault_service import Service  # noqa: E402
from scale import open_shares  # noqa: E402

DIRECT, PASSED = "floor: the node that runs the preview", "the other node"
PROGRAM = """
import os, socket, sys, threading, time

ANSWER = b"HTTP/1.1 200 OK\\r\\ncontent-type: text/plain\\r\\ncontent-length: 2\\r\\n\\r\\nok"


def tell(count):
    began = time.monotonic()
    for number in range(count):
        print(f"t{time.monotonic_ns():019d}n{number:09d}~", flush=True)
        time.sleep(max(0.0, began + number / 1000 - time.monotonic()))


def pour(count):
    now = time.monotonic_ns()
    sys.stdout.write("".join(f"t{now:019d}n{number:09d}~\\n" for number in range(count)))
    sys.stdout.flush()


def serve(connection):
    with connection:
        while data := connection.recv(65536):
            found = data.partition(b" ")[2].partition(b" ")[0]
            if found.startswith(b"/pour/"):
                threading.Thread(target=pour, args=(int(found[6:]),), daemon=True).start()
            if found.startswith(b"/tell/"):
                threading.Thread(target=tell, args=(int(found[6:]),), daemon=True).start()
            connection.sendall(ANSWER)


listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()
"""
_MARK = re.compile(rb"t(\d{19})n(\d{9})~")
_RATE = 1000
_BURST = 50_000
_SETTINGS: dict[str, Any] = {"LIVENESS_INTERVAL": "10", "MAX_LOG_LINES": "10000"}


def head(node: Service, target: str, host: str) -> bytes:
    """A request of the preview's user."""
    token = Client(node).headers["Authorization"]
    return f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}\r\n\r\n".encode()


def busy_s(world: World) -> float:
    """Processor seconds of all nodes' own processes so far."""
    used = [psutil.Process(node.process.pid).cpu_times() for node in world.nodes.values() if node.process is not None]
    return float(sum(one.user + one.system for one in used))


async def requests_per_s(
    world: World, used_us: list[float], node: Service, *, host: str, seconds: float, connections: int
) -> float:
    """Requests on kept connections, one after another on each; appends the nodes' processor time for one."""
    request, done = head(node, "/", host), 0
    before_s = busy_s(world)

    async def ask() -> None:
        nonlocal done
        async with open_raw(node) as stream:
            while True:
                await stream.send_all(request)
                got = b""
                while not got.endswith(b"\r\n\r\nok"):
                    piece = await stream.receive_some()
                    if not piece or len(got) > 4096:
                        raise RuntimeError(f"not the program's answer: {got + piece!r}")
                    got += piece
                done += 1

    with trio.move_on_after(seconds):
        async with trio.open_nursery() as nursery:
            for _ in range(connections):
                nursery.start_soon(ask)
    used_us.append((busy_s(world) - before_s) / done * 1e6)
    return done / seconds


async def lines_ms(node: Service, ask: str, count: int, *, generation_id: str, host: str) -> list[float]:
    """Let the preview print lines; the time of each, from its print to a reader of the event stream."""
    delays = list[float]()
    target = f"/api/v1/generations/{generation_id}/preview/logs/stream?tail=1"
    async with open_raw(node) as stream, open_raw(node) as trigger:
        await stream.send_all(head(node, target, "localhost"))
        rest = b""
        while b"\r\n\r\n" not in rest:
            rest += await stream.receive_some()
        began, last = time.monotonic_ns(), -1
        await trigger.send_all(head(node, f"/{ask}/{count}", host))
        while last < count - 1:
            data = rest + await stream.receive_some()
            now, end = time.monotonic_ns(), 0
            for found in _MARK.finditer(data):
                end = found.end()
                if int(found[1]) >= began:
                    last = int(found[2])
                    delays.append((now - int(found[1])) / 1e6)
            rest = data[max(end, len(data) - 64) :]
    return delays


async def line_ms(node: Service, *, generation_id: str, host: str, seconds: float) -> float:
    """The 99th percentile of a line's time while there are 1,000 a second."""
    return percentile(await lines_ms(node, "tell", int(seconds * _RATE), generation_id=generation_id, host=host), 99)


async def burst_per_s(node: Service, *, generation_id: str, host: str) -> float:
    """Lines a second of a burst, from its first print to the reader's last line."""
    delays = await lines_ms(node, "pour", _BURST, generation_id=generation_id, host=host)
    return len(delays) / max(delays) * 1000


async def launched(world: World) -> tuple[str, str]:
    """Launch the program on the first node; return its generation and the preview's host name."""
    client = Client(world.nodes["one"])
    files = {"main.py": PROGRAM, "preview.toml": '[start]\ncommand = "python main.py"\n', "requirements.txt": ""}
    answer = await client.ask("POST", "/api/v1/generations", {"files": files})
    generation_id = str(answer.body["id"])
    await client.aclose()
    preview_id = await world.launch("one", generation_id)
    return generation_id, f"{preview_id.replace('_', '-')}.localhost"


async def measure_requests(world: World, options: argparse.Namespace, host: str) -> dict[str, list[Figure]]:
    """Measure requests to the preview, by each of the nodes."""
    figures = {}
    for connections in (options.connections, 1):
        title, used = f"requests, connections: {connections}", {DIRECT: list[float](), PASSED: list[float]()}
        call = partial(requests_per_s, world, host=host, seconds=options.seconds, connections=connections)
        nodes = _by_way(world).items()
        variants = [partial(_named, name, partial(call, used[name], node)) for name, node in nodes]
        values = await interleave_async(variants, rounds=options.rounds, warm_up=0)
        figures[title] = compare(values, unit="requests/s", floor=DIRECT)
        report(title, figures[title])
        title = f"{title}: processor time of both nodes a request"
        figures[title] = compare(used, unit="us", floor=DIRECT)
        report(title, figures[title])
    return figures


def _by_way(world: World) -> dict[str, Service]:
    return {DIRECT: world.nodes["one"], PASSED: world.nodes["two"]}


async def measure(world: World, options: argparse.Namespace) -> None:
    """Launch the preview, and measure."""
    nodes = _by_way(world)
    generation_id, host = await launched(world)
    figures = await measure_requests(world, options, host)
    title = f"line at {_RATE} lines/s, 99th percentile"
    reading = partial(line_ms, generation_id=generation_id, host=host, seconds=options.seconds)
    variants = [partial(_named, name, partial(reading, node)) for name, node in nodes.items()]
    values = await interleave_async(variants, rounds=options.rounds, warm_up=0)
    figures[title] = compare(values, unit="ms", floor=DIRECT)
    report(title, figures[title])
    title = f"burst of {_BURST:,} lines"
    variants = [
        partial(_named, name, partial(burst_per_s, node, generation_id=generation_id, host=host))
        for name, node in nodes.items()
    ]
    values = await interleave_async(variants, rounds=options.rounds, warm_up=1)
    figures[title] = compare(values, unit="lines/s", floor=DIRECT)
    report(title, figures[title])
    save(options.save, figures)


async def watched_ms(world: World, *, generation_id: str, host: str, seconds: float, watchers: int) -> float:
    """Processor time of both nodes for a second of 1,000 lines, read by so many through the second node."""
    node, count = world.nodes["two"], int(seconds * _RATE)
    target = f"/api/v1/generations/{generation_id}/preview/logs/stream?tail=0"
    last = f"n{count - 1:09d}~".encode()

    async def watch(*, task_status: trio.TaskStatus[None]) -> None:
        async with open_raw(node) as stream:
            await stream.send_all(head(node, target, "localhost"))
            rest = b""
            while b"\r\n\r\n" not in rest:
                rest += await stream.receive_some()
            if not rest.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"no stream: {rest!r}")
            task_status.started()
            while last not in rest:
                rest = rest[-64:] + await stream.receive_some()

    async with trio.open_nursery() as nursery, open_raw(world.nodes["one"]) as trigger:
        for _ in range(watchers):
            await nursery.start(watch)
        before_s = busy_s(world)
        await trigger.send_all(head(world.nodes["one"], f"/tell/{count}", host))
        while nursery.child_tasks:
            await trio.sleep(0.05)
        return (busy_s(world) - before_s) / seconds * 1000


async def compare_sharing(folder: Path, options: argparse.Namespace) -> None:
    """Measure with a stream for each reader, and with one for all."""
    found = {}
    names = {"false": f"floor: {options.watchers} streams between the nodes", "true": "one stream for all"}
    more: dict[str, Any] = {"LIVENESS_INTERVAL": "10", "MAX_STREAMS_PER_USER": str(options.watchers + 10)}
    for shared, name in names.items():
        settings: dict[str, Any] = {**more, "SHARED_LOG_STREAMS": shared}
        with open_postgres() as server:
            async with open_nodes(folder / shared, folder / "cache", server, "one", "two", **settings) as world:
                generation_id, host = await launched(world)
                call = partial(watched_ms, world, generation_id=generation_id, host=host, seconds=options.seconds)
                found[name] = [await call(watchers=options.watchers) for _ in range(options.rounds)]
    title = f"processor time of both nodes for a second of {_RATE} lines, {options.watchers} readers"
    figures = {title: compare(found, unit="ms", floor=names["false"])}
    report(title, figures[title])
    save(options.save, figures)


async def compare_machines(folder: Path, options: argparse.Namespace) -> None:
    """Measure requests while each node has a share of the processors."""
    names = ("one", "two")
    with open_shares(len(names), options.share) as shares, open_postgres() as server:
        prefixes = {name: share.prefix for name, share in zip(names, shares, strict=True)}
        async with open_nodes(folder, folder / "cache", server, *names, prefixes=prefixes, **_SETTINGS) as world:
            _, host = await launched(world)
            print(f"each node with its previews has {options.share} processors, the client the others")
            save(options.save, await measure_requests(world, options, host))


async def _named(name: str, call: Callable[[], Awaitable[float]]) -> Mapping[str, float]:
    return {name: await call()}


async def run(options: argparse.Namespace) -> None:
    """Open the cluster."""
    if options.watchers:
        with tempfile.TemporaryDirectory(prefix="preview-cluster-") as folder:
            await compare_sharing(Path(folder), options)
        return
    if options.share:
        with tempfile.TemporaryDirectory(prefix="preview-cluster-") as folder:
            await compare_machines(Path(folder), options)
        return
    with tempfile.TemporaryDirectory(prefix="preview-cluster-") as folder, open_postgres() as server:
        cache, settings = Path(folder) / "cache", _SETTINGS
        async with open_nodes(Path(folder), cache, server, "one", "two", **settings) as world:
            await measure(world, options)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7, help="measure each so often (7)")
    parser.add_argument("--seconds", type=float, default=3, help="each time for so long (3)")
    parser.add_argument("--connections", type=int, default=16, help="at once (16)")
    parser.add_argument("--share", type=float, default=0, help="only requests, each node with so many processors (0)")
    parser.add_argument("--watchers", type=int, default=0, help="only compare streams between nodes, for so many (0)")
    parser.add_argument("--save", type=Path, default=None, help="write all rounds there")
    trio.run(run, parser.parse_args())


if __name__ == "__main__":
    main()
