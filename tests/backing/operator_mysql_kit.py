"""A MariaDB of the operator's, and engines that make databases of previews in it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import trio
import trustme
from backing_kit import CONNECTIONS, Host, Mysql
from mariadb import MariaServer, open_mariadb
from operator_kit import PASSWORD, free_port

from preview.backing import check_server
from preview.backing.mysql_command import MysqlLimits
from preview.backing.operator.mysql import OperatorMysql
from preview.backing.operator.names import Names
from preview.backing.streams import Join
from preview.core.servers import Program
from preview.runtime import Runtime
from preview.settings import load_settings
from preview.settings_address import ServerAddress

MARK, OTHER = "0123456789ab", "ba9876543210"
GRANTS = (
    "GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON *.* TO {user}",
    "GRANT SELECT ON mysql.user TO {user}",
    "GRANT ALL ON `pv\\_%`.* TO {user} WITH GRANT OPTION",
)


def address_of(url: str) -> ServerAddress:
    found = load_settings(mysql=url).mysql
    assert isinstance(found, ServerAddress)
    return found


def check(url: str) -> str:
    return trio.run(check_server, address_of(url))


@dataclass
class MysqlOperator(Mysql):
    """MariaDB with an administrator who has no more rights than needed, and a table that is not for previews."""

    server: MariaServer
    roots: Path

    def url(self, user: str = "admin", query: str = "sslmode=require") -> str:
        return f"mysql://{user}:sesame-%C3%B6pen@127.0.0.1:{self.server.port}?{query}"

    def engine(self, program: Program, folder: Path, runtime: Runtime, join: Join) -> Any:
        return self.engine_with(MARK, program, join)

    def engine_with(self, mark: str, program: Program, join: Join) -> OperatorMysql:
        return OperatorMysql(address_of(self.url()), program, Names(mark), MysqlLimits(512, CONNECTIONS, 30), join=join)

    def listed(self, host: Host) -> str:
        assert isinstance(host.engine, OperatorMysql)
        return str(host.run(host.engine.list_names))

    def all_names(self) -> list[str]:
        """What the server has, as root sees it."""
        rows = [*self.server.run("SHOW DATABASES"), *self.server.run("SELECT User FROM mysql.user")]
        return [name for (name,) in rows if name.startswith("pv_")]


@contextmanager
def open_operator(program: Program, folder: Path) -> Iterator[MysqlOperator]:
    """Start a server that has TLS, with administrators of several rights."""
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(str(folder / "roots.pem"))
    issued.cert_chain_pems[0].write_to_path(str(folder / "crt"))
    issued.private_key_pem.write_to_path(str(folder / "key"))
    with open_mariadb(program.path, free_port(), folder / "crt", folder / "key") as server:
        for user, rest in (("admin", "REQUIRE SSL"), ("weak", ""), ("other", "")):
            server.run(f"CREATE USER {user}@'%%' IDENTIFIED BY %s {rest}", PASSWORD)
        for one in GRANTS:
            server.run(one.format(user="admin"))
        server.run(GRANTS[0].format(user="other"))
        server.run("CREATE DATABASE shop")
        server.run("CREATE TABLE shop.secrets AS SELECT 'of the operator' AS text")
        yield MysqlOperator(server, folder / "roots.pem")


@contextmanager
def beside_it(host: Host, mark: str) -> Iterator[OperatorMysql]:
    """Run another service's engine, or the next one's, on the same server."""
    driver = host.driver
    assert isinstance(driver, MysqlOperator)
    assert isinstance(host.engine, OperatorMysql)
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
