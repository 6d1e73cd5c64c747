"""A crowd at a cluster's previews, as a process of its own: watchers of their logs, and requests at a fixed rate.

It reads what to do as one line of JSON from standard input, goes on until that ends, and prints what it saw as JSON.
Requests are offered at their rate whatever the cluster does; those for which no connection is free are not sent. It is
one loop without a task for each request, so that the load costs the cluster little of the processors that they share.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(_HERE), str(_HERE.parent)]

from cluster_wire import Chunks, Link, Loop, Message  # noqa: E402  found by the line above
from fault_client import take_frame  # noqa: E402  likewise
from fault_ledger import Broken, Ledger, Reading  # noqa: E402  likewise

__all__ = ["Orders", "Seen", "Starts", "open_crowd"]

# Requests wait while a preview has no owner; more than these are not sent.
_MOST_ASKING = 300
_ASK_S = 4.0
_PROBE_S = 1.0
_SILENCE_S = 6.0
_BACK_S = 0.5
_END_S = 60.0
_MOST_BREACHES = 20
_MOST_FRAMES = 2000
# A reader that saw a line twice or a silent hole reads no more.
_BROKEN = "broken"
_PROBE = b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(frozen=True)
class Orders:
    """What to do.

    Attributes:
        nodes: Their addresses, as URLs.
        previews: For each its id, its generation's id, and a token of its owner.
        watchers: Number of readers, shared out among the previews.
        requests_per_s: Requests offered, to previews and nodes at random.
        come_within_s: Seconds within which the readers come.
    """

    nodes: list[str]
    previews: list[tuple[str, str, str]]
    watchers: int
    requests_per_s: float
    come_within_s: float = 5.0


@dataclass
class Seen:
    """What the crowd saw.

    Attributes:
        seconds: How long it went on.
        processor_s: Processor time of the crowd itself.
        counts: Requests offered, sent, and answered by status; lines read; streams cut.
        delays_ms: Of answers with status 200: p50, p95, p99.
        watching: Readers with an open stream, on average.
        lines: What readers were shown, by preview and number.
        breaches: What must not be.
    """

    seconds: float = 0.0
    processor_s: float = 0.0
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
        if start == self.newest:
            return None
        order = list(self.first_seen)
        waited = (asked_at - self.first_seen[one] for one in order[order.index(start) + 1 :])
        return max((one for one in waited if one > 0), default=None)


class _Reader(Reading):
    """A reader that does not keep its lines; the ledger does, once for all readers."""

    count = 0

    def line(self, seq: int, message: str) -> None:
        self.count += 1
        super().line(seq, message)
        self.lines.clear()


class _Asking(Link):
    """A kept connection for one request at a time, or for probes."""

    __slots__ = ("asked_at", "crowd", "message", "node", "preview_id", "request")

    def __init__(self, crowd: _Crowd, node: str, request: bytes, preview_id: str, wait_s: float) -> None:
        self.crowd, self.node = crowd, node
        self._ask(request, preview_id)
        super().__init__(crowd.loop, _address(node), crowd.loop.now + wait_s)

    def _ask(self, request: bytes, preview_id: str) -> None:
        self.request, self.preview_id = request, preview_id
        self.asked_at, self.message = self.crowd.loop.now, Message()

    def again(self, request: bytes, preview_id: str, wait_s: float) -> None:
        """Send the next request."""
        self._ask(request, preview_id)
        self.deadline = self.crowd.loop.now + wait_s
        self.crowd.loop.send(self, request)

    def opened(self) -> None:
        self.crowd.loop.send(self, self.request)

    def received(self, data: bytes) -> bool:
        if not self.request:
            return False
        try:
            is_whole = self.message.take(data)
        except ValueError:
            return False
        if not is_whole:
            return True
        self.request, self.deadline = b"", float("inf")
        self.crowd.answered(self, self.message)
        return self.message.keeps

    def closed(self) -> None:
        self.crowd.lost(self, self.message if self.request else None)


class _Watching(Link):
    """One connection of a reader of a log."""

    __slots__ = ("chunks", "crowd", "frames", "head", "is_shown", "reader", "request", "rest")

    def __init__(self, crowd: _Crowd, preview: tuple[str, str, str], reader: _Reader) -> None:
        node = crowd.pick()
        self.crowd, self.reader, self.frames = crowd, reader, crowd.frames[preview[0]]
        self.chunks, self.head, self.rest, self.is_shown = Chunks(), b"", b"", False
        resume = f"Last-Event-ID: {reader.last}\r\n" if reader.last else ""
        self.request = (
            f"GET /api/v1/generations/{preview[1]}/preview/logs/stream HTTP/1.1\r\nHost: {urlsplit(node).netloc}\r\n"
            f"Authorization: Bearer {preview[2]}\r\n{resume}\r\n"
        ).encode()
        super().__init__(crowd.loop, _address(node), crowd.loop.now + _SILENCE_S)

    def opened(self) -> None:
        self.crowd.loop.send(self, self.request)

    def received(self, data: bytes) -> bool:
        if not self.is_shown:
            self.head += data
            head, found, data = self.head.partition(b"\r\n\r\n")
            if not found:
                return True
            if head[9:12] != b"200":
                self.crowd.counts[f"streams {head[9:12].decode()}"] += 1
                return False
            self.is_shown, self.deadline = True, self.crowd.loop.now + _SILENCE_S
            self.crowd.watching += 1
        before = self.reader.count
        try:
            for piece in self.chunks.take(data):
                *frames, self.rest = (self.rest + piece).split(b"\n\n")
                for frame in frames:
                    self._take(frame)
        except Broken as error:
            self.crowd.breaches.append(f"crowd: {error}")
            self.reader.ended = _BROKEN
            return False
        except ValueError:
            return False
        if self.reader.count > before:
            self.deadline = self.crowd.loop.now + _SILENCE_S
            self.crowd.counts["lines read"] += self.reader.count - before
        return not self.chunks.is_over

    def _take(self, frame: bytes) -> None:
        """Note an event. Readers of one log get the same bytes, which are parsed once."""
        known = self.frames.get(frame)
        if known is not None:
            self.reader.line(*known)
            return
        before, reader = self.reader.count, self.reader
        take_frame(frame.decode(), reader)
        if reader.count > before:
            if len(self.frames) > _MOST_FRAMES:
                self.frames.clear()
            self.frames[frame] = reader.last, reader.ledger.lines[reader.preview_id][reader.last]

    def closed(self) -> None:
        self.crowd.watching -= self.is_shown
        self.crowd.left(self.reader)


class _Crowd:
    def __init__(self, orders: Orders) -> None:
        self.orders, self.loop = orders, Loop()
        self.counts: Counter[str] = Counter()
        self.breaches: list[str] = []
        self.ledger = Ledger()
        self.delays: list[float] = []
        self.watching = 0
        # For each preview its frames that were parsed.
        self.frames: dict[str, dict[bytes, tuple[int, str]]] = {one[0]: {} for one in orders.previews}
        self._previews = {one[0]: one for one in orders.previews}
        self._requests = [
            (one[0], _request(f"{one[0].replace('_', '-')}.localhost", one[2])) for one in orders.previews
        ]
        self._ready = list(orders.nodes)
        self._starts = {preview_id: Starts() for preview_id, _, _ in orders.previews}
        self._idle: dict[str, list[_Asking]] = {node: [] for node in orders.nodes}
        self._asking = self._offered = 0
        self._began = self.loop.now
        self._samples: list[int] = []

    def run(self) -> Seen:
        for node in self.orders.nodes:
            self.loop.after(0, partial(self._probe, node))
        for number in range(self.orders.watchers):
            preview = self.orders.previews[number % len(self.orders.previews)]
            reader = _Reader(self.ledger, preview[0])
            self.loop.after(random.uniform(0, self.orders.come_within_s), partial(_Watching, self, preview, reader))
        self.loop.after(1, self._sample)
        self.loop.after(0, self._offer)
        self.loop.run(sys.stdin.fileno())
        spread = sorted(self.delays) or [0.0]
        return Seen(
            self.loop.now - self._began,
            time.process_time(),
            dict(self.counts),
            [round(1000 * spread[int(part * (len(spread) - 1))], 1) for part in (0.5, 0.95, 0.99)],
            sum(self._samples) / max(1, len(self._samples)),
            {one: {str(seq): text for seq, text in lines.items()} for one, lines in self.ledger.lines.items()},
            self.breaches[:_MOST_BREACHES],
        )

    def pick(self) -> str:
        return random.choice(self._ready or self.orders.nodes)

    def _sample(self) -> None:
        self._samples.append(self.watching)
        self.loop.after(1, self._sample)

    # Requests

    def _probe(self, node: str) -> None:
        _Asking(self, node, _PROBE, "", _PROBE_S)
        self.loop.after(2 * _PROBE_S, partial(self._probe, node))

    def _offer(self) -> None:
        """Send the requests that are due; those for which no connection is free are counted only."""
        due = int((self.loop.now - self._began) * self.orders.requests_per_s)
        for _ in range(due - self._offered):
            self.counts["requests offered"] += 1
            if self._asking >= _MOST_ASKING:
                continue
            self.counts["requests sent"] += 1
            self._asking += 1
            node, (preview_id, request) = self.pick(), random.choice(self._requests)
            if self._idle[node]:
                self._idle[node].pop().again(request, preview_id, _ASK_S)
            else:
                _Asking(self, node, request, preview_id, _ASK_S)
        self._offered = due
        self.loop.after(0, self._offer)

    def answered(self, link: _Asking, message: Message) -> None:
        """Note an answer; the connection is free again."""
        if not link.preview_id:
            self._find(link.node, message.status)
            message.keeps = False
            return
        self._asking -= 1
        self.counts[f"answered {message.status}"] += 1
        if message.keeps:
            self._idle[link.node].append(link)
        if message.status == 500:
            self.breaches.append(f"{link.preview_id}: {message.body[:300]!r}")
        if message.status != 200:
            return
        now, start = self.loop.now, message.body.decode()
        self.delays.append(now - link.asked_at)
        overtaken_s = self._starts[link.preview_id].overtaken_s(start, link.asked_at, now)
        if overtaken_s is not None:
            late = f"a request that began {overtaken_s:.2f} s after a successor's answer"
            self.breaches.append(f"{link.preview_id}: {start} answered {late}")

    def lost(self, link: _Asking, message: Message | None) -> None:
        """Note that a connection is gone; with a message if its request has no answer."""
        if message is None:
            if link in self._idle[link.node]:
                self._idle[link.node].remove(link)
        elif link.preview_id:
            self._asking -= 1
            self.counts["answered 0"] += 1
        else:
            self._find(link.node, 0)

    def _find(self, node: str, status: int) -> None:
        ready = {*self._ready} - {node} | ({node} if status == 200 else set())
        self._ready = sorted(ready)

    # Watchers

    def left(self, reader: _Reader) -> None:
        """Let a reader come back to any node, unless it saw what must not be."""
        if reader.ended != _BROKEN:
            self.counts["streams cut"] += 1
            reader.ended = None
            preview = self._previews[reader.preview_id]
            self.loop.after(_BACK_S * random.uniform(0.5, 1.5), partial(_Watching, self, preview, reader))


def _address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    return parts.hostname or "", parts.port or 80


def _request(host: str, token: str) -> bytes:
    return f"GET / HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n".encode()


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
    print(json.dumps(asdict(_Crowd(Orders(**asked)).run())))


if __name__ == "__main__":
    _main()
