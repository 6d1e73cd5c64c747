"""The process that gives up a killed node's lease: what it believes, when it waits, and that it ends."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
import trio
from sqlalchemy import text

from preview.cluster import NodeFacts
from preview.cluster.crash import CrashWatch
from preview.cluster.crash import watch as module
from preview.cluster.nodes import Membership, Nodes
from preview.runtime.kernel.proctree import MARKER, SERVICE_MARKER
from preview.storage.database import CHANNEL, Database, open_database

LEASE_S = 60.0
# A service that runs nothing but the crash watch of a lease.
SERVICE = """
import sys
from pathlib import Path
import trio
from preview.cluster.crash import CrashWatch
from preview.cluster.nodes import Membership, Nodes
from preview.storage.engine import make_engine

url, folder, epoch, lease_s = sys.argv[1:]

async def main():
    watch = CrashWatch(make_engine(url), Nodes(60_000), [Path(folder)], float(lease_s))
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        watch.tell(Membership("one", int(epoch)))
        while watch._input is None:
            await trio.sleep(0.01)
        print("told", flush=True)
        await trio.to_thread.run_sync(sys.stdin.readline)
        nursery.cancel_scope.cancel()

trio.run(main)
"""


@asynccontextmanager
async def joined(url: str) -> AsyncIterator[tuple[Database, Membership]]:
    async with open_database(url) as database:
        member = await database.write(lambda one: Nodes(int(LEASE_S * 1000)).join(one, NodeFacts("one", "one:7000")))
        assert member is not None
        yield database, member


@contextmanager
def service(
    url: str, folder: Path, epoch: int, lease_s: float = LEASE_S, variables: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], psutil.Process]]:
    """A service, and its crash watch."""
    command = [sys.executable, "-c", SERVICE, url, str(folder), str(epoch), str(lease_s)]
    environment = {**os.environ, **(variables or {})}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "told\n"
            (watch,) = psutil.Process(process.pid).children()
            yield process, watch
        finally:
            process.kill()


async def left_s(database: Database) -> float:
    query = text("SELECT until - extract(epoch FROM clock_timestamp()) * 1000 FROM nodes WHERE id = 'one'")
    return float(await database.read(lambda connection: connection.execute(query).scalar_one())) / 1000


async def ended(watch: psutil.Process) -> None:
    await trio.to_thread.run_sync(watch.wait, 30)


def ignores_sigterm(watch: psutil.Process) -> bool:
    status = Path(f"/proc/{watch.pid}/status").read_text(encoding="ascii")
    ignored = next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:"))
    return bool(int(ignored, 16) & 1 << signal.SIGTERM - 1)


async def test_a_service_that_was_stopped_keeps_its_lease_until_it_is_killed(
    postgres_database_url: str, tmp_path: Path
) -> None:
    async with joined(postgres_database_url) as (database, member):
        with service(postgres_database_url, tmp_path, member.epoch) as (process, watch):
            process.send_signal(signal.SIGSTOP)
            await trio.to_thread.run_sync(os.waitid, os.P_PID, process.pid, os.WSTOPPED)
            # It was asked to end by whatever ends a service's processes, and does not.
            with trio.fail_after(30):
                while not ignores_sigterm(watch):  # noqa: ASYNC110  another process tells nobody
                    await trio.sleep(0.01)
            watch.terminate()
            assert await left_s(database) > 0
            process.kill()
            await ended(watch)
            assert await left_s(database) < 0


async def test_a_later_process_of_the_name_keeps_its_lease(postgres_database_url: str, tmp_path: Path) -> None:
    async with joined(postgres_database_url) as (database, member):
        with service(postgres_database_url, tmp_path, member.epoch - 1) as (process, watch):
            process.kill()
            await ended(watch)
            assert await left_s(database) > 0


async def test_the_lease_stays_while_a_process_of_the_nodes_previews_is_left(
    postgres_database_url: str, tmp_path: Path
) -> None:
    (tmp_path / "preview_one").mkdir()
    left = subprocess.Popen(["sleep", "60"], env={**os.environ, MARKER: "preview_one-2"})  # noqa: ASYNC220
    try:
        async with joined(postgres_database_url) as (database, member):
            with service(postgres_database_url, tmp_path, member.epoch) as (process, watch):
                process.kill()
                await ended(watch)
                assert await left_s(database) > 0
            # It is no reason to wait if it is of no preview of this node.
            (tmp_path / "preview_one").rename(tmp_path / "preview_two")
            with service(postgres_database_url, tmp_path, member.epoch) as (process, watch):
                process.kill()
                await ended(watch)
                assert await left_s(database) < 0
        assert left.poll() is None
    finally:
        left.kill()
        left.wait()


async def test_the_lease_stays_while_a_template_or_a_fork_of_it_is_left(
    postgres_database_url: str, tmp_path: Path
) -> None:
    """A fork has no marker of its preview: its first environment is the template's."""
    async with joined(postgres_database_url) as (database, member):
        with service(postgres_database_url, tmp_path, member.epoch) as (process, watch):
            environment = {**os.environ, SERVICE_MARKER: str(process.pid)}
            left = subprocess.Popen(["sleep", "60"], env=environment)  # noqa: ASYNC220
            try:
                process.kill()
                await ended(watch)
                assert await left_s(database) > 0
                assert left.poll() is None
            finally:
                left.kill()
                left.wait()


