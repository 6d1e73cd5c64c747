"""Engines in a real sandbox, each driven as a project drives it: by a usual driver, through a port."""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pymysql
import pytest
import redis
import trio
from redis.backoff import NoBackoff
from redis.retry import Retry

from preview.backing.admin.postgresql import PostgresqlLimits
from preview.backing.carrier import Carrier
from preview.backing.interface import CLIENT_SOCKETS, BackingDatabase, ClientCommand, RunClient
from preview.backing.mysql import MysqlEngine
from preview.backing.mysql_command import MysqlLimits
from preview.backing.own import OwnLimits, OwnPostgresqlEngine
from preview.backing.postgresql import PostgresqlEngine
from preview.backing.redis import RedisEngine, RedisLimits
from preview.backing.streams import Join
from preview.core.servers import Program, find_mysql, find_postgresql, find_redis
from preview.data.client import last_words
from preview.errors import DataUnavailable
from preview.runtime import (
    Exit,
    Limits,
    ProcessSpec,
    Runtime,
    SandboxRuntime,
    Serve,
    beside,
    child_subreaper,
    open_local_socket,
    probe_sandbox,
)
from preview.runtime.sandbox import open_broker_if_needed

Engine = PostgresqlEngine | OwnPostgresqlEngine | MysqlEngine | RedisEngine
T = TypeVar("T")

CONNECTIONS = 5
_SLOT = 3901
_START_S, _STOP_S = 60, 20


class Driver:
    """What a project does with a server of one kind, in the words of its driver."""

    kind: str
    package: str
    errors: tuple[type[Exception], ...]
    # Statements that must be refused.
    hostile: tuple[str, ...]
    # Whether all previews share one server, and whether data outlives a kill of it.
    is_shared, is_durable = True, True
    # Module that reads first messages.
    module: str

    @property
    def dialect(self) -> str:
        """What its statements are written in."""
        return self.kind

    def find(self) -> Program | None:
        raise NotImplementedError

    def engine(self, program: Program, folder: Path, runtime: Runtime, join: Join) -> Engine:
        raise NotImplementedError

    def connect(self, port: int, user: str = "joe", password: str = "secret", name: str = "shop") -> Any:
        """Open a connection; the driver has talked to the server."""
        raise NotImplementedError

    def store(self, connection: Any, name: str, size: int = 1) -> None:
        """Make a table, or a key, of this name and size."""
        raise NotImplementedError

    def names(self, connection: Any) -> str:
        """All that the server lists about data, sessions and users."""
        raise NotImplementedError

    def run(self, connection: Any, statement: str) -> Any:
        raise NotImplementedError

    def listed(self, host: Host) -> str:
        """What the administrator sees."""
        raise NotImplementedError


class Postgresql(Driver):
    kind, package, module = "postgresql", "postgresql", "postgresql"
    errors = (psycopg.Error,)
    hostile: tuple[str, ...] = (
        "COPY (SELECT 1) TO PROGRAM 'id'",
        "CREATE TABLE a (b text); COPY a FROM PROGRAM 'id'",
        "COPY (SELECT 1) TO '/tmp/x'",
        "SELECT pg_read_file('/etc/passwd')",
        "SELECT pg_ls_dir('.')",
        "SELECT lo_import('/etc/passwd')",
        "CREATE EXTENSION dblink",
        "CREATE EXTENSION postgres_fdw",
        "CREATE EXTENSION file_fdw",
        "CREATE EXTENSION adminpack",
        "CREATE LANGUAGE plpython3u",
        "ALTER SYSTEM SET max_connections = 5",
        "CREATE ROLE other",
        "CREATE DATABASE other",
        "SET ROLE preview_admin",
        "SET SESSION AUTHORIZATION preview_admin",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename <> current_user",
        "SELECT * FROM pg_authid",
        "SELECT pg_reload_conf()",
        "SET temp_file_limit = -1",
    )

    def find(self) -> Program | None:
        return find_postgresql()

    def engine(self, program: Program, folder: Path, runtime: Runtime, join: Join) -> Engine:
        return PostgresqlEngine(program, folder, PostgresqlLimits(512, CONNECTIONS, 30, 1), runtime, join=join)

    def connect(self, port: int, user: str = "joe", password: str = "secret", name: str = "shop") -> Any:
        return psycopg.connect(
            host="127.0.0.1", port=port, user=user, password=password, dbname=name, autocommit=True, connect_timeout=20
        )

    def store(self, connection: Any, name: str, size: int = 1) -> None:
        connection.execute(f"CREATE TABLE {name} AS SELECT n, md5(n::text) FROM generate_series(1, {size}) n")

    def names(self, connection: Any) -> str:
        found = [
            connection.execute(f"SELECT * FROM {one}").fetchall()
            for one in ("pg_stat_activity", "pg_class", "information_schema.tables", "pg_stat_database", "pg_locks")
        ]
        # Names of databases and users are opaque, and may be listed.
        return "\n".join(str(row) for rows in found for row in rows)

    def run(self, connection: Any, statement: str) -> Any:
        return connection.execute(statement)

    def listed(self, host: Host) -> str:
        assert isinstance(host.engine, PostgresqlEngine)
        return str(host.run(host.engine.list_names))


