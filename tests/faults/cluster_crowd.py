"""A crowd at a cluster's previews, as a process of its own: watchers of their logs, and requests at a fixed rate.

It reads what to do as one line of JSON from standard input, goes on until that ends, and prints what it saw as JSON.
Requests are offered at their rate whatever the cluster does; those for which no connection is free are not sent.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import trio

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from fault_client import take_frame  # noqa: E402  found by the line above
from fault_ledger import Broken, Ledger, Reading  # noqa: E402  likewise

__all__ = ["Orders", "Seen", "Starts", "open_crowd"]

_WORKERS = 100
_ASK_S = 4.0
_PROBE_S = 1.0
_SILENCE_S = 6.0
_BACK_S = 0.5
_END_S = 60.0
_MOST_BREACHES = 20
_BROKEN = (OSError, trio.BrokenResourceError, trio.ClosedResourceError, trio.TooSlowError, ValueError)


@dataclass(frozen=True)
class Orders:
    """What to do.

    Attributes:
        nodes: Their addresses, as URLs.
        previews: For each its id, its generation's id, and a token of its owner.
        watchers: Number of readers, shared out among the previews.
        requests_per_s: Requests offered, to previews and nodes at random.
    """

    nodes: list[str]
    previews: list[tuple[str, str, str]]
    watchers: int
    requests_per_s: float


@dataclass
class Seen:
    """What the crowd saw.

    Attributes:
        seconds: How long it went on.
        counts: Requests offered, sent, and answered by status; lines read; streams cut.
        delays_ms: Of answers with status 200: p50, p95, p99.
        watching: Readers with an open stream, on average.
        lines: What readers were shown, by preview and number.
        breaches: What must not be.
    """

    seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)
    delays_ms: list[float] = field(default_factory=list)
    watching: float = 0.0
    lines: dict[str, dict[str, str]] = field(default_factory=dict)
    breaches: list[str] = field(default_factory=list)


class Starts:
    """The starts of one preview by their first answers, in seconds of any clock."""

    def __init__(self) -> None:
        self.first_seen: dict[str, float] = {}

    @property
    def newest(self) -> str:
        """The start that answered first most recently; empty without one."""
        return next(reversed(self.first_seen), "")

    def overtaken_s(self, start: str, asked_at: float, now: float) -> float | None:
        """Note an answer. Return how long before its request a later start had answered; None if none had."""
        self.first_seen.setdefault(start, now)
        order = list(self.first_seen)
        waited = (asked_at - self.first_seen[one] for one in order[order.index(start) + 1 :])
        return max((one for one in waited if one > 0), default=None)


class _Reader(Reading):
    """A reader that does not keep its lines; the ledger does, once for all readers."""

    heard_at = 0.0
    count = 0

    def line(self, seq: int, message: str) -> None:
        self.heard_at, self.count = trio.current_time(), self.count + 1
        super().line(seq, message)
        self.lines.clear()


class _Crowd:
    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        self.counts: Counter[str] = Counter()
        self.breaches: list[str] = []
        self.ledger = Ledger()
        self.delays: list[float] = []
        self._ready = set(orders.nodes)
        self._starts = {preview_id: Starts() for preview_id, _, _ in orders.previews}
        self._open = 0
        self._samples: list[int] = []

    async def run(self) -> Seen:
        began = trio.current_time()
        async with trio.open_nursery() as nursery:
            for node in self.orders.nodes:
                nursery.start_soon(self._probe, node)
            for number in range(self.orders.watchers):
                nursery.start_soon(self._watch, self.orders.previews[number % len(self.orders.previews)])
            nursery.start_soon(self._sample)
            send, receive = trio.open_memory_channel[float](_WORKERS)
            for _ in range(_WORKERS if self.orders.requests_per_s else 0):
                nursery.start_soon(self._work, receive)
            nursery.start_soon(self._offer, send)
            await trio.to_thread.run_sync(sys.stdin.read, abandon_on_cancel=True)
            nursery.cancel_scope.cancel()
        spread = sorted(self.delays) or [0.0]
        return Seen(
            trio.current_time() - began,
            dict(self.counts),
            [round(1000 * spread[int(part * (len(spread) - 1))], 1) for part in (0.5, 0.95, 0.99)],
            sum(self._samples) / max(1, len(self._samples)),
            {one: {str(seq): text for seq, text in lines.items()} for one, lines in self.ledger.lines.items()},
            self.breaches[:_MOST_BREACHES],
        )

    def _pick(self) -> str:
        return random.choice(sorted(self._ready) or self.orders.nodes)

    async def _sample(self) -> None:
        while True:
            await trio.sleep(1)
            self._samples.append(self._open)

    async def _probe(self, node: str) -> None:
        while True:
            status = 0
            with suppress(*_BROKEN):
                with trio.fail_after(_PROBE_S):
                    async with await _connect(node) as stream:
                        await stream.send_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                        status, _ = await _read_answer(stream)
            (self._ready.add if status == 200 else self._ready.discard)(node)
            await trio.sleep(_PROBE_S)

    # Requests

    async def _offer(self, send: trio.MemorySendChannel[float]) -> None:
        """Put a request into the channel at each of its times; those that nobody can take are counted only."""
        began, offered = trio.current_time(), 0
        while True:
            due = int((trio.current_time() - began) * self.orders.requests_per_s)
            for _ in range(due - offered):
                self.counts["requests offered"] += 1
                with suppress(trio.WouldBlock):
                    send.send_nowait(trio.current_time())
            offered = due
            await trio.sleep(0.01)

    async def _work(self, receive: trio.MemoryReceiveChannel[float]) -> None:
        kept: dict[str, trio.SocketStream] = {}
        async for _ in receive:
            node = self._pick()
            preview_id, _, token = random.choice(self.orders.previews)
            asked_at, status, body = trio.current_time(), 0, b""
            self.counts["requests sent"] += 1
            try:
                with trio.fail_after(_ASK_S):
                    stream = kept.get(node) or await _connect(node)
                    kept[node] = stream
                    await stream.send_all(
                        f"GET / HTTP/1.1\r\nHost: {preview_id.replace('_', '-')}.localhost\r\n"
                        f"Authorization: Bearer {token}\r\n\r\n".encode()
                    )
                    status, body = await _read_answer(stream)
            except _BROKEN:
                old = kept.pop(node, None)
                if old is not None:
                    old.socket.close()
            self.counts[f"answered {status}"] += 1
            if status == 200:
                self._answered(preview_id, body.decode(), asked_at)
            elif status == 500:
                self.breaches.append(f"{preview_id}: {body[:300]!r}")

    def _answered(self, preview_id: str, start: str, asked_at: float) -> None:
        now = trio.current_time()
        self.delays.append(now - asked_at)
        overtaken_s = self._starts[preview_id].overtaken_s(start, asked_at, now)
        if overtaken_s is not None:
            self.breaches.append(
                f"{preview_id}: {start} answered a request that began {overtaken_s:.2f} s after a successor's answer"
            )

    # Watchers

    async def _watch(self, preview: tuple[str, str, str]) -> None:
        await trio.sleep(random.uniform(0, 5))
        reader = _Reader(self.ledger, preview[0])
        try:
            while True:
                with suppress(*_BROKEN):
                    await self._follow(preview, reader)
                self.counts["streams cut"] += 1
                reader.ended = None
                await trio.sleep(_BACK_S * random.uniform(0.5, 1.5))
        except Broken as error:
            self.breaches.append(f"crowd: {error}")

    async def _follow(self, preview: tuple[str, str, str], reader: _Reader) -> None:
        node, before = self._pick(), reader.count
        with trio.fail_after(_ASK_S):
            stream = await _connect(node)
        is_open = False
        try:
            resume = f"Last-Event-ID: {reader.last}\r\n" if reader.last else ""
            path = f"/api/v1/generations/{preview[1]}/preview/logs/stream"
            await stream.send_all(
                f"GET {path} HTTP/1.1\r\nHost: {urlsplit(node).netloc}\r\n"
                f"Authorization: Bearer {preview[2]}\r\n{resume}\r\n".encode()
            )
            pieces, rest = _Pieces(stream), b""
            with trio.fail_after(_SILENCE_S):
                status = await pieces.read_head()
            if status != 200:
                self.counts[f"streams {status}"] += 1
                return
            is_open = True
            self._open += 1
            reader.heard_at = trio.current_time()
            while trio.current_time() < reader.heard_at + _SILENCE_S:
                with trio.fail_after(_SILENCE_S):
                    piece = await pieces.read()
                if not piece:
                    return
                *frames, rest = (rest + piece).split(b"\n\n")
                for frame in frames:
                    take_frame(frame.decode(), reader)
        finally:
            self._open -= is_open
            self.counts["lines read"] += reader.count - before
            stream.socket.close()


class _Pieces:
    """The body of a response in chunks (RFC 9112, 7.1), piece by piece."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._buffer = b""

    async def _until(self, size: int) -> None:
        while len(self._buffer) < size:
            data = await self._stream.receive_some()
            if not data:
                raise trio.BrokenResourceError
            self._buffer += data

    async def _line(self) -> bytes:
        while (end := self._buffer.find(b"\r\n")) < 0:
            await self._until(len(self._buffer) + 1)
        line, self._buffer = self._buffer[:end], self._buffer[end + 2 :]
        return line

    async def read_head(self) -> int:
        """Return the status. Raises: trio.BrokenResourceError. Cancellation: the stream cannot be used any more."""
        status = int((await self._line()).split()[1])
        while await self._line():
            pass
        return status

    async def read(self) -> bytes:
        """Return the next chunk; b"" at the end. Raises, cancels: as ``read_head``."""
        size = int(await self._line(), 16)
        await self._until(size + 2)
        data, self._buffer = self._buffer[:size], self._buffer[size + 2 :]
        return data


