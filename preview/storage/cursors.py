"""Opaque cursors for lists that are ordered newest first: the place of the last row of a page."""

from __future__ import annotations

import base64
import re
from typing import Any

from sqlalchemy import ColumnElement, Select, Table, literal, tuple_

from preview.errors import InvalidRequest

MAX_PAGE = 200
"""Rows of one page at most: an answer of a size that a page can show."""

# 13 digits, a colon and an id of 128 characters, in base64, with room.
_MAX_CURSOR = 256
# Milliseconds, and an id; no control characters, which PostgreSQL refuses in part.
_PLACE = re.compile(r"([0-9]{1,19}):([!-~]{1,128})")
_BIGINT = 2**63


def encode_cursor(created_at_ms: int, row_id: str) -> str:
    """The cursor that continues right behind this row."""
    return base64.urlsafe_b64encode(f"{created_at_ms}:{row_id}".encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> tuple[int, str]:
    """The row it stands for: its ``created_at`` in milliseconds, and its id.

    Raises:
        InvalidRequest: It is not one of ours.
    """
    place = _PLACE.fullmatch(_decoded(cursor))
    if place is None or int(place[1]) >= _BIGINT:
        raise InvalidRequest("The cursor is not one that this service has given; ask again without it.", field="cursor")
    return int(place[1]), place[2]


def _decoded(cursor: str) -> str:
    """The text within, or nothing where it holds none."""
    if len(cursor) > _MAX_CURSOR:
        return ""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except ValueError:  # also what is not ASCII, base64 or UTF-8
        return ""


def page_of(query: Select[Any], table: Table, cursor: str | None, limit: int) -> Select[Any]:
    """``query`` ordered newest first, from behind the cursor, with one row more than ``limit``: is there a next page.

    Args:
        query: Selects from ``table``, which has ``created_at`` and ``id``.
        table: See above.
        cursor: From ``encode_cursor``, or None for the first page.
        limit: Rows of a page, already within 1 and ``MAX_PAGE``.

    Raises:
        InvalidRequest: The cursor is not one of ours.
    """
    place: ColumnElement[Any] = tuple_(table.c.created_at, table.c.id)
    if cursor is not None:
        created_at, row_id = decode_cursor(cursor)
        query = query.where(place < tuple_(literal(created_at), literal(row_id)))
    return query.order_by(table.c.created_at.desc(), table.c.id.desc()).limit(limit + 1)
