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
from preview.errors import DataUnavailable, QueryRefused

__all__ = [
    "Backing",
    "BackingDatabase",
    "BackingEngine",
    "ClientCommand",
    "Column",
    "DataUnavailable",
    "PreviewServer",
    "PreviewServers",
    "QueryRefused",
    "QueryResult",
    "RunClient",
    "ServerUse",
    "TableSummary",
    "open_backing",
]