async def _connect(url: str) -> trio.SocketStream:
    parts = urlsplit(url)
    return await trio.open_tcp_stream(parts.hostname or "", parts.port or 80)


async def _read_answer(stream: trio.SocketStream) -> tuple[int, bytes]:
    """Read one response with a length, or in chunks. Raises: one of _BROKEN."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += await _some(stream)
    head, _, body = data.partition(b"\r\n\r\n")
    status, lower = int(head.split(None, 2)[1]), head.lower()
    at = lower.find(b"\r\ncontent-length:")
    if at >= 0:
        size = int(lower[at + 17 :].partition(b"\r\n")[0])
        while len(body) < size:
            body += await _some(stream)
        return status, body
    while not body.endswith(b"0\r\n\r\n"):
        body += await _some(stream)
    return status, b"".join(body.split(b"\r\n")[1:-1:2])


async def _some(stream: trio.SocketStream) -> bytes:
    data = bytes(await stream.receive_some())
    if not data:
        raise trio.BrokenResourceError
    return data


@contextmanager
def open_crowd(orders: Orders) -> Iterator[list[Seen]]:
    """Run a crowd; when the block is left, what it saw is put into the list."""
    process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    found: list[Seen] = []
    try:
        process.stdin.write(json.dumps(asdict(orders)) + "\n")
        process.stdin.flush()
        yield found
        said, _ = process.communicate(timeout=_END_S)
        found.append(Seen(**json.loads(said)))
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _main() -> None:
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    asked["previews"] = [tuple(one) for one in asked["previews"]]
    print(json.dumps(asdict(trio.run(_Crowd(Orders(**asked)).run))))


if __name__ == "__main__":
    _main()
