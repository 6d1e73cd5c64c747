"""A server of the operator's, and engines that make databases of previews in it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import trio
import trustme
from backing_kit import CONNECTIONS, Host, Postgresql
from postgres import Server, open_server

from preview.backing.admin.postgresql import PostgresqlLimits
from preview.backing.operator.names import Names
from preview.backing.operator.postgresql import OperatorPostgresql
from preview.backing.streams import Join
from preview.core.servers import Program
from preview.runtime import Runtime
from preview.settings import load_settings
from preview.settings_address import ServerAddress

PASSWORD = "sesame-öpen"
MARK = "0123456789ab"
SIZE_BYTES = 256 << 20


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def address_of(url: str) -> ServerAddress:
    found = load_settings(postgres=url).postgres
    assert isinstance(found, ServerAddress)
    return found


@dataclass
class Operator(Postgresql):
    """PostgreSQL with an administrator who is no superuser, and a table that is not for previews."""

    server: Server
    roots: Path
    query: str = ""

    def url(self, user: str = "admin") -> str:
        return f"postgresql://{user}:sesame-%C3%B6pen@127.0.0.1:{self.server.port}/postgres?{self.query}"

    def engine(self, program: Program, folder: Path, runtime: Runtime, join: Join) -> Any:
        return self.engine_with(MARK, program, join)

    def engine_with(self, mark: str, program: Program, join: Join) -> OperatorPostgresql:
        limits = PostgresqlLimits(512, CONNECTIONS, 30, 0)
        return OperatorPostgresql(
            address_of(self.url()), program, Names(mark), limits, size_bytes=SIZE_BYTES, join=join
        )

    def listed(self, host: Host) -> str:
        assert isinstance(host.engine, OperatorPostgresql)
        return str(host.run(host.engine.list_names))

    def all_names(self) -> list[str]:
        """What the server has, as its superuser sees it."""
        with psycopg.connect(self.server.url("postgres")) as connection:
            rows = connection.execute("SELECT datname FROM pg_database UNION ALL SELECT rolname FROM pg_roles")
            return [row[0] for row in rows if row[0].startswith("pv_")]


@contextmanager
def open_operator(folder: Path) -> Iterator[Operator]:
    """Start a server that wants SCRAM, with TLS from users and without it from one."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    roots = folder / "roots.pem"
    authority.cert_pem.write_to_path(str(roots))

    def prepare(data: Path) -> None:
        certificate.cert_chain_pems[0].write_to_path(str(data / "server.crt"))
        certificate.private_key_pem.write_to_path(str(data / "server.key"))
        for one in ("server.crt", "server.key"):
            os.chown(data / one, data.stat().st_uid, data.stat().st_gid)
            (data / one).chmod(0o600)

    options = {"listen_addresses": "127.0.0.1", "port": str(free_port()), "ssl": "on", "max_prepared_transactions": "0"}
    access = (
        "host all clear 127.0.0.1/32 password\nhost all hashed 127.0.0.1/32 md5\n"
        "hostssl all all 127.0.0.1/32 scram-sha-256\n"
    )
    with open_server(options, access, prepare) as server:
        for name, rights in (("admin", "CREATEDB CREATEROLE"), ("clear", ""), ("weak", "CREATEDB")):
            server.run(f"CREATE ROLE {{}} LOGIN {rights} PASSWORD '{PASSWORD}'", name)
        server.run("SET password_encryption = md5")
        with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
            connection.execute("SET password_encryption = md5")
            connection.execute(f"CREATE ROLE hashed LOGIN CREATEDB CREATEROLE PASSWORD '{PASSWORD}'")
            connection.execute("CREATE TABLE secrets AS SELECT 'of the operator' AS text")
        yield Operator(server, roots)


@contextmanager
def beside_it(host: Host, mark: str) -> Iterator[OperatorPostgresql]:
    """Run another service's engine, or the next one's, on the same server."""
    driver = host.driver
    assert isinstance(driver, Operator)
    assert isinstance(host.engine, OperatorPostgresql)
    engine = driver.engine_with(mark, host.engine.program, host.engine.join)
    scopes: list[trio.CancelScope] = []

    async def run() -> None:
        with trio.CancelScope() as scope:
            scopes.append(scope)
            await engine.run()

    host.token.run_sync_soon(partial(host.nursery.start_soon, run))
    try:
        yield engine
    finally:
        host.token.run_sync_soon(scopes[0].cancel)
