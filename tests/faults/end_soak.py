"""A soak of ends: previews that are stopped, expire, crash, are reloaded and killed while readers follow them.

The service is a process, the readers are tasks of another. No reader comes back after its connection has ended, so an
``end`` that one connection has lost is seen.
"""

from __future__ import annotations

import random
import signal
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fault_machine as machine
import httpx2
import trio
import trustme
from end_programs import PROGRAMS, changed
from end_readers import KINDS, PROPERLY, Place, Seen, read
from fault_service import SECRET, Service, log_faults
from joserfc import jwt
from joserfc.jwk import OctKey

__all__ = ["ENDS", "Draw", "Soak", "draw", "open_soak"]

ENDS = ("stopped", "expired", "crashed", "reloaded", "killed")
# A preview that expires lives so long: readers, requests and lines fit in, also on a busy machine.
_UPTIME_S = 4
_PATIENCE_S = 40
# From a preview's end to its last reader's: a stop takes its grace, a busy machine some seconds more.
_TO_THE_END_S = 20
_OVER = {"stopped": "stopped", "expired": "stopped", "crashed": "failed", "reloaded": "stopped", "killed": "failed"}
_PAGE_LINES = 1000
_VISIT_S = 10
# Previews of one service at a time: two cores run no more at a speed that is any use.
_AT_ONCE = 3


@dataclass(frozen=True)
class Draw:
    """One preview's part, all of it from the seed.

    Attributes:
        early: Readers that connect while it starts.
        late: Readers that connect once it runs.
        raises: Whether a route raises before the end.
        burst: Lines that are printed right before the end.
    """

    number: int
    end: str
    program: str
    early: tuple[str, ...]
    late: tuple[str, ...]
    raises: bool
    burst: int

    def __str__(self) -> str:
        raised = ", after a route has raised" if self.raises else ""
        return f"preview {self.number} ({self.program}, {self.end}{raised}, {self.burst} lines at the end)"