class OwnPostgresql(Postgresql):
    """A server for each preview, whose administrator the project is."""

    kind, is_shared, module = "own", False, "own.database"
    # It may do all else, in its own sandbox: see ``test_backing_own.py``.
    hostile = ("SET max_connections = 5",)

    @property
    def dialect(self) -> str:
        return "postgresql"

    def engine(self, program: Program, folder: Path, runtime: Runtime, join: Join) -> Engine:
        tree = Limits(memory_bytes=256 << 20, open_files=256, processes=64, file_bytes=1 << 30)
        limits = OwnLimits(tree, CONNECTIONS, 30, 256 << 20)
        return OwnPostgresqlEngine(program, folder, limits, runtime, join=join, kept=folder.with_name("kept"))

    def listed(self, host: Host) -> str:
        return str(list(host.folder.iterdir())) + str(server_pids(host.folder))


class Mysql(Driver):
    kind, package, module = "mysql", "mariadb-server", "mysql_session"
    errors = (pymysql.Error,)
    hostile = (
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "SELECT 1 INTO DUMPFILE '/tmp/x'",
        "LOAD DATA INFILE '/etc/passwd' INTO TABLE mine",
        "INSTALL SONAME 'ha_federated'",
        "CREATE FUNCTION sys_exec RETURNS int SONAME 'lib_mysqludf_sys.so'",
        "CREATE SERVER other FOREIGN DATA WRAPPER mysql OPTIONS (HOST 'x')",
        "SELECT * FROM mysql.global_priv",
        "CREATE USER other",
        "GRANT ALL ON *.* TO CURRENT_USER",
        "CREATE DATABASE other",
        "SET GLOBAL max_connections = 5",
        "SHOW ENGINE INNODB STATUS",
        "SHUTDOWN",
        "FLUSH TABLES WITH READ LOCK",
        "KILL 1",
        "SET ROLE admin",
    )

    def find(self) -> Program | None:
        return find_mysql()

    def engine(self, program: Program, folder: Path, runtime: Runtime, join: Join) -> Engine:
        return MysqlEngine(program, folder, MysqlLimits(512, CONNECTIONS, 30), runtime, join=join)

    def connect(self, port: int, user: str = "joe", password: str = "secret", name: str = "shop") -> Any:
        return pymysql.connect(
            host="127.0.0.1",
            port=port,
            user=user,
            password=password,
            database=name,
            autocommit=True,
            connect_timeout=20,
        )

    def store(self, connection: Any, name: str, size: int = 1) -> None:
        self.run(connection, f"CREATE TABLE {name} AS SELECT seq, md5(seq) FROM seq_1_to_{size}")

    def names(self, connection: Any) -> str:
        tables = self.run(
            connection, "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'information_schema'"
        )
        asked = ["SHOW DATABASES", "SHOW FULL PROCESSLIST", "SHOW OPEN TABLES", "SHOW TABLES"]
        found = []
        for statement in asked + [f"SELECT * FROM information_schema.`{name}`" for (name,) in tables]:
            # Some need a right that a preview does not have.
            with suppress(pymysql.Error):
                found.append(str(self.run(connection, statement)))
        return "\n".join(found)

    def run(self, connection: Any, statement: str) -> Any:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall()

    def listed(self, host: Host) -> str:
        assert isinstance(host.engine, MysqlEngine)
        return str(host.run(host.engine.list_names))


