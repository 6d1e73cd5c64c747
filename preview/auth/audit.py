"""The audit: who changed what, and when. Bounded for each user, and as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, insert, select

from preview.core.bounded_dict import BoundedDict
from preview.core.clock import from_ms, now_ms
from preview.core.ids import new_audit_id
from preview.storage.database import Database
from preview.storage.people_tables import audit_entries
from preview.storage.users import read_page

MOST_OF_USER = 1_000
"""Most kept entries of one user, so that a busy one does not push out those of others."""
MOST_ENTRIES = 20_000
"""Most kept entries of all users; the oldest go first."""
# Entries of a user between two removals of old ones.
_PRUNE_EACH = 50
_MOST_COUNTED = 1_000
_MOST_CHARACTERS = 500
_C = audit_entries.c


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """Something that a user did.

    Attributes:
        id: ``audit_…``.
        action: A few words, from a fixed list.
        subject: Id or name of the thing that was changed; may be empty.
        detail: The request's method and path.
    """

    id: str
    at: datetime
    user_id: str
    action: str
    subject: str
    detail: str


class Audit:
    """The rows of ``audit_entries``. All methods raise ``DatabaseUnavailable`` on an outage."""

    def __init__(self, database: Database) -> None:
        self._database = database
        # Counted for each user: the first entry, and then each 50th, removes old ones, too.
        self._noted: BoundedDict[str, int] = BoundedDict(_MOST_COUNTED)

    async def note(self, user_id: str, action: str, subject: str, detail: str) -> None:
        """Store an entry. Cancellation: it is stored, or nothing changes."""
        values = {
            "id": new_audit_id(),
            "created_at": now_ms(),
            "user_id": user_id,
            "action": action,
            "subject": _storable(subject)[:128],
            "detail": _storable(detail)[:_MOST_CHARACTERS],
        }
        noted = self._noted.use(user_id) or 0
        is_pruning = noted % _PRUNE_EACH == 0
        self._noted[user_id] = noted + 1

        def change(connection: Connection) -> None:
            connection.execute(insert(audit_entries).values(values))
            if is_pruning:
                _prune(connection, MOST_OF_USER, _C.user_id == user_id)
                _prune(connection, MOST_ENTRIES)

        await self._database.write(change)

    async def list(
        self, *, user_id: str | None, cursor: str | None, limit: int
    ) -> tuple[Sequence[AuditEntry], str | None]:
        """Return a page of entries of one user, or of all, newest first, and the next page's cursor.

        Raises:
            InvalidRequest: The cursor is invalid.

        Cancellation: nothing changes.
        """
        query = select(audit_entries)
        if user_id is not None:
            if "\0" in user_id:
                # Nobody has such an id, and PostgreSQL refuses it.
                return [], None
            query = query.where(_C.user_id == user_id)
        rows, following = await read_page(self._database, query, audit_entries, cursor, limit)
        return [_entry(row) for row in rows], following


def _prune(connection: Connection, most: int, *where: Any) -> None:
    newest = select(_C.created_at).where(*where).order_by(_C.created_at.desc()).offset(most).limit(1)
    last = connection.scalar(newest)
    if last is not None:
        connection.execute(delete(audit_entries).where(*where, _C.created_at <= last))


def _entry(row: Row[Any]) -> AuditEntry:
    return AuditEntry(row.id, from_ms(row.created_at), row.user_id, row.action, row.subject, row.detail)


def _storable(text: str) -> str:
    """Return the text without NUL and lone surrogates, which databases refuse."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
