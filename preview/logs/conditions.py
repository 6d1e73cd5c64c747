"""``LineFilter`` in SQL: the same lines as in memory, on SQLite and on PostgreSQL (a property test compares them).

No LIKE: a search for a text as it stands has no wildcards to escape, and SQLite bounds LIKE's pattern. Both ``lower``
functions used here know the letters A to Z only: SQLite's own, and PostgreSQL's under the collation "C".
"""

from __future__ import annotations

from sqlalchemy import collate, func
from sqlalchemy.sql import ColumnElement

from preview.logs.events import Level
from preview.logs.filtering import LineFilter
from preview.storage.tables import preview_logs

__all__ = ["conditions"]

_C = preview_logs.c
_LOWER = str.maketrans({letter: letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"})


def conditions(chosen: LineFilter, dialect: str) -> list[ColumnElement[bool]]:
    """What a row of ``preview_logs`` must fulfil to pass the filter; empty where all pass.

    Args:
        chosen: The filter.
        dialect: ``sqlite`` or ``postgresql``.
    """
    found: list[ColumnElement[bool]] = []
    if chosen.level > Level.DEBUG:
        found.append(_C.level >= chosen.level.value)
    if chosen.sources is not None:
        found.append(_C.source.in_(sorted(source.value for source in chosen.sources)))
    if chosen.request_id:
        found.append(_C.request_id == chosen.request_id)
    if chosen.q:
        wanted = chosen.q.translate(_LOWER)
        if dialect == "sqlite":
            found.append(func.instr(func.lower(_C.message), wanted) > 0)
        else:
            found.append(func.strpos(func.lower(collate(_C.message, "C")), wanted) > 0)
    return found
