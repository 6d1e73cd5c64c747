"""Servers that previews' projects need: PostgreSQL, MySQL, Redis and MongoDB, isolated by preview."""

from preview.backing.backing import Backing, PreviewServer, PreviewServers, ServerUse, open_backing
from preview.backing.contents.mysql_copy import remove_copy
from preview.backing.interface import (
    CLIENT_SOCKETS,
    BackingDatabase,
    BackingEngine,
    ClientCommand,
    Column,
    QueryResult,
    RunClient,
    TableSummary,
)
from preview.backing.operator.check import check_server
from preview.backing.server import ServerUnavailable
from preview.backing.tls import certificate_file

__all__ = [
    "CLIENT_SOCKETS",
    "Backing",
    "BackingDatabase",
    "BackingEngine",
    "ClientCommand",
    "Column",
    "PreviewServer",
    "PreviewServers",
    "QueryResult",
    "RunClient",
    "ServerUnavailable",
    "ServerUse",
    "TableSummary",
    "certificate_file",
    "check_server",
    "open_backing",
    "remove_copy",
]
