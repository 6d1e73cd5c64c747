"""Servers that previews' projects need: PostgreSQL, MySQL and Redis, brought by the service, isolated by preview."""

from preview.backing.backing import Backing, PreviewServer, PreviewServers, ServerUse, open_backing
from preview.backing.interface import (
    BackingDatabase,
    BackingEngine,
    ClientCommand,
    Column,
    QueryResult,
    RunClient,
    TableSummary,
)

__all__ = [
    "Backing",
    "BackingDatabase",
    "BackingEngine",
    "ClientCommand",
    "Column",
    "PreviewServer",
    "PreviewServers",
    "QueryResult",
    "RunClient",
    "ServerUse",
    "TableSummary",
    "open_backing",
]
