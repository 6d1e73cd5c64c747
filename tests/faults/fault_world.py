"""The suite's world: a service under fire, its previews, and what must hold whenever nothing is going on."""

from __future__ import annotations

import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import fault_machine as machine
import trio
from fault_client import Answer, Client, Unanswered
from fault_ledger import Broken, Ledger, Reading
from fault_project import FILES
from fault_service import Gone, Service, log_faults

__all__ = ["Held", "World", "open_world"]

# For what is asynchronous by nature: a killed process's end, a closed connection's task.
_SETTLE_S = 10
_LOOK_S = 0.02
# At rest is what it holds at least, within a moment.
_REST_LOOKS = 25
_OVER = {"stopped", "failed"}
# The service answers one while the suite reads another's answer.
_READERS = 3
# A template is being made, or was killed, at times: its channel, namespace, output and files; its tasks.
_OF_TEMPLATE = 8
# Database connections and libraries' own; what leaks grows past it within a few checks.
_SPARE_FILES = 24
_SPARE_THREADS = 24
_SPARE_BYTES = 150 * 2**20


@dataclass
class Held:
    """One preview of the suite, and a subscriber that watches it from its launch on."""

    generation_id: str
    preview_id: str
    port: int
    reading: Reading

    def pids(self) -> list[int]:
        return sorted(machine.marked([self.preview_id]))


