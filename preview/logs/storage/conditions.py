"""SQL conditions of filters on ``preview_logs``, and the terms that are left for Python.

The SQL gives the same result as the filters in memory, on SQLite and PostgreSQL; property tests compare them.

The search does not use LIKE: a literal search needs no wildcards, and SQLite limits the length of LIKE's pattern. Both
``lower`` functions used here change only the letters A to Z: SQLite's own, and PostgreSQL's with the collation "C".
"""

from __future__ import annotations

from sqlalchemy import and_, case, collate, false, func, not_, or_
from sqlalchemy.sql import ColumnElement

from preview.core.escapes import SGR
from preview.core.ids import CHECK_SUFFIX
from preview.logs.filter import NO_FILTER, Filter
from preview.logs.filter.conditions import Condition, FieldCondition, MarkCondition, TextCondition
from preview.logs.filter.request_conditions import (
    AccessCondition,
    ReloadCondition,
    RequestCondition,
    TimeCondition,
)
from preview.logs.filter.terms import Group, Term
from preview.logs.model.events import STORED_SOURCES, Level, Source, stored_sources
from preview.logs.model.filtering import LineFilter, ascii_lower
from preview.storage.tables import preview_logs

_C = preview_logs.c


def conditions(chosen: LineFilter, dialect: str) -> tuple[list[ColumnElement[bool]], Filter]:
    """Return the SQL conditions of a filter, and the terms that rows must match besides.

    Args:
        chosen: The filter.
        dialect: ``sqlite`` or ``postgresql``.
    """
    found: list[ColumnElement[bool]] = []
    if chosen.level > Level.DEBUG:
        found.append(_C.level >= chosen.level.value)
    if chosen.sources is not None:
        found.append(_C.source.in_(stored_sources(chosen.sources)))
    if chosen.request_id:
        found.append(_C.request_id == chosen.request_id)
    if not chosen.checks:
        # Not LIKE, which ignores case on SQLite.
        end = func.substr(_C.request_id, func.length(_C.request_id) - len(CHECK_SUFFIX) + 1)
        found.append(or_(_C.request_id.is_(None), end != CHECK_SUFFIX, _C.level >= Level.ERROR.value))
    if chosen.q:
        found.append(_has_text(chosen.q, dialect))
    if not isinstance(chosen.terms, Filter):
        return found, NO_FILTER
    rest = []
    for term in chosen.terms.terms:
        exact = _exact_term(term, dialect)
        if exact is not None:
            found.append(exact)
            continue
        rest.append(term)
        found += _necessary_term(term, dialect)
    return found, Filter(tuple(rest), chosen.terms.known)


def _exact_term(term: Term, dialect: str) -> ColumnElement[bool] | None:
    exact = _exact(term.condition, dialect)
    return None if exact is None else (not_(exact) if term.negated else exact)


def _exact_group(group: Group, dialect: str) -> ColumnElement[bool] | None:
    found = []
    for terms in group.alternatives:
        exact = [_exact_term(one, dialect) for one in terms]
        known = [one for one in exact if one is not None]
        if len(known) < len(exact):
            return None
        found.append(and_(*known))
    return or_(*found)


def _necessary_term(term: Term, dialect: str) -> list[ColumnElement[bool]]:
    """Return SQL that holds for at least the rows that match the term; nothing if there is none."""
    exact = _exact_term(term, dialect)
    if exact is not None:
        return [exact]
    if term.negated:
        return []
    if not isinstance(term.condition, Group):
        return _necessary(term.condition, dialect)
    found = []
    for terms in term.condition.alternatives:
        known = [one for inner in terms for one in _necessary_term(inner, dialect)]
        if not known:
            return []
        found.append(and_(*known))
    return [or_(*found)]


def _exact(condition: Condition, dialect: str) -> ColumnElement[bool] | None:
    """Return SQL that holds for the same rows as the condition, and is never NULL; None if there is none."""
    match condition:
        case MarkCondition(marks, levels):
            if levels:
                return _C.level.in_(sorted(level.value for level in levels))
            return _C.source.in_(sorted({STORED_SOURCES[mark // 4] for mark in marks}))
        case TextCondition(words):
            return _has_text(words, dialect)
        case TimeCondition(operator, moment):
            return _C.timestamp >= moment if operator == ">=" else _C.timestamp <= moment
        case RequestCondition():
            return and_(_C.request_id.is_not(None), _C.request_id.in_(condition.ids))
        case ReloadCondition(first_seq=None):
            return false()
        case ReloadCondition(first_seq=first, last_seq=None):
            return _C.seq >= first
        case ReloadCondition(first_seq=first, last_seq=last):
            return and_(_C.seq >= first, _C.seq <= last)
        case Group():
            return _exact_group(condition, dialect)
        case _:
            return None


def _necessary(condition: Condition, dialect: str) -> list[ColumnElement[bool]]:
    """Return SQL that holds for at least the rows for which the condition holds."""
    match condition:
        case AccessCondition():
            return [or_(_C.source.in_(stored_sources((Source.REQUEST,))), _C.request_id.is_not(None))]
        case FieldCondition():
            find = func.instr if dialect == "sqlite" else func.strpos
            return [or_(*(find(_C.message, name) > 0 for name in condition.names))]
        case _:
            return []


def _has_text(text: str, dialect: str) -> ColumnElement[bool]:
    is_sqlite = dialect == "sqlite"
    wanted = ascii_lower(text)
    message = _C.message if "\x1b" in wanted else _plain_message(is_sqlite=is_sqlite)
    if is_sqlite:
        return func.instr(func.lower(message), wanted) > 0
    return func.strpos(func.lower(collate(message, "C")), wanted) > 0


def _plain_message(*, is_sqlite: bool) -> ColumnElement[str]:
    """Return the message without colours; messages without colours cost no time."""
    if is_sqlite:
        # ``storage.engine`` registers this function.
        return case((func.instr(_C.message, "\x1b") > 0, func.without_colours(_C.message)), else_=_C.message)
    bare = func.regexp_replace(_C.message, SGR.replace(r"\x1b", "\x1b"), "", "g")
    return case((func.strpos(_C.message, "\x1b") > 0, bare), else_=_C.message)
