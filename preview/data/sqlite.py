from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from preview.backing import QueryResult, TableSummary
from preview.data.client import RunConfined


@dataclass
class SqliteFile:
    path: str
    size_bytes: int


def find_sqlite_files(folder: Path) -> list[SqliteFile]:
    return []


async def backup(folder: Path, paths: Sequence[str], target: Path, run: RunConfined) -> Mapping[str, Path]:
    return {}


async def list_tables(folder: Path, path: str, run: RunConfined) -> Sequence[TableSummary]:
    return ()


async def read_table(folder: Path, path: str, name: str, run: RunConfined, *, offset: int, limit: int) -> QueryResult:
    return QueryResult()


async def query(folder: Path, path: str, statement: str, run: RunConfined, *, most_rows: int) -> QueryResult:
    return QueryResult()