@dataclass
class World:
    """Everything a fault works with.

    Attributes:
        previews: All previews ever launched, with their generation.
        gaps: What readers were told to be missing, by preview.
        free: Generations without a preview, to be launched again.
        unverified: Previews that a killed service left, to be held to account at the next check.
        spare_sockets: More of them that are no leak: a database's connections.
        notes: What did not get as far as its fault, and why.
        allowed_log: Words of entries in the service's log that are to be expected here.
    """

    service: Service
    client: Client
    ledger: Ledger = field(default_factory=Ledger)
    previews: dict[str, str] = field(default_factory=dict)
    gaps: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    free: list[str] = field(default_factory=list)
    unverified: list[Held] = field(default_factory=list)
    spare_sockets: int = 0
    notes: list[str] = field(default_factory=list)
    allowed_log: tuple[str, ...] = ()
    base_tasks: int = 0
    base_other: int = 0
    base_files: int = 0
    base_threads: int = 0
    base_bytes: int = 0

    # Steps of a scenario

    def path(self, generation_id: str, rest: str = "") -> str:
        return f"/api/v1/generations/{generation_id}/preview{rest}"

    async def keep(self, files: dict[str, str] = FILES) -> str:
        """A new generation. Cancellation: it may exist."""
        answer = await self.client.ask("POST", "/api/v1/generations", {"project_id": "faults", "files": files})
        if answer.status != 201:
            raise Unanswered(f"the generation was not kept: {answer}")
        made: str = answer.body["id"]
        return made

    async def generation(self) -> str:
        """One without a preview. Cancellation: likewise."""
        return self.free.pop() if self.free else await self.keep()

    async def ask_launch(self, generation_id: str, *, wait_s: int = 20, env: dict[str, str] | None = None) -> Answer:
        """Ask for a launch, and note its preview. Cancellation: it may go on without this caller."""
        answer = await self.client.ask(
            "POST",
            self.path(generation_id, "/launch"),
            {"env": env} if env else {},
            {"Prefer": f"wait={wait_s}"} if wait_s else {},
        )
        if answer.status == 201:
            self.previews[answer.body["id"]] = generation_id
        elif isinstance(answer.body, dict) and "preview_id" in answer.body.get("details", {}):
            self.previews[answer.body["details"]["preview_id"]] = generation_id
        return answer

    @asynccontextmanager
    async def preview(self, *, env: dict[str, str] | None = None, wait_s: int = 20) -> AsyncIterator[Held]:
        """A preview that runs, watched by a subscriber; stopped at the end if it still lives, then held to account.

        Raises:
            Unanswered: It could not be had: the service is short of something.

        Cancellation: it is left as it is.
        """
        generation_id = await self.generation()
        answer = await self.ask_launch(generation_id, wait_s=wait_s, env=env)
        if answer.status != 201:
            raise Unanswered(f"not launched: {answer}")
        preview_id = answer.body["id"]
        held = Held(generation_id, preview_id, answer.body["port"], Reading(self.ledger, preview_id))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.client.follow_to_end, generation_id, held.reading)
            yield held
            await self.stop(held.generation_id)
            with trio.move_on_after(_SETTLE_S) as scope:
                while held.reading.ended is None:  # noqa: ASYNC110  its task is elsewhere
                    await trio.sleep(_LOOK_S)
            nursery.cancel_scope.cancel()
        if scope.cancelled_caught:
            raise Broken(f"{preview_id} is over, and its subscriber was not told so within {_SETTLE_S} s")
        await self.verify(held)
        self.free.append(generation_id)

    async def stop(self, generation_id: str) -> None:
        """Stop whatever the generation has. Cancellation: it stops all the same."""
        answer = await self.client.ask("DELETE", self.path(generation_id))
        if answer.status not in (204, 404):
            raise Unanswered(f"not stopped: {answer}")

    async def act(self, held: Held, what: str) -> int:
        """Ask the preview itself, past the service; 0 where it does not answer. Cancellation: the request is cut."""
        with trio.move_on_after(20):
            try:
                stream = await trio.open_tcp_stream("127.0.0.1", held.port)
                async with stream:
                    await stream.send_all(f"GET /{what} HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
                    head = await stream.receive_some()
                    return int(head.split(b" ")[1]) if b" " in head else 0
            except (OSError, trio.BrokenResourceError):
                return 0
        return 0

    async def wait_over(self, held: Held) -> dict[str, Any]:
        """Wait until the preview's row says that it is over; the row. Cancellation: nothing changes."""
        with trio.fail_after(60):
            while True:
                answer = await self.client.ask("GET", f"/api/v1/previews/{held.preview_id}")
                if answer.status == 200 and answer.body["status"] in _OVER:
                    row: dict[str, Any] = answer.body
                    return row
                await trio.sleep(_LOOK_S)

    async def verify(self, held: Held) -> None:
        """A preview that is over: all that anybody was told of its log is there, once, dense but for named gaps.

        Cancellation: nothing changes.
        """
        again = Reading(Ledger(), held.preview_id)
        with trio.fail_after(60):
            await self.client.follow_to_end(held.generation_id, again)
        gaps = held.reading.gaps + again.gaps
        self.gaps.setdefault(held.preview_id, []).extend(gaps)
        self.ledger.compare(held.preview_id, again.lines, gaps, "the log read again")
        stored = await self.client.page(held.generation_id, held.preview_id)
        self.ledger.compare(held.preview_id, stored, gaps, "the log page")
        holes = set(range(1, max(stored, default=0) + 1)) - set(stored)
        unnamed = [seq for seq in holes if not any(first <= seq <= last for first, last in gaps)]
        if unnamed:
            raise Broken(f"{held.preview_id}: lines {sorted(unnamed)[:5]} are missing, and no gap says so")

    # What must hold when nothing is going on

    async def measure(self) -> None:
        """Note what the service holds at rest. Cancellation: nothing is noted."""
        await self._settled(self._leftovers)
        self.base_tasks, self.base_other = sys.maxsize, sys.maxsize
        for _ in range(_REST_LOOKS):
            await trio.sleep(_LOOK_S)
            self.base_tasks = min(self.base_tasks, self.service.tasks())
            self.base_other = min(self.base_other, self._descriptors()[0])
        self.base_files = self._descriptors()[1]
        self.base_threads = self.service.threads()
        self.base_bytes = self.service.memory_bytes()

    async def restart(self) -> None:
        """Start the service again on the same folder; what a crash left must be gone when it answers.

        Cancellation: as ``Service.start``.
        """
        await self.service.start()
        found = self._leftovers()
        if self.service.has_templates:
            # One that is being made looks like a preview until its keeper runs.
            await self._settled(self._leftovers)
        elif found:
            raise Broken(f"after the start: {found}")
        await self.measure()

    async def check(self) -> None:
        """All previews are over, so nothing of any may be left. Cancellation: nothing changes."""
        self.service.check_alive()
        for held in self.unverified:
            await self.verify(held)
        self.unverified.clear()
        await self._stop_strays()
        await self._settled(self._not_at_rest)
        answer = await self.client.ask("GET", "/readyz")
        if answer.status != 200:
            raise Broken(f"the service does not answer: {answer}")
        await self._check_rows()
        await self._settled(self._leftovers)
        await self._settled(self._grown)
        written = log_faults(self.service.log, self.allowed_log)
        if written:
            raise Broken(f"the service's log has {len(written)} unexpected entries: {written[:12]}")

    async def check_all_lines(self) -> None:
        """Every line that was ever acknowledged, of all previews. Cancellation: nothing changes."""
        limit = trio.CapacityLimiter(_READERS)

        async def check(preview_id: str, generation_id: str) -> None:
            async with limit:
                stored = await self.client.page(generation_id, preview_id)
            self.ledger.compare(preview_id, stored, self.gaps.get(preview_id, []), "the log page at the end")

        async with trio.open_nursery() as nursery:
            for preview_id, generation_id in self.previews.items():
                if preview_id in self.ledger.lines:
                    nursery.start_soon(check, preview_id, generation_id)

    async def _stop_strays(self) -> None:
        """A request that was cancelled may still be carried out, after the check has looked for it."""
        for word in ("starting", "running"):
            answer = await self.client.ask("GET", f"/api/v1/previews?status={word}")
            for row in answer.body["previews"]:
                self.previews.setdefault(row["id"], row["generation_id"])
                await self.stop(row["generation_id"])

    async def _check_rows(self) -> None:
        for word in ("starting", "running", "stopping"):
            answer = await self.client.ask("GET", f"/api/v1/previews?status={word}")
            if answer.status != 200 or answer.body["previews"]:
                raise Broken(f"rows that say {word!r} although no preview lives: {answer}")

    async def _settled(self, wrong: Any) -> None:
        found = ""
        with trio.move_on_after(_SETTLE_S):
            while found := wrong():  # noqa: ASYNC110  the kernel has no event for it
                await trio.sleep(_LOOK_S)
        if found:
            self.service.check_alive()
            raise Broken(found)

    def _not_at_rest(self) -> str:
        ports = machine.listening(self.service.port_min, self.service.port_min + self.service.ports - 1)
        if not ports:
            return ""
        holders = [(pid, machine.name_of(pid)) for pid in machine.below(self.service.pid)]
        return f"ports {ports} are listened on, and no preview lives; below the service: {holders}"

    def _leftovers(self) -> str:
        service = self.service
        if pids := machine.marked(self.previews):
            return f"processes of previews that are over: {[(pid, machine.name_of(pid)) for pid in pids]}"
        if others := machine.below(service.pid):
            return f"processes below the service: {[(pid, machine.name_of(pid)) for pid in others]}"
        if others := machine.works_in(service.data):
            return f"processes in the data folder: {[(pid, machine.name_of(pid)) for pid in others]}"
        if found := self._not_at_rest():
            return found
        folders = [*(service.data / "previews").glob("*"), *(service.data / "storage" / "previews").glob("*")]
        if folders:
            return f"folders of previews that are over: {folders}"
        if groups := machine.cgroups(self.previews):
            return f"control groups of previews that are over: {groups}"
        return ""

    def _grown(self) -> str:
        other, files = self._descriptors()
        tasks, threads, size = self.service.tasks(), self.service.threads(), self.service.memory_bytes()
        of_template = _OF_TEMPLATE * self.service.has_templates
        if other > self.base_other + self.spare_sockets + of_template:
            return f"sockets, pipes and the like: {other}, were {self.base_other}: {self.service.descriptors()}"
        if files > self.base_files + _SPARE_FILES:
            return f"open files: {files}, were {self.base_files}"
        if tasks > self.base_tasks + of_template:
            return f"trio tasks: {tasks}, were {self.base_tasks}"
        if threads > self.base_threads + _SPARE_THREADS:
            return f"threads: {threads}, were {self.base_threads}"
        if size > self.base_bytes + _SPARE_BYTES:
            return f"memory: {size // 2**20} MiB, was {self.base_bytes // 2**20} MiB"
        return ""

    def _descriptors(self) -> tuple[int, int]:
        """Sockets, pipes and the kernel's own; and files, whose number follows the database's pool.

        Two workers wait for projects to read, and come and go: each is a socket, a pidfd and a page of memory.
        """
        names = self.service.descriptors()
        files = sum(name.startswith("/") and not name.startswith("/proc") for name in names)
        workers = min(2, sum(name.startswith("/memfd:progress") for name in names))
        return len(names) - files - 2 * workers, files - workers


@asynccontextmanager
async def open_world(
    folder: Path, cache: Path, *, port_min: int | None = None, data_folder: Path | None = None, **variables: str
) -> AsyncIterator[World]:
    """A service that runs, warmed up, and nothing left of it at the end. Cancellation: likewise."""
    port = port_min or 40 * random.SystemRandom().randrange(250, 500)
    service = Service(folder, cache, port, {f"PREVIEW_{name}": text for name, text in variables.items()},
                      data_folder=data_folder)  # fmt: skip
    client = Client(service)
    try:
        await service.start()
        world = World(service, client)
        async with world.preview():
            pass
        await world.measure()
        yield world
        service.check_alive()
        code = await service.end()
        if code != 0:
            raise Gone(f"SIGTERM ended it with {code}: {service.last_words()}")
    finally:
        service.kill_now()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
            await client.aclose()
