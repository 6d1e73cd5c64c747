"""Faults that take a service of their own each: templates killed, the database gone, a clock set, a cache shared.

Short by default; ``PREVIEW_TEST_OUTAGE_S`` and ``PREVIEW_TEST_STORM_S`` have the first two last longer.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import fault_machine as machine
import pytest
import trio
from fault_client import Answer, Client, Unanswered
from fault_kinds_service import under_load
from fault_kinds_shortage import use
from fault_postgres import Postgres
from fault_project import FILES
from fault_service import Service, log_faults
from fault_world import Held, open_world

OUTAGE_S = float(os.environ.get("PREVIEW_TEST_OUTAGE_S", "5"))
STORM_S = float(os.environ.get("PREVIEW_TEST_STORM_S", "8"))
LAUNCHES_A_SECOND = 20
DAY_S = 24 * 3600
# What a launch may come to when what it starts from is killed under it: said in words, by a code.
SAID = {
    "", "launch_failed", "startup_timeout", "no_port_available", "preview_limit_reached", "environment_failed",
    "already_running", "invalid_generation", "too_many_launches", "no_active_preview",
}  # fmt: skip
HELPERS = ("preview_template", "preview_keeper", "bwrap")


@pytest.fixture
def rng() -> random.Random:
    seed = int(os.environ.get("PREVIEW_TEST_FAULT_SEED", "0")) or random.SystemRandom().randrange(10**6)
    print(f"PREVIEW_TEST_FAULT_SEED={seed}")
    return random.Random(seed)


@pytest.mark.long
async def test_postgres_that_is_gone_under_launches_and_streams_costs_no_line_and_no_preview(
    tmp_path: Path, cache: Path, server: Postgres, rng: random.Random
) -> None:
    async with open_world(tmp_path, cache, DATABASE_URL=server.url) as world:
        world.spare_sockets = 18

        async def during(held: list[Held]) -> None:
            async with trio.open_nursery() as nursery:

                @nursery.start_soon
                async def use_it() -> None:
                    with trio.move_on_after(OUTAGE_S):
                        while True:
                            await use(world, rng, held)
                            await trio.sleep(rng.random() * 0.2)

                await trio.to_thread.run_sync(server.end, signal.SIGINT)
                for preview in held:
                    nursery.start_soon(world.act, preview, f"say/{rng.randrange(1, 3000)}")
                with trio.fail_after(5):
                    while (await world.client.ask("GET", "/readyz")).status != 503:  # noqa: ASYNC110  it looks at times
                        await trio.sleep(0.05)
                await trio.sleep(OUTAGE_S)
                server.spawn()
                await trio.to_thread.run_sync(server.wait_ready)

        await under_load(world, rng, during)
        await world.check()
        await world.check_all_lines()


@pytest.mark.skipif(shutil.which("bwrap") is None, reason="no sandbox, so no templates: bwrap is not installed")
@pytest.mark.long
async def test_templates_keepers_and_sandboxes_killed_under_launches_leave_nothing_and_a_service_that_answers(
    tmp_path: Path, cache: Path, rng: random.Random
) -> None:
    service = Service(
        tmp_path, cache, 40 * rng.randrange(250, 500),
        {"PREVIEW_WARM_TEMPLATES": "2", "PREVIEW_STARTUP_TIMEOUT": "15"},
    )  # fmt: skip
    client = Client(service)
    storm = Storm(service, client, rng)
    try:
        await service.start()
        await storm.launch(await storm.generation())
        async with trio.open_nursery() as nursery:
            nursery.start_soon(storm.kill)
            with trio.move_on_after(STORM_S):
                while True:
                    nursery.start_soon(storm.launch, await storm.generation())
                    await trio.sleep(1 / LAUNCHES_A_SECOND)
            storm.over.set()
        print(storm.killed, storm.outcomes)
        assert storm.killed["preview_template"] + storm.killed["preview_keeper"] > 0
        assert set(storm.outcomes) <= SAID, storm.outcomes
        assert (await client.ask("GET", "/readyz")).status == 200
        # Whatever was killed: the next one starts.
        assert (await storm.launch(await storm.generation())) == ""
        assert storm.left() == []
        assert await service.end() == 0, service.last_words()
        assert storm.left() == []
        assert machine.works_in(service.data) == []
        assert log_faults(service.log) == []
    finally:
        service.kill_now()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
            await client.aclose()


class Storm:
    """Launches, and somebody who kills what they start from."""

    def __init__(self, service: Service, client: Client, rng: random.Random) -> None:
        self.service, self.client, self.rng = service, client, rng
        self.over = trio.Event()
        self.killed = dict.fromkeys(HELPERS, 0)
        self.outcomes: dict[str, int] = {}
        self.ids: list[str] = []
        self._free: list[str] = []

    async def generation(self) -> str:
        if self._free:
            return self._free.pop()
        answer = await self.client.ask("POST", "/api/v1/generations", {"project_id": "storm", "files": FILES})
        return str(answer.body["id"])

    async def launch(self, generation_id: str) -> str:
        """Launch, wait, stop; what came of it: no word where it served."""
        path = f"/api/v1/generations/{generation_id}/preview"
        answer = await self.client.ask("POST", f"{path}/launch", {}, {"Prefer": "wait=20"})
        self.outcomes[answer.code] = self.outcomes.get(answer.code, 0) + 1
        self._note(answer)
        assert answer.status < 500 or answer.code in SAID, answer
        stopped = await self.client.ask("DELETE", path)
        assert stopped.status in {204, 404}, stopped
        self._free.append(generation_id)
        return answer.code

    def _note(self, answer: Answer) -> None:
        for found in (answer.body.get("id"), answer.body.get("details", {}).get("preview_id")):
            if found:
                self.ids.append(found)

    async def kill(self) -> None:
        """SIGKILL for a template, a keeper or a sandbox of this service, at random, several times a second."""
        while not self.over.is_set():
            await trio.sleep(self.rng.random() * 0.2)
            found = [(pid, machine.name_of(pid)) for pid in machine.below(self.service.pid)]
            chosen = self.rng.choice(HELPERS)
            pids = [pid for pid, name in found if chosen in name]
            if pids and machine.send(self.rng.choice(pids), signal.SIGKILL):
                self.killed[chosen] += 1

    def left(self) -> list[object]:
        """Of previews that are over."""
        folders = [*(self.service.data / "previews").glob("preview_*")]
        mine = [one for one in folders if one.name in self.ids]
        return [*machine.marked(self.ids), *mine, *machine.cgroups(self.ids)]


@pytest.mark.long
@pytest.mark.parametrize("days", [-1, 1])
async def test_a_preview_lives_its_time_whatever_is_done_to_the_wall_clock(
    tmp_path: Path, cache: Path, days: int
) -> None:
    life_s = 10.0
    async with open_world(tmp_path, cache, MAX_UPTIME=str(life_s)) as world:
        generation_id = await world.generation()
        began = trio.current_time()
        answer = await world.ask_launch(generation_id)
        assert answer.status == 201
        world.service.set_clock(days * DAY_S)
        try:
            row = {"status": "running"}
            with trio.fail_after(life_s + 5):
                while row["status"] in ("running", "stopping"):
                    row = (await world.client.ask("GET", f"/api/v1/previews/{answer.body['id']}")).body
                    await trio.sleep(0.05)
            took_s = trio.current_time() - began
        finally:
            world.service.set_clock(0)
        assert row["status"] == "stopped", row
        assert life_s <= took_s


def is_building(cache: Path) -> bool:
    """Whether an environment is being built. With a jail the folder itself is beside uv's cache."""
    return any(name.startswith((".building-", ".scratch-")) for _, names, _ in os.walk(cache) for name in names)