class Redis(Driver):
    kind, package, module = "redis", "redis-server", "redis"
    is_shared, is_durable = False, False
    errors = (redis.RedisError,)
    hostile = (
        "CONFIG SET dir /tmp",
        "CONFIG SET dbfilename x.so",
        "CONFIG SET unixsocket /tmp/x",
        "MODULE LOAD /tmp/x.so",
        "SHUTDOWN NOSAVE",
        "DEBUG SEGFAULT",
        "REPLICAOF 127.0.0.1 6379",
        "SLAVEOF 127.0.0.1 6379",
        "MIGRATE 127.0.0.1 6379 mine 0 100",
        "EVAL \"return io.open('/etc/passwd')\" 0",
        "EVAL \"return os.execute('id')\" 0",
        "EVAL \"return loadfile('/etc/passwd')()\" 0",
        "EVAL \"return package.loadlib('libc.so.6', 'system')\" 0",
        "EVAL \"return require('os')\" 0",
    )

    def find(self) -> Program | None:
        return find_redis()

    def engine(self, program: Program, folder: Path, runtime: Runtime, join: Join) -> Engine:
        return RedisEngine(program, folder, RedisLimits(16, CONNECTIONS), runtime, join=join)

    def connect(self, port: int, user: str = "joe", password: str = "secret", name: str = "3") -> Any:
        number = int(name) if name.isdigit() else 0
        client = redis.Redis(
            host="127.0.0.1",
            port=port,
            db=number,
            username=user or None,
            password=password or None,
            retry=Retry(NoBackoff(), 0),
            single_connection_client=True,
            socket_timeout=20,
        )
        try:
            client.ping()
        except BaseException:
            client.close()
            raise
        return client

    def store(self, connection: Any, name: str, size: int = 1) -> None:
        connection.set(name, "x" * 40 * size)

    def names(self, connection: Any) -> str:
        asked = (("KEYS", "*"), ("CLIENT", "LIST"), ("INFO", "everything"), ("SLOWLOG", "GET"), ("ACL", "LIST"))
        return "\n".join(str(connection.execute_command(*one)) for one in asked)

    def run(self, connection: Any, statement: str) -> Any:
        if statement.startswith("EVAL"):
            return connection.eval(statement.split('"')[1], 0)
        return connection.execute_command(*statement.split())

    def listed(self, host: Host) -> str:
        return str(list(host.folder.iterdir())) + str(server_pids(host.folder))


DRIVERS = {one.kind: one for one in (Postgresql(), OwnPostgresql(), Mysql(), Redis())}


@dataclass
class Preview:
    """One preview's database, behind a port of this machine."""

    driver: Driver
    port: int
    database: BackingDatabase
    host: Host
    preview_id: str
    held: list[Any] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the administrator finds it by."""
        return str(getattr(self.database, "name", self.preview_id))

    def connect(self, **values: str) -> Any:
        """Connect as a project does; the connection is closed with the preview."""
        found = self.driver.connect(self.port, **values)
        self.held.append(found)
        return found

    def connects(self) -> bool:
        """Whether a connection can be had now."""
        with suppress(*self.driver.errors):
            self.driver.connect(self.port).close()
            return True
        return False

    def measure(self) -> int | None:
        return self.host.run(self.database.measure)


@dataclass
class Host:
    """An engine that runs in a thread of its own, so that tests may use drivers that block."""

    driver: Driver
    engine: Engine
    folder: Path
    token: trio.lowlevel.TrioToken
    nursery: trio.Nursery
    runtime: Runtime

    def client(self, folder: Path, limit_s: float = 20) -> RunClient:
        """What runs client programs in a sandbox of their own, which can write this folder."""
        folder.mkdir(exist_ok=True)
        return partial(run_client, self.runtime, folder, limit_s)

    def run(self, function: Callable[..., Awaitable[T]], *values: Any) -> T:
        async def bounded() -> T:
            with trio.fail_after(_STOP_S):
                return await function(*values)

        return trio.from_thread.run(bounded, trio_token=self.token)

    @contextmanager
    def open(self, preview_id: str, before: Callable[[Serve], Serve] = lambda serve: serve) -> Iterator[Preview]:
        """Open a preview's database; it is dropped at the end.

        Args:
            preview_id: Id of the preview.
            before: Returns what serves its connections, given what serves them in the clear.
        """
        stop, ended = trio.Event(), threading.Event()

        async def hold(task_status: trio.TaskStatus[tuple[int, BackingDatabase]] = trio.TASK_STATUS_IGNORED) -> None:
            try:
                async with (
                    self.engine.open_database(preview_id, _SLOT) as database,
                    trio.open_nursery() as nursery,
                ):
                    inner = before(database.serve)

                    async def serve(client: trio.SocketStream) -> None:
                        async with client:
                            await inner(client)

                    listeners = await nursery.start(partial(trio.serve_tcp, serve, 0, host="127.0.0.1"))
                    task_status.started((listeners[0].socket.getsockname()[1], database))
                    await stop.wait()
                    nursery.cancel_scope.cancel()
            finally:
                ended.set()

        port, database = self.run(self.nursery.start, hold)
        found = Preview(self.driver, port, database, self, preview_id)
        try:
            yield found
        finally:
            for one in found.held:
                with suppress(*self.driver.errors):
                    one.close()
            self.token.run_sync_soon(stop.set)
            assert ended.wait(_STOP_S)

    def make_orphan(self) -> str:
        """Make a database that no preview owns, as one is left whose drop failed; return its name."""
        assert not isinstance(self.engine, RedisEngine | OwnPostgresqlEngine)
        if isinstance(self.engine, MysqlEngine):
            found = self.run(self.engine.make, "pv_orphan", "x", "orphans")
            del self.engine._live["pv_orphan"]
        else:
            found = self.run(self.engine.make)
            self.engine._live.discard(found)
        return found

    def kill_server(self) -> None:
        """End the server's processes as the kernel's OOM killer does."""
        pids = server_pids(self.folder)
        assert pids
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


async def run_client(runtime: Runtime, folder: Path, limit_s: float, command: ClientCommand) -> None:
    said = bytearray()
    sockets = folder.parent / f"sockets-{secrets.token_hex(6)}"
    sockets.mkdir()
    spec = ProcessSpec(
        preview_id="client",
        argv=command.argv,
        directory=folder,
        environment=command.environment,
        listener=None,
        limits=Limits(memory_bytes=512 << 20, open_files=256, processes=32, file_bytes=1 << 30),
        readable=command.readable,
        writable=(folder, sockets),
        shown_at={CLIENT_SOCKETS: sockets},
        slot=_SLOT,
    )
    ended = None

    async def read(output: trio.abc.ReceiveStream) -> None:
        async for chunk in output:
            said.extend(chunk)

    with trio.move_on_after(limit_s):
        async with (
            open_local_socket(sockets / command.socket, command.serve),
            runtime.open_process(spec) as process,
            beside(partial(read, process.output)),
        ):
            ended = await process.wait()
            await trio.sleep(0.01)
    if ended != Exit(code=0):
        raise DataUnavailable(last_words(said) or f"it ended: {ended}")


def server_pids(folder: Path) -> list[int]:
    """The servers themselves, by their command; their launchers in the sandbox have others."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            is_server = (path / "exe").readlink().name.startswith(("postgres", "mariadbd", "redis", "valkey"))
            said = str((path / "cwd").readlink()) + (path / "cmdline").read_text("utf-8", "replace")
            if is_server and str(folder) in said:
                found.append(int(path.name))
    return found


