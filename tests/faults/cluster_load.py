"""Load of a cluster under faults, and what it notices: lines twice or lost, an old owner that answers, slow returns."""

from __future__ import annotations

import random
import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import h11
import trio
from cluster_asker import Asker, Reply
from cluster_crowd import Starts
from fault_client import Client, Unanswered, _read_events, open_raw
from fault_ledger import Broken, Ledger, Reading
from fault_service import Service

__all__ = ["Load", "Standing", "check_lines", "project"]

# Each start has a name of its own, which is in all its lines and answers.
MAIN_PY = """
import os, sys, threading, time, uuid

START = uuid.uuid4().hex[:12]
# The server logs each request there; readers of a log that many call would get nothing else.
OUT, sys.stdout = sys.stdout, open(os.devnull, "w")


def talk():
    number = 0
    while True:
        print(f"line {number} of {START}", file=OUT, flush=True)
        number += 1
        time.sleep(LINE_S)


threading.Thread(target=talk, daemon=True).start()


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [START.encode()]
"""


def project(line_s: float = 0.05) -> dict[str, str]:
    """Files of a project that prints a line each ``line_s`` seconds."""
    return {
        "main.py": MAIN_PY.replace("LINE_S", str(line_s)),
        "preview.toml": '[start]\napp = "main:app"\nserver = "wsgi"\nhealth = "/health"\n',
        "requirements.txt": "",
    }


_LINE = re.compile(r"line (\d+) of ([0-9a-f]{12})$")
_ASK_S = 4.0
_SILENCE_S = 6.0
_PROBE_S = 1.0
_WRONG = 400


@dataclass
class Standing:
    """A preview that lives for the whole run, with a watcher and somebody who calls it.

    Attributes:
        user: Its owner.
        lost_at: Since when its node is lost, as far as nobody has been answered yet.
        lost_start: The start that was lost: its answers do not count. A node that is cut off goes on for a moment.
        starts: The starts that have answered.
    """

    user: str
    generation_id: str
    preview_id: str
    lost_at: float | None = None
    why: str = ""
    lost_start: str = ""
    starts: Starts = field(default_factory=Starts)


class Watcher(Reading):
    """A reader that comes back to any node after its connection broke or was silent."""

    heard_at = 0.0

    def line(self, seq: int, message: str) -> None:
        self.heard_at = trio.current_time()
        super().line(seq, message)


