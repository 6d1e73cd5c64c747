"""``LineFilter`` in SQL: the same lines as in memory, on SQLite and on PostgreSQL (a property test compares them).

No LIKE: a search for a text as it stands has no wildcards to escape, and SQLite bounds LIKE's pattern. Both ``lower``
functions used here know the letters A to Z only: SQLite's own, and PostgreSQL's under the collation "C".
"""

from __future__ import annotations

from sqlalchemy import case, collate, func
from sqlalchemy.sql import ColumnElement

from preview.core.escapes import SGR
from preview.logs.model.events import Level
from preview.logs.model.filtering import LineFilter
from preview.storage.tables import preview_logs

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
        is_sqlite = dialect == "sqlite"
        message = _C.message if "\x1b" in wanted else _plain_message(is_sqlite=is_sqlite)
        if is_sqlite:
            found.append(func.instr(func.lower(message), wanted) > 0)
        else:
            found.append(func.strpos(func.lower(collate(message, "C")), wanted) > 0)
    return found


def _plain_message(*, is_sqlite: bool) -> ColumnElement[str]:
    """The message without colours; only those that have some cost the time for it."""
    if is_sqlite:
        # ``storage.engine`` has the function.
        return case((func.instr(_C.message, "\x1b") > 0, func.without_colours(_C.message)), else_=_C.message)
    bare = func.regexp_replace(_C.message, SGR.replace(r"\x1b", "\x1b"), "", "g")
    return case((func.strpos(_C.message, "\x1b") > 0, bare), else_=_C.message)
