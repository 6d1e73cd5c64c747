"""Previews in the database: one row each, from launch until retention deletes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, Select, bindparam, delete, exists, func, insert, select, update

from preview.core.clock import from_ms, to_ms, utc_now
from preview.core.ids import is_valid_id
from preview.core.launch_steps import StepState, end_steps, load_steps, store_steps
from preview.core.lifecycle import ACTIVE, Health, State, reloads_of
from preview.errors import PreviewNotFound
from preview.storage.database import FREE_NUMBERS, NOTHING_CARRIED, Carried, Database
from preview.storage.group_commit import GroupCommit
from preview.storage.people_tables import handed_lines, owners, removed_generations
from preview.storage.tables import (
    PreviewRecord,
    pinned_requests,
    preview_instances,
    preview_logs,
    preview_requests,
    preview_traffic,
)
from preview.storage.users import read_page

_C = preview_instances.c
_LOGS = preview_logs.c
_REQUESTS = preview_requests.c
# Lines deleted in one transaction: tens of milliseconds, so the log writer does not wait long (SQLite has one lock).
_DELETE_LINES = 10_000
# Recorded requests may be larger than lines.
_DELETE_REQUESTS = 500

# Owner of previews whose generation was deleted; hides them until they are deleted too. No user's id contains this
# character (see ``ids.is_valid_id``).
NOBODY = "!deleted"

# Record fields and their columns, where the names differ.
_RENAMED = {
    "state": "status",
    "health": "health_status",
    "reason": "error_message",
    "steps": "launch_steps",
    "reloads": "reload_lines",
}
_TIMES = frozenset({"created_at", "expires_at", "token_expires_at", "started_at", "stopped_at", "last_health_check"})
_FIELDS = tuple(PreviewRecord.__dataclass_fields__)
_ACTIVE = tuple(sorted(state.value for state in ACTIVE))
# An update never changes these. A deletion may have changed the owner in the row alone, see ``disown_previews``.
_FIXED = frozenset({"id", "generation_id", "project_id", "user_id", "created_at"})
# Compiled once, because compiling takes longer than the update itself. The row's ``created_at`` may be later than the
# record's, see ``insert``.
_CHANGED = tuple(name for field in _FIELDS if (name := _RENAMED.get(field, field)) not in _FIXED)
_OVERWRITE = (
    update(preview_instances)
    .where(_C.id == bindparam("the_id"))
    .values({name: bindparam(f"new_{name}") for name in _CHANGED})
)
# Previews of a removed generation are not shown; they have ended.
_OF_KEPT = ~exists().where(removed_generations.c.generation_id == _C.generation_id)
_OVER = _C.status.in_(sorted(state.value for state in State if state not in ACTIVE))
_OVERWRITE_ACTIVE = _OVERWRITE.where(_C.status.in_(_ACTIVE))


class NodeOwner(NamedTuple):
    """The owner of a preview in a cluster.

    Attributes:
        node: Name of the node; None for a preview in the queue.
        is_trial: It ends with its node.
    """

    node: str | None
    is_trial: bool


class PreviewStore:
    """The rows of ``preview_instances``. All methods raise ``DatabaseUnavailable`` on an outage."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._updates = GroupCommit(database)

    async def insert(self, record: PreviewRecord, most: int | None = None, carried: Carried = NOTHING_CARRIED) -> None:
        """Insert a new preview as the newest of its generation, even if the clock was set back.

        Args:
            record: The preview.
            most: Maximum number of the user's live previews in a cluster; None if this one does not count.
            carried: What another node needs to start it again.

        Raises:
            AlreadyRunning, LimitReached, TooManyLaunches: A limit is reached in the cluster.

        Cancellation: the row is inserted completely or not at all.
        """
        row, fences = to_row(record), self._database.fences

        def change(connection: Connection) -> None:
            fences.claim(connection, row, most, carried)
            insert_row(row, connection)

        await self._database.write(change)
        fences.claimed(record.id)

    async def update(self, record: PreviewRecord) -> None:
        """Overwrite the preview's row, except for its creation time and owner.

        A record of an active preview never overwrites the row of an ended one. Concurrent updates share one
        transaction. Updates of the same preview keep their order.

        Raises:
            PreviewNotFound: The row is missing or deleted, the preview has ended, or another node has it.

        Cancellation: the row is overwritten completely or not at all.
        """
        row = to_row(record)
        values = {"the_id": record.id, **{f"new_{name}": row[name] for name in _CHANGED}}
        statement = _OVERWRITE_ACTIVE if record.is_active else _OVERWRITE

        fences = self._database.fences

        def change(connection: Connection) -> int:
            if fences.refused(connection, (record.id,)):
                return 0
            return connection.execute(statement, values).rowcount

        if not await self._updates.write(change):
            raise PreviewNotFound(f"There is no row for the preview {record.id!r} (any more), or it has ended here.")

    async def get(self, preview_id: str) -> PreviewRecord | None:
        """Return the preview with this id, or None.

        Cancellation: nothing changes.
        """
        if not is_valid_id(preview_id):
            # The id comes from a request; PostgreSQL would reject a NUL.
            return None
        query = select(preview_instances).where(_C.id == preview_id, _OF_KEPT)
        return _record_or_none(await self._database.read(lambda connection: connection.execute(query).first()))

    async def last_request(self, preview_id: str) -> int:
        """Return the number of the preview's last stored request; 0 without any. Cancellation: nothing changes."""
        query = select(preview_traffic.c.last_number).where(preview_traffic.c.preview_id == preview_id)
        return await self._database.read(lambda connection: connection.scalar(query)) or 0

    async def owners(self) -> Mapping[str, NodeOwner]:
        """Return the previews that nodes of a cluster run, those of trials too. Cancellation: nothing changes."""
        columns = (owners.c.preview_id, owners.c.node, owners.c.state)
        query = select(*columns).where(owners.c.state.in_(("queued", "running", "trial")))
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return {row.preview_id: NodeOwner(row.node, row.state == "trial") for row in rows}

    async def latest(self, generation_id: str) -> PreviewRecord | None:
        """Return the generation's newest preview in any state, or None.

        Cancellation: nothing changes.
        """
        query = (
            select(preview_instances)
            .where(_C.generation_id == generation_id, _C.user_id != NOBODY)
            .order_by(_C.created_at.desc(), _C.id.desc())
            .limit(1)
        )
        return _record_or_none(await self._database.read(lambda connection: connection.execute(query).first()))

    async def unfinished(self) -> list[PreviewRecord]:
        """Return all previews whose row is in an active state, oldest first: after a crash, these need cleanup.

        The number is bounded by ``max_previews`` of the service that ran them.

        Cancellation: nothing changes.
        """
        query = select(preview_instances).where(_C.status.in_(_ACTIVE)).order_by(_C.created_at, _C.id)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [to_record(row) for row in rows]

    async def list_for_user(
        self,
        user_id: str,
        *,
        state: State | None = None,
        generation_id: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> tuple[list[PreviewRecord], str | None]:
        """Return a page of the user's previews, newest first, and the next page's cursor (None: the last page).

        Args:
            user_id: The owner.
            state: Return only previews in this state; None means any.
            generation_id: Return only previews of this generation; None means any.
            cursor: The cursor returned with the previous page.
            limit: Rows per page, clamped to 1 to ``users.MAX_PAGE``.

        Raises:
            InvalidRequest: The cursor is invalid.

        Cancellation: nothing changes.
        """
        query = select(preview_instances).where(_C.user_id == user_id, _OF_KEPT)
        if state is not None:
            query = query.where(_C.status == state.value)
        if generation_id is not None:
            if not is_valid_id(generation_id):
                return [], None
            query = query.where(_C.generation_id == generation_id)
        rows, following = await read_page(self._database, query, preview_instances, cursor, limit)
        return [to_record(row) for row in rows], following

    async def delete_ended_before(self, ms: int, limit: int = 100) -> int:
        """Delete previews that ended before ``ms``, oldest first, with their lines; return the number of previews.

        Previews with pinned requests stay.

        Each transaction deletes a bounded number of lines, so that other writers do not wait long for the lock.

        Args:
            ms: Milliseconds since the epoch.
            limit: Maximum number of previews to delete in this call.

        Cancellation: finished deletions are kept; the next run continues.
        """
        ended = func.coalesce(_C.stopped_at, _C.created_at)
        is_pinned = select(pinned_requests.c.number).where(pinned_requests.c.preview_id == _C.id).exists()
        return await self._delete(select(_C.id).where(_OVER, ended < ms, ~is_pinned).order_by(ended).limit(limit))

    async def disown(self, generation_id: str, user_id: str) -> int:
        """Call ``disown_previews`` in one transaction. Cancellation: completed, or nothing changes."""
        return await self._database.write(partial(disown_previews, generation_id=generation_id, user_id=user_id))

    async def delete_disowned(self, limit: int = 100) -> int:
        """Delete ended previews of deleted generations, with their lines, as ``delete_ended_before`` does.

        Cancellation: finished deletions are kept; the next call continues.
        """
        return await self._delete(select(_C.id).where(_C.user_id == NOBODY, _OVER).limit(limit))

    async def _delete(self, query: Select[str]) -> int:
        ids = await self._database.read(lambda connection: list(connection.scalars(query)))
        for preview_id in ids:
            while not await self._database.write(partial(_delete_part, preview_id)):
                pass
        return len(ids)

    def hidden(self) -> PreviewStore:
        """Return a store whose new rows belong to no user; no list shows them, and they are deleted after their end."""
        return _HiddenStore(self._database)


class _HiddenStore(PreviewStore):
    """See ``PreviewStore.hidden``."""

    async def insert(
        self, record: PreviewRecord, _most: int | None = None, _carried: Carried = NOTHING_CARRIED
    ) -> None:
        """Insert a row without an owner. Cancellation: the row is inserted completely or not at all."""
        await super().insert(replace(record, user_id=NOBODY))


def disown_previews(connection: Connection, *, generation_id: str, user_id: str) -> int:
    """Remove the owner of a deleted generation's previews; return the number of previews.

    Call in the deletion's transaction: a crash then leaves both done or neither. The rows and lines are deleted later
    in batches, see ``PreviewStore.delete_disowned``.
    """
    mine = (_C.generation_id == generation_id) & (_C.user_id == user_id)
    return connection.execute(update(preview_instances).where(mine).values(user_id=NOBODY)).rowcount


def insert_row(row: dict[str, Any], connection: Connection) -> None:
    """Insert the preview, dated after its generation's newest one even if the clock was set back."""
    newest = select(func.max(_C.created_at)).where(_C.generation_id == row["generation_id"])
    before = connection.scalar(newest)
    created_at = row["created_at"] if before is None else max(row["created_at"], before + 1)
    connection.execute(insert(preview_instances).values(row | {"created_at": created_at}))


def end_waiting(connection: Connection, preview_id: str, state: State, reason: str) -> None:
    """Store the end of a preview that no node runs. The caller has locked its owner's row.

    Its last number is not below any that a lost node may have used: readers may have lines that are not stored.
    """
    stored_seq = select(func.coalesce(func.max(_LOGS.seq), 0)).where(_LOGS.preview_id == preview_id)
    last_seq = connection.scalar(stored_seq) or 0
    owner = connection.execute(
        select(owners.c.node, owners.c.first_seq).where(owners.c.preview_id == preview_id)
    ).first()
    if owner is not None:
        before_seq = select(handed_lines.c.before_seq).where(handed_lines.c.preview_id == preview_id)
        lost_seq = max(owner.first_seq + FREE_NUMBERS, connection.scalar(before_seq) or 0)
        last_seq = max(last_seq, (owner.first_seq if owner.node is None else lost_seq) - 1)
    how = StepState.STOPPED if state is State.STOPPED else StepState.FAILED
    stored = connection.scalar(select(_C.launch_steps).where(_C.id == preview_id))
    ended = {
        "launch_steps": store_steps(end_steps(load_steps(stored), how, None, reason)),
        "status": state.value,
        "health_status": Health.UNKNOWN.value,
        "error_message": reason,
        "stopped_at": to_ms(utc_now()),
        "last_seq": last_seq,
    }
    waits = (_C.id == preview_id) & _C.status.in_(_ACTIVE)
    connection.execute(update(preview_instances).where(waits).values(ended))


def _delete_part(preview_id: str, connection: Connection) -> bool:
    """Delete a batch of an ended preview's lines and requests, or its row if none is left; return true then."""
    first = connection.scalar(select(func.min(_LOGS.seq)).where(_LOGS.preview_id == preview_id))
    number = connection.scalar(select(func.min(_REQUESTS.number)).where(_REQUESTS.preview_id == preview_id))
    if number is not None:
        few = (_REQUESTS.preview_id == preview_id) & (_REQUESTS.number < number + _DELETE_REQUESTS)
        connection.execute(delete(preview_requests).where(few))
        return False
    if first is None:
        connection.execute(delete(preview_instances).where(_C.id == preview_id))
        return True
    connection.execute(delete(preview_logs).where(_LOGS.preview_id == preview_id, _LOGS.seq < first + _DELETE_LINES))
    return False


def to_row(record: PreviewRecord) -> dict[str, Any]:
    """Return the record as column values."""
    row: dict[str, Any] = {}
    for field in _FIELDS:
        value = getattr(record, field)
        if value is not None and field in _TIMES:
            value = to_ms(value)
        elif field == "steps":
            value = store_steps(value)
        elif field == "reloads":
            value = value.to_text()
        elif isinstance(value, str):
            value = _storable(str(value))
        row[_RENAMED.get(field, field)] = value
    return row


def to_record(row: Row[Any]) -> PreviewRecord:
    """Return the row of ``preview_instances`` as a record: the inverse of ``to_row``."""
    columns = row._mapping  # noqa: SLF001  SQLAlchemy's public name for it
    values: dict[str, Any] = {}
    for field in _FIELDS:
        value = columns[_RENAMED.get(field, field)]
        values[field] = from_ms(value) if value is not None and field in _TIMES else value
    values["state"] = State(values["state"])
    values["health"] = Health(values["health"])
    values["steps"] = load_steps(values["steps"])
    values["reloads"] = reloads_of(values["reloads"])
    return PreviewRecord(**values)


def _record_or_none(row: Row[Any] | None) -> PreviewRecord | None:
    return None if row is None else to_record(row)


def _storable(text: str) -> str:
    """Replace characters that PostgreSQL cannot store: NUL and lone surrogates."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode()
