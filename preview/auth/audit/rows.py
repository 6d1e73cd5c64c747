"""Rows of the trail: appended in order, read in pages, and removed from the oldest on only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, text

from preview.auth.audit.entry import BROKEN, FIRST, REMOVED, SERVICE, AuditEntry, Head, chained, removed_through
from preview.storage.people_tables import audit_trail

COLUMNS = audit_trail.c
# A number of our own: it keeps two services on one PostgreSQL from appending at the same moment.
_LOCK = 7_319_026_114
# Old rows that one transaction removes.
_MOST_REMOVED = 5_000


@dataclass(frozen=True, slots=True)
class Retention:
    """Bounds of the trail.

    Attributes:
        most: Most entries.
        age_ms: Entries older than this are removed.
    """

    most: int = 200_000
    age_ms: int = 365 * 24 * 3600 * 1000


DEFAULT_RETENTION = Retention()


def append(connection: Connection, entries: Sequence[AuditEntry], known: Head | None) -> Head:
    """Append entries; those whose id is stored already are left out. Return the new head.

    If the trail does not contain the entry ``known``, which this service has written, an entry says so first.
    """
    lock(connection)
    head = newest(connection)
    ids = [entry.id for entry in entries]
    stored = set(connection.scalars(select(COLUMNS.id).where(COLUMNS.id.in_(ids))))
    wanted = [entry for entry in entries if entry.id not in stored]
    if known is not None and (problem := _problem(connection, known, head)) is not None:
        wanted.insert(0, AuditEntry.new(SERVICE, BROKEN, "", detail=problem, via=SERVICE, outcome="failed"))
    rows = []
    for entry in wanted:
        made = chained(entry, head.seq + 1, head.hash)
        rows.append(made.as_dict())
        head = Head(made.seq, made.hash)
    if rows:
        connection.execute(insert(audit_trail), [_columns(row) for row in rows])
    return head


def lock(connection: Connection) -> None:
    """Let no other service append until the transaction's end. SQLite's write lock does that already."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})


def newest(connection: Connection) -> Head:
    """Return the number and hash of the newest entry."""
    found = connection.execute(select(COLUMNS.seq, COLUMNS.hash).order_by(COLUMNS.seq.desc()).limit(1)).first()
    return Head(0, FIRST) if found is None else Head(found.seq, found.hash)


def remove_old(connection: Connection, retention: Retention, now_ms: int) -> int:
    """Remove some of the oldest entries that are too many or too old; an entry says which. Return their number."""
    lock(connection)
    head, first = newest(connection), connection.scalar(select(func.min(COLUMNS.seq))) or 0
    too_many = head.seq - retention.most
    fresh = select(func.min(COLUMNS.seq)).where(COLUMNS.created_at >= now_ms - retention.age_ms)
    too_old = (connection.scalar(fresh) or head.seq + 1) - 1
    # The newest one stays: the chain continues from it.
    through = min(max(too_many, too_old), first + _MOST_REMOVED - 1, head.seq - 1)
    # Some at a time, or each new entry would bring an entry about the removal of an old one.
    oldest = connection.scalar(select(func.min(COLUMNS.created_at))) or now_ms
    is_due = too_many - first >= retention.most // 20 or oldest < now_ms - retention.age_ms * 1.02
    if through < first or not is_due:
        return 0
    digest = connection.scalar(select(COLUMNS.hash).where(COLUMNS.seq == through)) or ""
    note = AuditEntry.new(SERVICE, REMOVED, "", detail=f"up to {Head(through, digest)}", via=SERVICE)
    append(connection, [note], None)
    connection.execute(delete(audit_trail).where(COLUMNS.seq <= through))
    return through - first + 1


def newest_checkpoint(connection: Connection) -> Head | None:
    """Return the last removed entry; None if none was removed."""
    query = select(audit_trail).where(COLUMNS.action == REMOVED).order_by(COLUMNS.seq.desc()).limit(1)
    found = connection.execute(query).first()
    return None if found is None else removed_through(entry_of(found))


def read_from(connection: Connection, after: int, limit: int) -> list[AuditEntry]:
    """Return entries after a number, in order."""
    query = select(audit_trail).where(COLUMNS.seq > after).order_by(COLUMNS.seq).limit(limit)
    return [entry_of(row) for row in connection.execute(query)]


def entry_of(row: Row[Any]) -> AuditEntry:
    """Return a row's entry."""
    values = dict(row._mapping)  # noqa: SLF001  SQLAlchemy's public name
    return AuditEntry(at_ms=values.pop("created_at"), **values)


def _columns(values: dict[str, Any]) -> dict[str, Any]:
    return {"created_at" if name == "at_ms" else name: value for name, value in values.items()}


def _problem(connection: Connection, known: Head, head: Head) -> str | None:
    if known.seq > head.seq:
        return f"entries after #{head.seq} are missing; the last one was {known}"
    found = connection.scalar(select(COLUMNS.hash).where(COLUMNS.seq == known.seq))
    if found == known.hash:
        return None
    if found is None:
        removed = newest_checkpoint(connection)
        return None if removed is not None and removed.seq >= known.seq else f"the entry {known} is missing"
    return f"the entry #{known.seq} was replaced; it was {known}"
