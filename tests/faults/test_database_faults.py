"""A real service whose PostgreSQL takes a right away, or does not answer at all."""

from __future__ import annotations

import shutil
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import psycopg
import pytest
import trio
from fault_client import Answer, Client
from fault_postgres import Postgres
from fault_world import open_world

# Short, so that the test is: the settings' defaults are 15 s.
DATABASE_TIMEOUT_S = 3
SHUTDOWN_TIMEOUT_S = 15
# Some for a machine that is busy, beside each deadline.
SPARE_S = 5


async def wait_until_ready(client: Client, status: int) -> Answer:
    while True:
        answer = await client.ask("GET", "/readyz")
        if answer.status == status:
            return answer
        await trio.sleep(0.05)


@pytest.mark.parametrize("privilege", ["INSERT, UPDATE", "ALL"])
@pytest.mark.long
async def test_a_right_that_is_away_for_some_seconds_is_said_and_costs_no_line(
    tmp_path: Path, cache: Path, server: Postgres, privilege: str
) -> None:
    with psycopg.connect(server.url, autocommit=True) as owner:
        owner.execute("CREATE ROLE tenant LOGIN")
        owner.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO tenant")
        url = server.url.replace("preview@", "tenant@")
        async with open_world(tmp_path, cache, DATABASE_URL=url) as world, AsyncExitStack() as previews:
            held = [await previews.enter_async_context(world.preview()) for _ in range(4)]
            spare = await world.generation()
            owner.execute(f"REVOKE {privilege} ON ALL TABLES IN SCHEMA public FROM tenant")
            with trio.fail_after(5):
                away = await wait_until_ready(world.client, 503)
            assert (away.body["status"], "grant" in away.body["message"]) == ("database_unavailable", True)
            for one in held:
                # Hundreds of lines beside those that are said all the time.
                await world.act(one, "say/300")
            refused = await world.ask_launch(spare, wait_s=0)
            assert (refused.status, refused.code) == (503, "database_unavailable")
            await trio.sleep(3)
            assert (await world.client.ask("GET", "/readyz")).status == 503
            owner.execute("GRANT ALL ON ALL TABLES IN SCHEMA public TO tenant")
            with trio.fail_after(60):
                await wait_until_ready(world.client, 200)
            for one in held:
                row = await world.client.ask("GET", f"/api/v1/previews/{one.preview_id}")
                assert (row.status, row.body["status"]) == (200, "running")
            # Leaving them stops the previews, and compares what was told with what is stored.
        for one in held:
            said = [text for text in world.ledger.lines[one.preview_id].values() if text.startswith("said")]
            assert (len(said), world.gaps.get(one.preview_id, [])) == (300, [])


@pytest.mark.long
@pytest.mark.timed
async def test_a_postgres_that_hangs_holds_no_request_and_no_shutdown(
    tmp_path: Path, cache: Path, server: Postgres
) -> None:
    async with open_world(
        tmp_path,
        cache,
        DATABASE_URL=server.url,
        DATABASE_TIMEOUT=str(DATABASE_TIMEOUT_S),
        SHUTDOWN_TIMEOUT=str(SHUTDOWN_TIMEOUT_S),
        STOP_BUDGET="4",
    ) as world:
        generation = await world.generation()
        launched = await world.ask_launch(generation)
        assert launched.status == 201
        server.send(signal.SIGSTOP)
        try:
            with trio.fail_after(SPARE_S):
                ready = await world.client.ask("GET", "/readyz")
            assert (ready.status, ready.body["status"]) == (503, "database_unavailable")
            paths = ["/api/v1/previews", f"/api/v1/generations/{generation}", f"/api/v1/generations/{generation}/files"]
            with trio.fail_after(DATABASE_TIMEOUT_S + SPARE_S):
                async with trio.open_nursery() as nursery:
                    for path in paths * 3:
                        nursery.start_soon(expect_unavailable, world.client, path)
                    # While they all wait, too.
                    with trio.fail_after(SPARE_S):
                        assert (await world.client.ask("GET", "/readyz")).status == 503
            began = trio.current_time()
            # Started again below: the world ends it once more.
            assert await world.service.end() == 0
            took_s = trio.current_time() - began
            print(f"SIGTERM was obeyed within {took_s:.1f} s")
            assert took_s < SHUTDOWN_TIMEOUT_S, world.service.last_words()
        finally:
            server.send(signal.SIGCONT)
        await world.service.start()
        with trio.fail_after(60):
            await wait_until_ready(world.client, 200)
            row = await world.client.ask("GET", f"/api/v1/previews/{launched.body['id']}")
        assert row.body["status"] in {"stopped", "failed"}


async def expect_unavailable(client: Client, path: str) -> None:
    answer = await client.ask("GET", path)
    assert (answer.status, answer.code) == (503, "database_unavailable"), path


@pytest.mark.long
async def test_a_log_ahead_that_was_removed_under_a_service_costs_no_line_although_it_is_killed_then(
    tmp_path: Path, cache: Path
) -> None:
    async with open_world(tmp_path, cache) as world, AsyncExitStack() as previews:
        held = [await previews.enter_async_context(world.preview()) for _ in range(3)]
        for one in held:
            await world.act(one, "say/200")
        (world.service.data / "preview.db-wal").unlink()
        for one in held:
            await world.act(one, "say/200")
        with trio.fail_after(60):
            for one in held:
                while len(world.ledger.lines.get(one.preview_id, {})) < 400:  # noqa: ASYNC110  its task is elsewhere
                    await trio.sleep(0.02)
            await wait_until_ready(world.client, 200)
        await world.service.kill()
        await world.restart()
    for one in held:
        assert (len(world.ledger.lines[one.preview_id]) >= 400, world.gaps.get(one.preview_id, [])) == (True, [])


@pytest.mark.long
async def test_a_database_that_is_away_for_some_seconds_is_said_and_costs_no_line(tmp_path: Path, cache: Path) -> None:
    async with open_world(tmp_path, cache) as world, AsyncExitStack() as previews:
        held = [await previews.enter_async_context(world.preview()) for _ in range(3)]
        file, away = world.service.data / "preview.db", tmp_path / "away"
        away.mkdir()
        # The file before its log ahead: without that it may lack tables.
        for found in sorted(world.service.data.glob("preview.db*")):
            found.rename(away / found.name)
        with trio.fail_after(5):
            said = await wait_until_ready(world.client, 503)
        assert "put it back" in said.body["message"]
        for one in held:
            await world.act(one, "say/300")
        await expect_unavailable(world.client, "/api/v1/previews")
        assert not file.exists()
        for found in list(away.iterdir()):
            shutil.move(found, file.parent)
        with trio.fail_after(60):
            await wait_until_ready(world.client, 200)
    for one in held:
        said_lines = [text for text in world.ledger.lines[one.preview_id].values() if text.startswith("said")]
        assert (len(said_lines), world.gaps.get(one.preview_id, [])) == (300, [])
