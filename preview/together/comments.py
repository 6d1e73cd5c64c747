"""Comments of people on lines, requests and failures of a preview. They end with the preview's log."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from preview.core.clock import from_ms, now_ms
from preview.core.ids import is_valid_id, new_comment_id
from preview.people_errors import CommentLimitReached, CommentNotFound
from preview.storage import Database
from preview.storage.database import lock_count
from preview.storage.people_tables import preview_comments as table
from preview.storage.users import read_page
from preview.together.target import Target, TargetKind

MOST_COMMENTS = 500
"""Most comments on one preview."""
MOST_CHARACTERS = 2000
# Invisible characters that join or shape letters and emoji.
_JOINERS = frozenset("\u200c\u200d")


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment.

    Attributes:
        id: ``comment_…``.
        author_id: The user's id, or the guest's.
        author: The name to show.
        role: ``owner`` or ``use``, when it was written.
        text: Plain text, with line breaks.
    """

    id: str
    preview_id: str
    target: Target
    author_id: str
    author: str
    role: str
    text: str
    is_resolved: bool
    created_at: datetime

    @classmethod
    def of(cls, row: Row[Any]) -> Comment:
        """Return the comment of a row of ``preview_comments``."""
        return cls(
            row.id,
            row.preview_id,
            Target(TargetKind(row.kind), row.target),
            row.author_id,
            row.author,
            row.role,
            row.text,
            bool(row.resolved),
            from_ms(row.created_at),
        )


class Comments:
    """The rows of ``preview_comments``. All methods raise ``DatabaseUnavailable`` on an outage."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, preview_id: str, *, cursor: str | None, limit: int) -> tuple[list[Comment], str | None]:
        """Return a page of comments, newest first, and the cursor of the next page.

        Raises:
            InvalidRequest: The cursor is invalid.

        Cancellation: nothing changes.
        """
        query = select(table).where(table.c.preview_id == preview_id)
        rows, following = await read_page(self._database, query, table, cursor, limit)
        return [Comment.of(row) for row in rows], following

    async def get(self, preview_id: str, comment_id: str) -> Comment:
        """Return a comment.

        Raises:
            CommentNotFound: The preview has no such comment.

        Cancellation: nothing changes.
        """
        if not is_valid_id(comment_id):
            # PostgreSQL refuses some characters.
            raise _not_found()
        query = select(table).where(table.c.preview_id == preview_id, table.c.id == comment_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        if row is None:
            raise _not_found()
        return Comment.of(row)

    async def add(
        self, preview_id: str, target: Target, text: str, *, author_id: str, author: str, role: str
    ) -> Comment:
        """Store a comment of a stored preview, and return it.

        Raises:
            CommentLimitReached: The preview has the maximum number of comments.

        Cancellation: stored, or nothing changes.
        """
        at = now_ms()
        made = Comment(new_comment_id(), preview_id, target, author_id, author, role, text, False, from_ms(at))
        values = {
            "preview_id": preview_id,
            "id": made.id,
            "kind": target.kind.value,
            "target": target.id,
            "author_id": author_id,
            "author": author,
            "role": role,
            "text": text,
            "resolved": 0,
            "created_at": at,
        }

        def change(connection: Connection) -> None:
            lock_count(connection, table.name, preview_id)
            of_preview = select(func.count()).select_from(table).where(table.c.preview_id == preview_id)
            if (connection.scalar(of_preview) or 0) >= MOST_COMMENTS:
                raise CommentLimitReached(
                    f"The preview has {MOST_COMMENTS} comments, the maximum; delete some first.", limit=MOST_COMMENTS
                )
            connection.execute(insert(table).values(values))

        await self._database.write(change)
        return made

    async def resolve(self, comment: Comment, is_resolved: bool) -> Comment:
        """Mark a comment as resolved, or open again, and return it.

        Raises:
            CommentNotFound: It has been deleted.

        Cancellation: marked, or nothing changes.
        """
        query = update(table).where(table.c.preview_id == comment.preview_id, table.c.id == comment.id)
        change = query.values(resolved=int(is_resolved))
        if not await self._database.write(lambda connection: connection.execute(change).rowcount):
            raise _not_found()
        return replace(comment, is_resolved=is_resolved)

    async def delete(self, comment: Comment) -> None:
        """Delete a comment; one that is deleted already is no error. Cancellation: deleted, or nothing changes."""
        change = delete(table).where(table.c.preview_id == comment.preview_id, table.c.id == comment.id)
        await self._database.write(lambda connection: connection.execute(change))


def plain_text(text: str) -> str:
    """Return the text without characters that cannot be shown, or that change the direction of other text."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    shown = ("".join(one if one.isprintable() or one in _JOINERS else " " for one in line) for line in lines)
    return "\n".join(shown).strip()


def _not_found() -> CommentNotFound:
    return CommentNotFound("The preview has no such comment; it may have been deleted.")