def program_or_skip(driver: Driver) -> Program:
    found = driver.find()
    if found is None:
        if os.environ.get("PREVIEW_TEST_REQUIRE_SERVERS") == "1":
            pytest.fail(f"PREVIEW_TEST_REQUIRE_SERVERS=1, but no program of {driver.package} is installed")
        pytest.skip(f"no {driver.package}")
    return found


@contextmanager
def open_host(driver: Driver, folder: Path, program: Program) -> Iterator[Host]:
    """Run an engine in a real sandbox; at the end nothing of it is left."""
    made: list[Host | str] = []
    ready, stop = threading.Event(), trio.Event()

    async def main() -> None:
        async with open_broker_if_needed(folder) as broker:
            runtime = await probe_sandbox(folder / "etc", broker=broker)
            if not isinstance(runtime, SandboxRuntime):
                made.append(runtime.reason)
                return
            carrier = Carrier()
            engine = driver.engine(program, folder / "servers" / driver.kind, runtime, carrier.join)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(carrier.run)
                nursery.start_soon(engine.run)
                token = trio.lowlevel.current_trio_token()
                made.append(Host(driver, engine, folder / "servers" / driver.kind, token, nursery, runtime))
                ready.set()
                await stop.wait()
                nursery.cancel_scope.cancel()

    def run() -> None:
        try:
            trio.run(main)
        finally:
            ready.set()

    folder.mkdir(parents=True, exist_ok=True)
    with child_subreaper():
        thread = threading.Thread(target=run, name=f"host of {driver.kind}")
        thread.start()
        try:
            assert ready.wait(_START_S)
            if not made or isinstance(made[0], str):
                pytest.skip(f"no sandbox: {made}")
            yield made[0]
        finally:
            if made and isinstance(made[0], Host):
                made[0].token.run_sync_soon(stop.set)
            thread.join(_STOP_S)
        assert not thread.is_alive()
        assert not server_pids(folder)


def wait_until(function: Callable[[], object]) -> None:
    """Wait for what another process does, which a busy machine can hold up."""
    deadline = time.monotonic() + _START_S
    while not function():
        assert time.monotonic() < deadline
        time.sleep(0.02)
