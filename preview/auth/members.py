"""Members: people whom an invitation has admitted to the service. Each can be removed at any time."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select, update

from preview.auth.api_tokens import REVOKED, ApiTokens
from preview.auth.login import Identity
from preview.auth.token_roles import TokenRole
from preview.core.bounded_dict import BoundedDict
from preview.core.clock import from_ms, now_ms
from preview.errors import Unauthenticated
from preview.people_errors import MemberNotFound
from preview.storage import Database
from preview.storage.database import notify
from preview.storage.people_tables import members

MEMBER_PREFIX = "invited:"
"""Start of each member's user id. No identity provider gives such an id, so nobody takes a member's place."""
MEMBER_SESSION_S = 30 * 24 * 3600
"""Lifetime of a member's session. It is renewed while it is used: a member has no other way in."""
# A member whom another process on the same database has removed may go on for this long, if its notice is lost.
_KEPT_S = 5.0
_MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Member:
    """A person whom an invitation has admitted.

    Attributes:
        invitation_id: The invitation, which may be gone.
        name: The name that the person gave; for people, not unique.
        role: What the person may do, as the roles of API tokens.
        removed_at: None for a person who may use the service.
    """

    user_id: str
    invitation_id: str
    name: str
    role: TokenRole
    created_at: datetime
    removed_at: datetime | None

    @classmethod
    def of(cls, row: Row[Any]) -> Member:
        """Return the member of a row of ``members``."""
        return cls(
            row.user_id,
            row.invitation_id,
            row.name,
            TokenRole(row.role),
            from_ms(row.created_at),
            None if row.removed_at is None else from_ms(row.removed_at),
        )


class Members:
    """The people whom invitations have admitted, whose access is checked with each request.

    Args:
        database: Has the table ``members``.
        tokens: Their API tokens; they are revoked with them.
        on_remove: Called with the user id of each removed member; ends the open requests.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self,
        database: Database,
        tokens: ApiTokens,
        on_remove: Callable[[str], object],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._tokens = tokens
        self._on_remove = on_remove
        self._clock = clock
        self._kept: BoundedDict[str, tuple[Member, float]] = BoundedDict(_MOST_KEPT)
        # Counts removals: a look-up that began before one must not be kept.
        self._removals = 0

    async def checked(self, identity: Identity) -> Identity:
        """Return the identity; a member's with the member's role.

        Raises:
            Unauthenticated: The member was removed, or never was one.
            DatabaseUnavailable: The database did not respond.

        Cancellation: nothing changes.
        """
        if not identity.user.id.startswith(MEMBER_PREFIX) or identity.guest is not None:
            return identity
        member = await self._find(identity.user.id)
        if member is None or member.removed_at is not None:
            raise Unauthenticated("An operator has removed you from this service.", reason="removed")
        # A token may have been made when the role was another one.
        role = identity.role if member.role.contains(identity.role) else member.role
        return replace(identity, role=role, is_member=True)

    async def remove(self, user_id: str) -> None:
        """Remove a member: open requests end, tokens are revoked, and further requests are refused.

        The member's projects stay. Previews that run go on until they end or an operator stops them.

        Raises:
            MemberNotFound: There is no such member.
            DatabaseUnavailable: The database did not respond, and the member may still use the service.

        Cancellation: removed, or nothing changes.
        """
        # PostgreSQL refuses some characters of what is no id.
        is_id = user_id.startswith(MEMBER_PREFIX) and user_id.isprintable()
        if not is_id or not await self.remove_where(members.c.user_id == user_id):
            raise MemberNotFound("There is no such invited person; list the invitations.")

    async def remove_where(self, condition: ColumnElement[bool]) -> list[str]:
        """Remove the members for whom the condition on ``members`` holds; return their ids. See ``remove``.

        Cancellation: removed, or nothing changes; API tokens may stay, which are refused like their member.
        """
        chosen = select(members.c.user_id).where(condition, members.c.removed_at.is_(None))

        def change(connection: Connection) -> list[str]:
            found = list(connection.scalars(chosen))
            connection.execute(update(members).where(members.c.user_id.in_(found)).values(removed_at=now_ms()))
            for user_id in found:
                notify(connection, f"{REVOKED}member {user_id}")
            return found

        removed = await self._database.write(change)
        for user_id in removed:
            self.note_removed(user_id)
        # Only then: a database that does not answer any more must not keep the others' requests open.
        for user_id in removed:
            await self._tokens.revoke_all(user_id)
        return removed

    def note_removed(self, user_id: str) -> None:
        """End what this process does for a member who was removed, here or on another node of a cluster."""
        self._removals += 1
        self._kept.pop(user_id, None)
        self._on_remove(user_id)

    async def gone_among(self, user_ids: Collection[str]) -> set[str]:
        """Return those who are no members any more. Cancellation: nothing changes."""
        query = select(members.c.user_id).where(members.c.user_id.in_(user_ids), members.c.removed_at.is_(None))
        return {*user_ids} - set(await self._database.read(lambda connection: connection.scalars(query).all()))

    async def _find(self, user_id: str) -> Member | None:
        kept = self._kept.get(user_id)
        if kept is not None and self._clock() - kept[1] < _KEPT_S:
            return kept[0]
        removals = self._removals
        query = select(members).where(members.c.user_id == user_id)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        if row is None:
            return None
        found = Member.of(row)
        if removals == self._removals:
            self._kept[user_id] = found, self._clock()
        elif found.removed_at is None:
            # The removal meanwhile may have been of this member.
            return await self._find(user_id)
        return found