async def test_the_lease_stays_while_a_process_hides_its_environment(
    postgres_database_url: str, tmp_path: Path
) -> None:
    """It may from an ordinary user, not from root."""
    (tmp_path / "preview_one").mkdir()
    hides = "import ctypes; ctypes.CDLL(None).prctl(4, 0); print(flush=True); input()"
    async with joined(postgres_database_url) as (database, member):
        with subprocess.Popen(  # noqa: ASYNC220
            [sys.executable, "-c", hides],
            env={**os.environ, MARKER: "preview_one"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as left:
            assert left.stdout is not None
            left.stdout.readline()
            with service(postgres_database_url, tmp_path, member.epoch) as (process, watch):
                process.kill()
                await ended(watch)
                assert await left_s(database) > 0
                assert left.poll() is None
            left.kill()


async def test_it_waits_for_processes_that_are_about_to_end(postgres_database_url: str, tmp_path: Path) -> None:
    (tmp_path / "preview_one").mkdir()
    left = subprocess.Popen(["sleep", "60"], env={**os.environ, MARKER: "preview_one"})  # noqa: ASYNC220
    async with joined(postgres_database_url) as (database, member):
        with service(postgres_database_url, tmp_path, member.epoch) as (process, watch):
            process.kill()
            left.kill()
            left.wait()
            await ended(watch)
            assert await left_s(database) < 0


async def test_other_nodes_are_woken(postgres_database_url: str, tmp_path: Path) -> None:
    async with joined(postgres_database_url) as (database, member):
        _, connect = database.engine.dialect.create_connect_args(database.engine.url)
        with psycopg.connect(**connect, autocommit=True) as listener:
            listener.execute(f"LISTEN {CHANNEL}")
            with service(postgres_database_url, tmp_path, member.epoch) as (process, _):
                process.kill()
                notices = await trio.to_thread.run_sync(lambda: list(listener.notifies(timeout=30, stop_after=1)))
        assert [one.payload for one in notices] == ["queue"]


async def test_without_the_database_it_ends_all_the_same(postgres_database_url: str, tmp_path: Path) -> None:
    nowhere = "postgresql+psycopg://nobody:secret@127.0.0.1:1/nothing"
    with service(nowhere, tmp_path, 1) as (process, watch):
        assert "secret" not in " ".join(watch.cmdline())
        process.kill()
        await ended(watch)


async def test_files_beside_the_service_say_where_the_database_is(postgres_database_url: str, tmp_path: Path) -> None:
    """As libpq finds them: a service file, and likewise passwords, keys and certificates."""
    async with joined(postgres_database_url) as (database, member):
        _, values = database.engine.dialect.create_connect_args(database.engine.url)
        lines = [f"{name}={value}" for name, value in values.items() if isinstance(value, str | int)]
        (tmp_path / "services").write_text("\n".join(["[here]", *lines, ""]), encoding="utf-8")
        url = "postgresql+psycopg:///?service=here"
        with service(url, tmp_path, member.epoch, variables={"PGSERVICEFILE": "services"}) as (process, watch):
            process.kill()
            await ended(watch)
            assert await left_s(database) < 0


async def test_a_silent_database_keeps_it_no_longer_than_the_lease(tmp_path: Path) -> None:
    """As one that is cut off after it has let the process in."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        url = f"postgresql+psycopg://nobody@127.0.0.1:{port}/nothing?sslmode=disable&gssencmode=disable"
        with service(url, tmp_path, 1, lease_s=1) as (process, watch):
            process.kill()
            server.settimeout(30)
            connection, _ = await trio.to_thread.run_sync(server.accept)
            with connection:
                # AuthenticationOk, ReadyForQuery.
                connection.sendall(b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I")
                await ended(watch)


async def test_a_service_that_ends_in_order_ends_it(postgres_database_url: str, tmp_path: Path) -> None:
    async with joined(postgres_database_url) as (database, member):
        with service(postgres_database_url, tmp_path, member.epoch) as (process, watch):
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
            assert await trio.to_thread.run_sync(process.wait) == 0
            assert not watch.is_running()
            assert await left_s(database) > 0


async def test_one_that_was_killed_is_replaced(
    postgres_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.01)
    async with joined(postgres_database_url) as (database, member), trio.open_nursery() as nursery:
        kept = CrashWatch(database.engine, Nodes(1000), [tmp_path], 1.0)
        kept.tell(member)
        nursery.start_soon(kept.run)
        first = await _child()
        first.kill()
        second = await _child(first.pid)
        nursery.cancel_scope.cancel()
    assert not second.is_running()


async def _child(but: int = 0) -> psutil.Process:
    with trio.fail_after(30):
        while True:
            for one in psutil.Process().children():
                if one.pid != but and "preview_crash.py" in " ".join(one.cmdline()):
                    return one
            await trio.sleep(0.01)
