"""What tracing costs: on the relay, for a launch, at the start of a process, and in each request of an application.

Needs ``nginx`` and ``wrk`` for the relay. All variants take turns. Launches are of code that the service has never seen
(``examples/hello``), from the request to the first good answer; two services, so that each knows its last launch.

    uv run python benchmarks/tracing.py --rounds 5 --seconds 2 --launches 20 [--save FILE]
"""

from __future__ import annotations

import argparse
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import trio
from _measure import compare, interleave, interleave_async, percentile, report, save
from _proxy_peers import BARE_RELAY
from _service import open_bench
from launch import NEW, Fresh, launched

from preview.service import Service

_NGINX = """worker_processes 1; daemon off; pid {0}/nginx.pid; error_log {0}/error.log;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000;
server {{ listen 127.0.0.1:{1} backlog=511; location / {{ return 200 "hello, world"; }} }} }}"""
_TRACED = BARE_RELAY.replace('0, "", nullcontext)', '0, "", nullcontext, is_traced=True)')
# Prints microseconds. argv: the launchers' folder, and "on" or "off".
_START = """
import os, sys, time
sys.path.insert(0, sys.argv[1])
import preview_control, sqlite3, urllib.request, json
began = time.perf_counter()
if sys.argv[2] == "on":
    preview_control.load_beside("preview_trace", "tracing").start(lambda message: True)
print((time.perf_counter() - began) * 1e6)
"""
_REQUEST = """
import sqlite3, sys, time
sys.path.insert(0, sys.argv[1])
import preview_control
tracer = preview_control.load_beside("preview_trace", "tracing").start(lambda message: True)
db = sqlite3.connect(":memory:")
def handle():
    for _ in range(4): db.execute("select 1")
best = 1e9
for _ in range(20):
    began = time.perf_counter()
    for _ in range(200):
        active = tracer.begin("GET", "/books", "", "r1", "") if sys.argv[2] == "on" else None
        tracer._left = 2000
        handle()
        if active is not None: active.end(200)
    best = min(best, (time.perf_counter() - began) / 200)
print(best * 1e6)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--launches", type=int, default=20, help="0 leaves them out")
    parser.add_argument("--save", type=Path)
    given = parser.parse_args()
    tables = {}
    for title, program in (("start of a process", _START), ("request with 4 statements", _REQUEST)):
        values = interleave({name: partial(_program, program, name) for name in ("off", "on")}, rounds=given.rounds)
        tables[title] = compare(values, floor="off" if program is _REQUEST else None, unit="us")
    if shutil.which("wrk") and shutil.which("nginx"):
        with _relays() as urls:
            variants = {name: partial(_throughput, url, given.seconds) for name, url in urls.items()}
            tables["relay"] = compare(interleave(variants, rounds=given.rounds), floor="off", unit="requests/s")
    for title, figures in tables.items():
        report(title, figures, beside="off")
    if given.launches:
        values = trio.run(_launches, given.launches)
        tables["launch"] = compare(values, floor="off", unit="ms")
        fastest = ", ".join(f"{name} {percentile(found, 10):.1f} ms" for name, found in values.items())
        report("launch", tables["launch"], beside="off", note=f"10th percentiles: {fastest}")
    save(given.save, tables)


class _Traced(Fresh):
    """Generations with the start option."""

    def __init__(self, *, on: bool) -> None:
        super().__init__()
        self._option = f"[start]\ntrace = {'true' if on else 'false'}\n".encode()

    def files(self, example: str) -> dict[str, bytes]:
        return super().files(example) | {"preview.toml": self._option}


async def _launches(rounds: int) -> dict[str, list[float]]:
    off, on = _Traced(on=False), _Traced(on=True)
    async with (
        open_bench(off, port_min=26_000, port_max=26_199) as plain,
        open_bench(on, port_min=26_200, port_max=26_399) as traced,
    ):

        async def one(name: str, service: Service, fresh: Fresh) -> dict[str, float]:
            return {name: (await launched("hello", service, fresh))[NEW]}

        variants = [partial(one, "off", plain, off), partial(one, "on", traced, on)]
        for variant in variants * 3:
            # Has the environment built and its template made.
            await variant()
            await trio.sleep(1)
        return await interleave_async(variants, rounds=rounds)


def _program(program: str, which: str) -> float:
    launchers = Path(__file__).parents[1] / "preview" / "runtime" / "launchers"
    done = subprocess.run(
        [sys.executable, "-c", program, str(launchers), which], capture_output=True, text=True, check=True
    )
    return float(done.stdout)


@contextmanager
def _relays() -> Iterator[dict[str, str]]:
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        upstream = _free_port()
        (folder / "nginx.conf").write_text(_NGINX.format(folder, upstream))
        held.enter_context(_running("nginx", "-c", str(folder / "nginx.conf"), "-p", str(folder)))
        urls = {}
        for name, program in (("off", BARE_RELAY), ("on", _TRACED)):
            port = _free_port()
            held.enter_context(_running(sys.executable, "-c", program, str(port), str(upstream)))
            _wait_for(port)
            urls[name] = f"http://127.0.0.1:{port}/small"
        _wait_for(upstream)
        yield urls


@contextmanager
def _running(*command: str) -> Iterator[None]:
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def _throughput(url: str, seconds: float) -> float:
    done = subprocess.run(
        ["wrk", "-t", "1", "-c", "32", "-d", f"{seconds:g}s", url], capture_output=True, text=True, check=True
    )
    found = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
    if found is None or "Non-2xx" in done.stdout:
        raise SystemExit(done.stdout)
    return float(found[1])


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def _wait_for(port: int) -> None:
    ends = time.monotonic() + 30
    while time.monotonic() < ends:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"nothing listens on {port}")


if __name__ == "__main__":
    main()
