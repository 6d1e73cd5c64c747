"""Rows of a query, as many as may be in memory at a time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVarTuple

from sqlalchemy import Connection, Row, Select

Ts = TypeVarTuple("Ts")

# Of a page's messages: a page is held by whoever sends it, for as long as its reader takes. Lines have 64 KiB at most.
PAGE_CHARACTERS = 1024 * 1024
# Read at a time: what a page may be longer.
_STEP_ROWS = 32


def take_rows(connection: Connection, wanted: Select[*Ts], *, limit: int) -> tuple[Sequence[Row[*Ts]], bool]:
    """The first rows of a query, at most ``limit`` and about ``PAGE_CHARACTERS`` of text, and whether that ended them.

    Args:
        connection: Reads.
        wanted: With the column ``message``.
        limit: Most rows, at least one.
    """
    rows: list[Row[*Ts]] = []
    characters = 0
    with connection.execute(wanted.limit(limit)) as found:
        for part in found.partitions(_STEP_ROWS):
            rows += part
            characters += sum(len(row.message) for row in part)
            if characters >= PAGE_CHARACTERS:
                return rows, True
    return rows, len(rows) >= limit