@pytest.mark.long
async def test_two_services_on_one_cache_build_an_environment_once_although_one_is_killed_in_the_middle(
    tmp_path: Path,
) -> None:
    cache = tmp_path / "cache"
    base = 40 * random.SystemRandom().randrange(250, 499)
    # Else the push builds it.
    variables = {"PREVIEW_BUILD_ON_PUSH": "false"}
    names = enumerate(("one", "two"))
    services = [Service(tmp_path / name, cache, base + 20 * n, variables, ports=20) for n, name in names]
    clients = [Client(service) for service in services]
    answers: dict[int, Answer] = {}
    try:
        for service in services:
            await service.start()
        ids = [
            (await client.ask("POST", "/api/v1/generations", {"project_id": "p", "files": FILES})).body["id"]
            for client in clients
        ]

        async def launch(number: int) -> None:
            path = f"/api/v1/generations/{ids[number]}/preview/launch"
            with suppress(Unanswered):
                answers[number] = await clients[number].ask("POST", path, {}, {"Prefer": "wait=25"})

        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(launch, 0)
                while not is_building(cache):  # noqa: ASYNC110  a process makes it
                    await trio.sleep(0.005)
                nursery.start_soon(launch, 1)
                await trio.sleep(0.1)
                await services[0].kill()
            assert answers[1].status == 201, answers
            await services[0].start()
            await launch(0)
            assert answers[0].status == 201, answers
        assert len(list(cache.glob("environments/*/preview.json"))) == 1
        for service in services:
            assert await service.end() == 0, service.last_words()
        assert log_faults(services[1].log) == []
        assert [machine.works_in(service.data) for service in services] == [[], []]
    finally:
        for service in services:
            service.kill_now()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
            for client in clients:
                await client.aclose()
