"""A look at a server of the operator's, without a service."""

from __future__ import annotations

from preview.backing.mongodb import check_mongodb
from preview.backing.operator.account import PostgresqlServer
from preview.backing.operator.mysql_account import MysqlServer
from preview.settings_address import ServerAddress


async def check_server(address: ServerAddress) -> str:
    """Return the name and version of a server whose administrator's account has the rights that are needed.

    Raises:
        ServerUnavailable: It does not answer, or lacks something; the sentence contains no password.

    Cancellation: no connection is left.
    """
    if address.is_mongodb:
        return f"MongoDB {await check_mongodb(address)}"
    server = MysqlServer(address) if address.is_mysql else PostgresqlServer(address)
    async with server.open():
        return f"{'MariaDB' if address.is_mysql else 'PostgreSQL'} {await server.check()}"
