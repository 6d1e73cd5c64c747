"""A browser's way to a preview, beside nginx, a Quart application with an HTTP client, and nothing in between.

Needs ``nginx`` and ``wrk``. Each peer is a process of its own in front of the same fast server; the service runs as it
is, with its access gate and a browser's cookie. Prints medians over rounds that take turns, ratios round by round, what
is promised, and the memory of who carries a long content.

    uv run python benchmarks/proxy.py --rounds 5 --seconds 3 --megabytes 1024 [--save FILE]
"""

from __future__ import annotations

import argparse
import json
import operator
import os
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from _measure import RUN_BY, Figure, compare, save
from _proxy_peers import BARE_RELAY, QUART, SERVICE, SINK

_TEMP = " ".join(f"{kind}_temp_path {{0}}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
_FRAME = """worker_processes 1; daemon off; pid {0}/{1}.pid; error_log {0}/{1}.log;
events {{ worker_connections 1024; }}
http {{ access_log off; keepalive_requests 100000000; TEMP {2} }}""".replace("TEMP", _TEMP)
_UPSTREAM = """server {{ listen 127.0.0.1:{0} backlog=511; location = /small {{ return 200 "hello, world"; }}
location / {{ root {1}; }} }}"""
_PROXY = """upstream u {{ server 127.0.0.1:{1}; keepalive 64; keepalive_requests 100000000; }}
server {{ listen 127.0.0.1:{0} backlog=511; proxy_http_version 1.1; proxy_set_header Connection "";
proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $remote_addr; client_max_body_size 0;
location / {{ proxy_pass http://u; }}
location = /long {{ proxy_pass http://127.0.0.1:{2}; proxy_buffering off; proxy_request_buffering off; }} }}"""
_SMALL, _LARGE, _ALONE = "small answers, 32 connections", "answers of 64 KiB, 32 connections", "one connection"
_MEMORY = ", memory added"
_OFF, _FULL = "preview, capture off", "preview, capture full"
# The same once more: its ratio is the noise of the machine.
_OFF_TOO = "preview, capture off too"
_PEERS = (
    "direct", "nginx", "preview", _OFF, _OFF_TOO, _FULL,
    "preview, open door", "preview, ordinary way", "Quart + HTTP client",
)  # fmt: skip
# With --recording: who records requests, and who does not.
_RECORDING = ("nginx", "preview", _OFF, _FULL, _OFF_TOO)
_MIB = 1024 * 1024
# A buffer or two and what the allocator keeps; the content is a hundred times that.
_FLAT_MIB = 8


@dataclass
class Peer:
    """Somebody who carries.

    Attributes:
        port: Where.
        long: Where for the long content; 0: it does not carry that.
        pids: Of its processes.
        hosts: ``Host`` and ``Cookie``, of small requests and of the long ones.
        found: Requests per second and median latency [ms], by scenario.
    """

    port: int
    long: int
    pids: list[int]
    hosts: list[list[str]] = field(default_factory=lambda: [["x.localhost", "a=b"]] * 2)
    found: dict[str, list[tuple[float, float, float]]] = field(default_factory=dict)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def running(argv: list[str], port: int = 0) -> Iterator[subprocess.Popen[bytes]]:
    """A process; with a port, once it listens there."""
    folder = Path(__file__).parent
    with subprocess.Popen(argv, start_new_session=True, stdout=subprocess.PIPE, cwd=folder) as process:
        try:
            for _ in range(200 if port else 0):
                with socket.socket() as sock:
                    if not sock.connect_ex(("127.0.0.1", port)):
                        break
                time.sleep(0.1)
            yield process
        finally:
            os.killpg(process.pid, signal.SIGTERM)


def load(peer: Peer, path: str, connections: int, seconds: float) -> tuple[float, float, float]:
    """Requests per second, the median latency in milliseconds, and microseconds of the peer's processors a request."""
    host, cookie = peer.hosts[0]
    argv = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--latency", "-H", f"Host: {host}"]
    argv += ["-H", f"Cookie: {cookie}", f"http://127.0.0.1:{peer.port}{path}"]
    before = processor_s(peer)
    said = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    used_s = processor_s(peer) - before
    requests = re.search(r"(\d+) requests in", said)
    rate = re.search(r"Requests/sec:\s+([0-9.]+)", said)
    middle = re.search(r"50%\s+([0-9.]+)(us|ms|s)", said)
    if rate is None or middle is None or requests is None or "Non-2xx" in said:
        raise SystemExit(f"the load generator says: {said}")
    middle_ms = float(middle[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[middle[2]]
    return float(rate[1]), middle_ms, used_s / int(requests[1]) * 1e6


def processor_s(peer: Peer) -> float:
    """Seconds that its processes have used."""
    return sum(sum(psutil.Process(pid).cpu_times()[:2]) for pid in peer.pids)


def start(opened: ExitStack, folder: Path, size: int) -> dict[str, Peer]:
    """All peers, in front of one server."""
    folder.chmod(0o755)
    (folder / "www").mkdir()
    (folder / "www" / "64k").write_bytes(os.urandom(65536))
    upstream, sink, proxy, bare, quart = (free_port() for _ in range(5))
    python = [sys.executable, "-c"]
    opened.enter_context(running([*python, SINK, str(sink), str(size)], sink))
    pids: dict[str, list[int]] = {}
    for name, port, server in (
        ("upstream", upstream, _UPSTREAM.format(upstream, folder / "www")),
        ("proxy", proxy, _PROXY.format(proxy, upstream, sink)),
    ):
        (folder / f"{name}.conf").write_text(_FRAME.format(folder, name, server))
        process = opened.enter_context(running(["nginx", "-c", str(folder / f"{name}.conf")], port))
        pids[name] = [one.pid for one in psutil.Process(process.pid).children()]
    peers = {"direct": Peer(upstream, sink, []), "nginx": Peer(proxy, proxy, pids["proxy"])}
    for name, mode, capture in (
        ("preview", "relay", "meta"),
        (_OFF, "relay", "off"),
        (_FULL, "relay", "full"),
        (_OFF_TOO, "relay", "off"),
        ("preview, ordinary way", "ordinary", "meta"),
    ):
        process = opened.enter_context(running([*python, SERVICE, str(upstream), str(sink), mode, capture]))
        assert process.stdout is not None
        while not (line := process.stdout.readline()).startswith(b"[") and line:
            pass
        port, hosts = json.loads(line)
        peers[name] = Peer(port, port, [process.pid], hosts)
    process = opened.enter_context(running([*python, BARE_RELAY, str(bare), str(upstream)], bare))
    peers["preview, open door"] = Peer(bare, 0, [process.pid])
    process = opened.enter_context(running([*python, QUART, str(quart), str(upstream)], quart))
    peers["Quart + HTTP client"] = Peer(quart, 0, [process.pid])
    return {name: peers[name] for name in _PEERS}


def carry(peer: Peer, method: str, size: int) -> float:
    """Send or get so many bytes; seconds."""
    host, cookie = peer.hosts[1]
    length = f"Content-Length: {size}\r\n" if method == "POST" else ""
    head = f"{method} /long HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\nConnection: close\r\n{length}\r\n"
    buffer = bytearray(256 * 1024)
    begun, got = time.monotonic(), 0
    with socket.create_connection(("127.0.0.1", peer.long)) as sock:
        sock.sendall(head.encode())
        for _ in range(size // len(buffer) if method == "POST" else 0):
            sock.sendall(buffer)
        first = sock.recv(65536)
        if not first.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"a long {method} was answered with {first[:300]!r}")
        while more := sock.recv_into(buffer):
            got += more
            if method == "GET" and got >= size:
                break
    return time.monotonic() - begun


def memory(peer: Peer) -> float:
    """MiB of its processes."""
    return sum(psutil.Process(pid).memory_info().rss for pid in peer.pids) / _MIB


def watched(peer: Peer, method: str, size: int) -> tuple[float, float]:
    """MiB a second, and by how many MiB the peer's memory grew at the most, once it has carried a little."""
    carry(peer, method, size)
    before, over, most = memory(peer), threading.Event(), [0.0]

    def look() -> None:
        while not over.wait(0.02):
            most[0] = max(most[0], memory(peer))

    looking = threading.Thread(target=look)
    looking.start()
    took_s = carry(peer, method, size)
    over.set()
    looking.join()
    return size / _MIB / took_s, max(0.0, most[0] - before)


def judge(what: str, value: float, unit: str, limit: float, *, at_most: bool = False) -> None:
    holds = (operator.le if at_most else operator.ge)(value, limit)
    side = "at most" if at_most else "at least"
    print(f"  {'holds ' if holds else 'MISSED'}  {what}: {value:,.2f} {unit} ({side} {limit:,})")


def beside(peers: dict[str, Peer], scenario: str, other: str, index: int = 0) -> float:
    """The median ratio to another, round by round."""
    rounds = zip(peers["preview"].found[scenario], peers[other].found[scenario], strict=True)
    return statistics.median(one[index] / two[index] for one, two in rounds)


def figures(peers: dict[str, Peer], carried: dict[str, dict[str, float]]) -> dict[str, list[Figure]]:
    """What ``--save`` writes: of each scenario rate and latency, and of the long content speed and memory."""
    tables = {}
    for scenario in (_SMALL, _LARGE, _ALONE):
        for index, (title, unit) in enumerate(
            (("rate", "req/s"), ("median latency", "ms"), ("processor", "us a request"))
        ):
            values = {name: [found[index] for found in peer.found[scenario]] for name, peer in peers.items()}
            tables[f"{scenario}, {title}"] = compare(values, floor="nginx", unit=unit)
    for title, by_peer in carried.items():
        unit = "MiB" if title.endswith(_MEMORY) else "MiB/s"
        alone = {name: [value] for name, value in by_peer.items()}
        tables[title] = compare(alone, floor=None if unit == "MiB" else "nginx", unit=unit)
    return tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--megabytes", type=int, default=1024)
    parser.add_argument("--save", type=Path, default=None, help="the figures as JSON")
    parser.add_argument("--recording", action="store_true", help="only compare what recording of requests costs")
    options = parser.parse_args()
    if not shutil.which("nginx") or not shutil.which("wrk"):
        raise SystemExit("nginx and wrk are needed: apt-get install nginx-light wrk")
    # `timeout` sends it: the peers end with this program.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    size = options.megabytes * _MIB
    carried: dict[str, dict[str, float]] = {}
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
        peers = start(opened, folder, size)
        if options.recording:
            peers = {name: peers[name] for name in _RECORDING}
        for scenario, path, connections in ((_SMALL, "/small", 32), (_LARGE, "/64k", 32), (_ALONE, "/small", 1)):
            print(f"{scenario}, as {RUN_BY}")
            turns = list(peers.values())
            for _ in range(options.rounds):
                # Each goes first in its turn.
                turns.append(turns.pop(0))
                for peer in turns:
                    peer.found.setdefault(scenario, []).append(load(peer, path, connections, options.seconds))
            for name, peer in peers.items():
                pairs = zip(peer.found[scenario], peers["nginx"].found[scenario], strict=True)
                ratio = statistics.median(one[0] / two[0] for one, two in pairs)
                rate, middle, used = (statistics.median(values) for values in zip(*peer.found[scenario], strict=True))
                costs = f"p50 {middle:.3f} ms  {used:6.1f} us of processor"
                print(f"  {name:24} {rate:9.0f} req/s  {ratio:5.2f} x nginx  {costs}")
        for method, title in () if options.recording else (("GET", "down"), ("POST", "up")):
            what = f"{options.megabytes} MiB {title}"
            print(f"{what}, as {RUN_BY}")
            for name, peer in peers.items():
                if peer.long:
                    rate, more = watched(peer, method, size)
                    carried.setdefault(what, {})[name] = rate
                    carried.setdefault(f"{what}{_MEMORY}", {})[name] = more
                    print(f"  {name:22} {rate:9.0f} MiB/s  memory +{more:.1f} MiB")
    print()
    judge("small answers, facts recorded", beside(peers, _SMALL, _OFF), "x capture off", 0.95)
    same = beside(peers, _SMALL, _OFF) / beside(peers, _SMALL, _OFF_TOO)
    print(f"  noise   the same service twice, capture off: {same:.2f} x")
    judge(
        "small answers, recorded in full",
        1 / beside(peers, _SMALL, _FULL) * beside(peers, _SMALL, _OFF),
        "x capture off",
        0.8,
    )
    if options.recording:
        return
    judge("small answers", beside(peers, _SMALL, "nginx"), "x nginx", 0.4)
    judge("small answers", beside(peers, _SMALL, "Quart + HTTP client"), "x Quart", 10)
    judge("answers of 64 KiB", beside(peers, _LARGE, "nginx"), "x nginx", 0.8)
    added = zip(peers["preview"].found[_ALONE], peers["direct"].found[_ALONE], strict=True)
    judge("added to one request", statistics.median(one[1] - two[1] for one, two in added), "ms", 0.25, at_most=True)
    for title in ("down", "up"):
        grown = carried[f"{options.megabytes} MiB {title}{_MEMORY}"]["preview"]
        judge(f"memory of a long content {title}", grown, "MiB", _FLAT_MIB, at_most=True)
    save(options.save, figures(peers, carried))


if __name__ == "__main__":
    main()