class Load:
    """Tasks that use a cluster.

    Args:
        nodes: All nodes.
        usable: Returns the nodes that a load balancer would use now.
        rng: Source of choices.
        line_s: Seconds between two lines of a preview.

    Attributes:
        breaches: What must not be.
        returns: Seconds until a lost preview was served again, by kind of fault.
        counts: What happened.
        delays: Seconds of each launch until its preview served.
    """

    def __init__(
        self,
        nodes: Mapping[str, Service],
        usable: Callable[[], list[Service]],
        rng: random.Random,
        line_s: float = 0.05,
    ) -> None:
        self.nodes, self.usable, self.rng = nodes, usable, rng
        self.ledger = Ledger()
        self.watchers: list[Watcher] = []
        self.standing: list[Standing] = []
        self.breaches: list[str] = []
        self.returns: dict[str, list[float]] = {}
        self.counts: Counter[str] = Counter()
        self.launched: set[str] = set()
        self.delays: list[float] = []
        self._files = project(line_s)
        self._unready: set[str] = set()
        self._asker = Asker()
        self._tokens: dict[str, str] = {}

    def lose(self, previews: list[Standing], why: str, *, moves: bool) -> None:
        """Note that these previews' node is lost now; if its lease ends, they have to start again."""
        for one in previews:
            if one.lost_at is None:
                one.lost_at, one.why = trio.current_time(), why
                one.lost_start = one.starts.newest if moves else ""

    def pick(self) -> Service:
        ready = [node for node in self.usable() if node.url not in self._unready]
        return self.rng.choice(ready or self.usable() or list(self.nodes.values()))

    async def ask(
        self, method: str, path: str, user: str, *, host: str | None = None, body: object = None, wait_s: int = 0
    ) -> Reply:
        """One request to any usable node; status 0 without an answer. Cancellation: it is cut."""
        node = self.pick()
        fields = {"Authorization": f"Bearer {self._token(user)}", "Prefer": f"wait={wait_s}"}
        if host is not None:
            fields["Host"] = host
        answer = await self._asker.ask(node.url, method, path, _ASK_S + wait_s, body, **fields)
        if answer.status == 500:
            self.breaches.append(f"{method} {path}: {answer.text[:300]}")
        return answer

    def _token(self, user: str) -> str:
        if user not in self._tokens:
            self._tokens[user] = next(iter(self.nodes.values())).token(user)
        return self._tokens[user]

    async def launch(self, user: str) -> tuple[str, str] | None:
        """Push and launch; ids of the generation and the preview. Cancellation: it may go on."""
        generation_id = await self._push(user)
        preview_id = None if generation_id is None else await self._start(user, generation_id)
        return None if generation_id is None or preview_id is None else (generation_id, preview_id)

    async def _push(self, user: str) -> str | None:
        answer = await self.ask("POST", "/api/v1/generations", user, body={"files": self._files})
        if answer.status == 201:
            return str(answer.json()["id"])
        self.counts[f"push {answer.status}"] += 1
        return None

    async def _start(self, user: str, generation_id: str) -> str | None:
        path, asked_at = f"/api/v1/generations/{generation_id}/preview/launch", trio.current_time()
        answer = await self.ask("POST", path, user, body={}, wait_s=30)
        self.counts[f"launch {answer.status}"] += 1
        if answer.status == _WRONG:
            self.breaches.append(f"a valid launch was refused: {answer.text[:500]}")
        if answer.status not in {201, 202}:
            return None
        preview_id = str(answer.json()["id"])
        self.launched.add(preview_id)
        if answer.status == 201:
            self.delays.append(trio.current_time() - asked_at)
        return preview_id

    # Tasks

    async def probe(self, node: Service) -> None:
        """Ask a node if it is ready, as a load balancer does, until cancelled. If it is not, it gets no requests."""
        while True:
            answer = await self._asker.ask(node.url, "GET", "/readyz", _PROBE_S)
            if answer.status == 200:
                self._unready.discard(node.url)
            else:
                self._unready.add(node.url)
            await trio.sleep(_PROBE_S)

    async def call(self, one: Standing, each_s: float) -> None:
        """Call a preview through any node until cancelled, as people do who do not know of each other's calls.

        One call that waits for a lost node says nothing about the next one, so none waits for another.
        """
        async with trio.open_nursery() as nursery:
            while True:
                nursery.start_soon(self._call_once, one)
                await trio.sleep(each_s * self.rng.uniform(0.5, 1.5))

    async def _call_once(self, one: Standing) -> None:
        host, asked_at = f"{one.preview_id.replace('_', '-')}.localhost", trio.current_time()
        answer = await self.ask("GET", "/", one.user, host=host)
        self.counts["requests"] += 1
        if answer.status == 200:
            self.counts["requests answered"] += 1
            self._answered(one, answer.text, asked_at)

    def _answered(self, one: Standing, start: str, asked_at: float) -> None:
        now = trio.current_time()
        late_s = one.starts.overtaken_s(start, asked_at, now)
        if late_s is not None:
            self.breaches.append(
                f"{one.preview_id}: {start} answered a request that was made {late_s:.2f} s after the first answer of "
                "a later start"
            )
        if one.lost_at is not None and asked_at > one.lost_at and start != one.lost_start:
            self.returns.setdefault(one.why, []).append(now - one.lost_at)
            # What follows until the fault is over is counted with the others.
            one.lost_at, one.lost_start, one.why = None, "", ""

    async def watch(self, one: Standing) -> None:
        """Follow a log through any node until cancelled."""
        reading = Watcher(self.ledger, one.preview_id)
        self.watchers.append(reading)
        while True:
            node = self.pick()
            client = Client(node, one.user)
            try:
                await self._follow(client, one, reading)
            except Unanswered:
                self.counts["streams cut"] += 1
            except Broken as error:
                self.breaches.append(f"watcher through {node.url}: {error}")
                return
            finally:
                with trio.move_on_after(1, shield=True):
                    await client.aclose()
            reading.ended = None
            await trio.sleep(0.2)

    async def _follow(self, client: Client, one: Standing, reading: Watcher) -> None:
        reading.heard_at = trio.current_time()
        failure: Broken | Unanswered | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_cancel_at_silence, reading, nursery.cancel_scope)
            try:
                await self._read(client, one, reading)
            except (Broken, Unanswered) as error:
                failure = error
            nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _read(self, client: Client, one: Standing, reading: Watcher) -> None:
        resume = {"Last-Event-ID": str(reading.last)} if reading.last else {}
        async with open_raw(client.service) as stream:
            try:
                await stream.send_all(client.head("GET", client.stream_path(one.generation_id), b"", **resume))
                await _read_events(stream, h11.Connection(h11.CLIENT), reading, None)
            except (trio.BrokenResourceError, h11.RemoteProtocolError) as error:
                raise Unanswered(str(error)) from error

    async def churn(self, each_s: float) -> None:
        """Launch previews, and stop them through another node, until cancelled."""
        began, number = trio.current_time(), 0
        async with trio.open_nursery() as nursery:
            while True:
                number += 1
                self.counts["launches offered"] += 1
                nursery.start_soon(self._live_shortly, f"churn{number}")
                await trio.sleep_until(began + (number + self.rng.uniform(-0.4, 0.4)) * each_s)

    async def _live_shortly(self, user: str) -> None:
        generation_id = await self._push(user)
        if generation_id is None:
            return
        # One whose answer was lost is stopped too: else such previews would fill the cluster.
        await self._start(user, generation_id)
        await trio.sleep(self.rng.uniform(1, 6))
        until = time.monotonic() + 90
        while time.monotonic() < until:
            answer = await self.ask("DELETE", f"/api/v1/generations/{generation_id}/preview", user)
            if answer.status in {200, 204, 404, 409, 410}:
                self.counts[f"stop {answer.status}"] += 1
                self._tokens.pop(user, None)
                return
            await trio.sleep(1)
        self.counts["stop without an answer"] += 1


async def _cancel_at_silence(reading: Watcher, scope: trio.CancelScope) -> None:
    while trio.current_time() < reading.heard_at + _SILENCE_S:  # noqa: ASYNC110  time ends it
        await trio.sleep(0.5)
    scope.cancel()


def check_lines(preview_id: str, stored: list[tuple[int, str]]) -> list[str]:
    """Return what is wrong with a stored log: starts that mix, lines twice, lines that are missing without a gap."""
    found, last, ended = [], dict[str, tuple[int, int]](), set[str]()
    current = ""
    for seq, message in stored:
        line = _LINE.match(message)
        if line is None:
            continue
        number, start = int(line[1]), line[2]
        if start != current:
            if start in ended:
                found.append(f"{preview_id}: line {seq} is of {start}, which had a successor already")
            ended.add(current)
            current = start
        if start in last:
            before_seq, before = last[start]
            if number <= before:
                found.append(f"{preview_id}: {message!r} is stored twice, {seq} after {before_seq}")
            elif number - before > seq - before_seq:
                found.append(f"{preview_id}: lines {before + 1} to {number - 1} of {start} are missing silently")
        last[start] = seq, number
    return found
