"""No number stands for two lines: a node is killed in any moment, and another one goes on with the log."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trio
from sqlalchemy import Connection, insert, text
from sqlalchemy.exc import IntegrityError

from preview.cluster import Cluster, NodeFacts
from preview.logs import End, LogStore, LogWriter, PreviewLog, run_log_writer
from preview.logs.storage import handing as handing_module
from preview.logs.storage import writer as writer_module
from preview.settings import Settings
from preview.storage.database import Database, open_database
from preview.storage.tables import preview_instances

LEASE_S = 600
FREE = 1000


@asynccontextmanager
async def open_node(url: str, name: str) -> AsyncIterator[tuple[Cluster, Database]]:
    async with open_database(url) as database:
        cluster = Cluster(database, NodeFacts(name, f"{name}:7000"), LEASE_S)
        await cluster.join()
        database.fences = cluster
        yield cluster, database


async def open_log(cluster: Cluster, database: Database, settings: Settings) -> tuple[PreviewLog, LogWriter]:
    row: dict[str, Any] = {
        "id": "p", "generation_id": "g", "project_id": "p", "user_id": "u", "status": "running",
        "health_status": "unknown", "created_at": 0, "expires_at": 0, "token_hash": "", "token_expires_at": 0,
        "log_level": "ERROR",
    }  # fmt: skip
    await database.write(lambda connection: connection.execute(insert(preview_instances).values(row)))
    await database.write(lambda connection: cluster.claim(connection, row, 9))
    cluster.claimed("p")
    writer = LogWriter(database, settings)
    return PreviewLog("p", settings=settings, writer=writer, store=LogStore(database)), writer


def print_lines(log: PreviewLog, count: int) -> None:
    log._publish(["x"] * count, b"\x01" * count)


async def lose(url: str, lost: Cluster) -> int:
    """Let another node take the previews of a node that is gone; return its first number."""
    async with open_node(url, "other") as (other, database):
        query = text("UPDATE nodes SET until = 0 WHERE id = :name")
        await database.write(lambda connection: connection.execute(query, {"name": lost.name}))
        # A server that has just started gives nodes a lease's time.
        other._owners._lease_ms = 0
        (taken,) = await other.take(9)
        return taken.first_seq


async def test_a_burst_right_before_a_loss_has_no_number_twice(postgres_database_url: str, tmp_path: Path) -> None:
    async with open_node(postgres_database_url, "one") as (one, database):
        log, _ = await open_log(one, database, Settings(data_dir=tmp_path))
        print_lines(log, 10)
        # One read of a pipe has up to 32,768 lines. The writer gets no turn before the node is killed.
        for _ in range(16):
            print_lines(log, 2000)
        assert await lose(postgres_database_url, one) > log.last_seq
        assert log.last_seq < 1 + FREE


async def test_lines_that_wait_for_numbers_come_in_order_with_all_others(
    postgres_database_url: str, tmp_path: Path, nursery: trio.Nursery
) -> None:
    async with open_node(postgres_database_url, "one") as (one, database):
        log, writer = await open_log(one, database, Settings(data_dir=tmp_path))
        await nursery.start(run_log_writer, writer)
        ranges: list[range] = []
        for _ in range(3):
            log._publish(["x"] * 2000, b"\x01" * 2000, published=ranges.append)
        log.say("the last one")
        assert (log.last_seq, ranges) == (0, [])
        with trio.fail_after(60):
            await log.published()
            assert log.last_seq == 6001
            assert ranges == [range(1, 2001), range(2001, 4001), range(4001, 6001)]
            await writer.flush("p")
        lines = await log.store.read("p", after=0, limit=10_000)
        assert [line.seq for line in lines] == list(range(1, 6002))
        assert lines[-1].message == "the last one"
        assert await lose(postgres_database_url, one) > 6001


async def test_numbers_of_a_burst_are_taken_back(
    postgres_database_url: str, tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handing_module, "_KEPT_S", 0.0)
    async with open_node(postgres_database_url, "one") as (one, database):
        log, writer = await open_log(one, database, Settings(data_dir=tmp_path))
        await nursery.start(run_log_writer, writer)
        print_lines(log, 20_000)
        with trio.fail_after(60):
            await log.published()
            # The writer takes them back by itself.
            while log._numbers.before > 20_001 + FREE:  # noqa: ASYNC110  it has no event for that
                await trio.sleep(0.01)
            await writer.flush("p")
        assert await lose(postgres_database_url, one) == 20_001 + FREE


async def test_a_log_that_ends_without_numbers_counts_its_lines_as_lost(
    postgres_database_url: str, tmp_path: Path
) -> None:
    async with open_node(postgres_database_url, "one") as (one, database):
        log, writer = await open_log(one, database, Settings(data_dir=tmp_path))
        print_lines(log, 2000)
        log.finish(End("p", "stopped", "x", 0, None, 0))
        assert (writer.lost_count, log.last_seq) == (2000, 0)


async def test_refused_lines_do_not_block_those_that_wait_for_numbers(
    postgres_database_url: str, tmp_path: Path, nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = writer_module._store

    def refuse(connection: Connection, *, runs: list[Any], **others: Any) -> frozenset[str]:
        if runs:
            raise IntegrityError("", {}, Exception("refused"))
        return store(connection, runs=runs, **others)

    monkeypatch.setattr(writer_module, "_store", refuse)
    async with open_node(postgres_database_url, "one") as (one, database):
        log, writer = await open_log(one, database, Settings(data_dir=tmp_path))
        await nursery.start(run_log_writer, writer)
        print_lines(log, 900)
        print_lines(log, 2000)
        with trio.fail_after(60):
            await log.published()
            await writer.flush("p")
        assert log.last_seq == 2900