def draw(seed: int, number: int, *, secured: bool, most_readers: int = 20) -> Draw:
    """What is done to the preview with this number: ends and programs in turn, the rest by chance."""
    rng = random.Random(f"{seed} {number}")
    kinds = [name for name, (_, _, needs) in KINDS.items() if needs is secured]
    readers = [rng.choice(kinds) for _ in range(rng.randint(1, most_readers))]
    early = rng.randint(0, len(readers))
    return Draw(
        number=number,
        end=ENDS[number % len(ENDS)],
        program=list(PROGRAMS)[number // len(ENDS) % len(PROGRAMS)],
        early=tuple(readers[:early]),
        late=tuple(readers[early:]),
        raises=rng.random() < 0.5,
        burst=rng.choice([0, 1, 30, 600]),
    )


@dataclass
class Soak:
    """One service, and what its readers have seen.

    Attributes:
        streams: Finished readers, by kind.
        ends: Finished previews, by how they ended.
        problems: What does not hold, in words.
        named_gaps: How many gaps readers were given.
        lines: Lines that readers have received.
        refused: Launches that came too soon behind an end, and were asked for again.
    """

    service: Service
    trust: Mapping[str, ssl.SSLContext]
    client: httpx2.AsyncClient
    streams: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    named_gaps: int = 0
    lines: int = 0
    refused: int = 0
    free: dict[tuple[str, str], list[str]] = field(default_factory=dict)

    @property
    def secured(self) -> bool:
        return bool(self.trust)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Previews, streams and problems so far."""
        return self.ends.total(), self.streams.total(), len(self.problems)

    async def run(self, draws: list[Draw], *, until: float) -> None:
        """Do all of them, some at a time, until this moment of ``time.monotonic``. Cancellation: they are left."""
        waiting = iter(draws)

        async def work() -> None:
            for one in waiting:
                if time.monotonic() >= until:
                    return
                with trio.move_on_after(2 * _PATIENCE_S + _TO_THE_END_S) as scope:
                    try:
                        await self._one(one)
                    except (AssertionError, httpx2.TransportError) as error:
                        self.problems.append(f"{one}: {error!r}")
                if scope.cancelled_caught:
                    self.problems.append(f"{one}: not done in time")

        async with trio.open_nursery() as nursery:
            for _ in range(_AT_ONCE):
                nursery.start_soon(work)
        self.service.check_alive()
        self.problems += [f"the service's log: {line}" for line in log_faults(self.service.log)]

    # One preview

    async def _one(self, one: Draw) -> None:
        # Each tier has a longest life, and this one's is short.
        tier = "pro" if one.end == "expired" else "enterprise"
        headers = {"Authorization": f"Bearer {_token(tier)}"}
        generation_id = await self._generation(one.program, tier, headers)
        path = f"/api/v1/generations/{generation_id}/preview"
        made = await self._launch(path, headers)
        preview_id, port = made["id"], made["port"]
        readers: list[Seen] = []
        place = Place(self._address(), self.trust, headers["Authorization"])
        async with trio.open_nursery() as nursery:

            def open_readers(kinds: tuple[str, ...]) -> None:
                for kind in kinds:
                    readers.append(Seen(kind))
                    nursery.start_soon(read, place, generation_id, readers[-1])

            open_readers(one.early)
            await self._until_running(path, headers)
            open_readers(one.late)
            with trio.move_on_after(_PATIENCE_S):
                for seen in readers:
                    await seen.opened.wait()
            written = await self._end(one, generation_id, preview_id, port, headers)
            nursery.cancel_scope.deadline = trio.current_time() + _TO_THE_END_S + _UPTIME_S
        stored, gaps = await self._stored(path, preview_id, headers)
        if not gaps and (missing := [line for line in written if line not in set(stored.values())]):
            tail = [stored[seq] for seq in sorted(stored)[-3:]]
            ends = readers[0].ends
            self.problems.append(f"{one}: not in the log of {preview_id}: {missing}; its last {tail}; {ends}")
        self._compare(one, preview_id, readers, stored, gaps)
        self.free.setdefault((one.program, tier), []).append(generation_id)
        self.ends[one.end] += 1

    async def _generation(self, program: str, tier: str, headers: Mapping[str, str]) -> str:
        free = self.free.get((program, tier))
        if free:
            return free.pop()
        body = {"project_id": f"ends_{tier}", "files": PROGRAMS[program]}
        return str((await self._ask("POST", "/api/v1/generations", headers, body))["id"])

    async def _launch(self, path: str, headers: Mapping[str, str]) -> Any:
        """Launch; the preview from before may have told its end a moment ago and still be tidied up."""
        with trio.move_on_after(_PATIENCE_S):
            while True:
                answer = await self.client.post(f"{self.service.url}{path}/launch", headers=dict(headers), json={})
                if answer.status_code != 409:
                    break
                self.refused += 1
                await trio.sleep(0.05)
        if answer.status_code != 201:
            raise AssertionError(f"the launch was answered {answer.status_code} {answer.text[:500]}")
        return answer.json()

    async def _until_running(self, path: str, headers: Mapping[str, str]) -> None:
        with trio.move_on_after(_PATIENCE_S):
            while True:
                answer = await self.client.get(f"{self.service.url}{path}/status", headers=headers)
                # One that has expired already is 404: its readers must have their end all the same.
                if answer.status_code == 404 or answer.json()["status"] != "starting":
                    return
                await trio.sleep(0.05)

    async def _end(
        self, one: Draw, generation_id: str, preview_id: str, port: int, headers: Mapping[str, str]
    ) -> list[str]:
        """Bring the preview to its end; lines that it has written for certain before that."""
        written = []
        path = f"/api/v1/generations/{generation_id}"
        if one.raises:
            await _visit(port, "boom/1")
        if one.end == "reloaded":
            await self._ask("PATCH", f"{path}/files", headers, {"files": changed(one.program, one.number + 1)})
        if one.burst and await _visit(port, f"say/{one.burst}"):
            written.append(f"said {one.burst} of {one.burst}")
        if one.end in {"stopped", "reloaded"}:
            answer = await self.client.delete(f"{self.service.url}{path}/preview", headers=headers)
            if answer.status_code != 204:
                self.problems.append(f"{one}: the stop was answered {answer.status_code} {answer.text}")
        elif one.end == "crashed":
            await _visit(port, "crash/1")
            written.append("the last word")
        elif one.end == "killed" and not self._kill(preview_id):
            self.problems.append(f"{one}: there was no process to kill")
        return written

    def _kill(self, preview_id: str) -> bool:
        """SIGKILL to all processes of the preview; whether there were any."""
        found = [pid for pid in machine.below(self.service.pid) if machine.preview_of(pid) == preview_id]
        # All of them must be asked, so no short cut.
        return any([machine.send(pid, signal.SIGKILL) for pid in found])  # noqa: C419

    # What must hold

    def _compare(
        self, one: Draw, preview_id: str, readers: list[Seen], stored: dict[int, str], gaps: list[tuple[int, int]]
    ) -> None:
        last = max([*stored, *(to for _, to in gaps)], default=0)
        for seen in readers:
            self.streams[seen.kind] += 1
            self.named_gaps += len(seen.gaps)
            self.lines += len(seen.lines)
            wrong = [*seen.faults]
            if len(seen.ends) != 1:
                wrong.append(f"{len(seen.ends)} ends")
            elif (seen.ends[0]["id"], seen.ends[0]["status"]) != (preview_id, _OVER[one.end]):
                wrong.append(f"the end {seen.ends[0]}")
            if seen.closed != PROPERLY:
                wrong.append(f"its connection: {seen.closed or 'still open'}")
            if seen.last != last:
                wrong.append(f"its last line is {seen.last} of {last}")
            other = [seq for seq, text in seen.lines.items() if stored.get(seq, text) != text]
            if other:
                wrong.append(f"lines {other[:3]} have another text in the log")
            if wrong:
                self.problems.append(f"{one}: a reader ({seen.kind}): {'; '.join(wrong)}")

    async def _stored(
        self, path: str, preview_id: str, headers: Mapping[str, str]
    ) -> tuple[dict[int, str], list[tuple[int, int]]]:
        """The log as its pages give it: lines, and named gaps."""
        found: dict[int, str] = {}
        gaps: list[tuple[int, int]] = []
        after = 0
        while True:
            query = f"preview_id={preview_id}&after={after}&limit={_PAGE_LINES}"
            page = await self._ask("GET", f"{path}/logs?{query}", headers)
            found |= {line["seq"]: line["message"] for line in page["lines"]}
            gaps += [(gap["first"], gap["last"]) for gap in page["gaps"]]
            if len(page["lines"]) < _PAGE_LINES:
                return found, gaps
            after = max(found)

    # Talking to the service

    def _address(self) -> tuple[str, int]:
        host, _, port = self.service.url.partition("://")[2].rpartition(":")
        return host, int(port)

    async def _ask(self, method: str, path: str, headers: Mapping[str, str], body: Any = None) -> Any:
        answer = await self.client.request(method, f"{self.service.url}{path}", headers=dict(headers), json=body)
        if answer.status_code >= 400:
            raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        return answer.json()


def _token(tier: str) -> str:
    claims = {"sub": f"{tier}_user", "aud": "preview", "exp": int(time.time()) + 24 * 3600, "tier": tier}
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(SECRET))


async def _visit(port: int, path: str) -> bool:
    """Ask the preview itself; whether it has answered well. One that ends meanwhile may not answer."""
    got = b""
    with trio.move_on_after(_VISIT_S), suppress(OSError, trio.BrokenResourceError):
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            await stream.send_all(f"GET /{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
            async for data in stream:
                got += data
    return b" 200 " in got.partition(b"\r\n")[0]


@asynccontextmanager
async def open_soak(folder: Path, cache: Path, *, secured: bool, port_min: int) -> AsyncIterator[Soak]:
    """A service of its own, with warm starts; with a certificate, all its streams go the ordinary way.

    Cancellation: the service is killed.
    """
    folder.mkdir(parents=True)  # noqa: ASYNC240  one folder
    variables = {
        # Warm starts give descriptor numbers back at the moment a preview ends.
        "PREVIEW_WARM_TEMPLATES": "4",
        "PREVIEW_MAX_UPTIME_PRO": str(_UPTIME_S),
        "PREVIEW_MAX_INSTANCES_PRO": "30",
    }
    trust: dict[str, ssl.SSLContext] = {}
    if secured:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        issued.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
        variables |= {name: str(folder / "both.pem") for name in ("PREVIEW_TLS_CERT", "PREVIEW_TLS_KEY")}
        for protocol in ("http/1.1", "h2"):
            trust[protocol] = ssl.create_default_context()
            authority.configure_trust(trust[protocol])
            trust[protocol].set_alpn_protocols([protocol])
    service = Service(folder / "service", cache, port_min, variables)
    verify: Any = trust.get("http/1.1", True)
    # No connection is kept: the service closes a quiet one, perhaps at the moment of the next request.
    limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx2.AsyncClient(trust_env=False, timeout=_PATIENCE_S, verify=verify, limits=limits) as client:
        try:
            await service.start()
            yield Soak(service, trust, client)
            await service.end()
        finally:
            service.kill_now()
