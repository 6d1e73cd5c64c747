"""Invitations: links of operators that admit people without an account elsewhere. Stored as hashes, revocable."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, func, insert, or_, select, update

from preview.auth.api_tokens import checksum
from preview.auth.members import MEMBER_PREFIX, Member, Members
from preview.auth.token_roles import TokenRole
from preview.core.clock import from_ms, now_ms, to_ms, utc_now
from preview.core.ids import is_valid_id, new_invitation_id, new_member_suffix, new_token
from preview.errors import Unauthenticated
from preview.people_errors import InvitationLimitReached, InvitationNotFound
from preview.storage import Database
from preview.storage.database import lock_count
from preview.storage.people_tables import invitations, members
from preview.storage.tables import users
from preview.storage.users import ensure_row

MOST_INVITATIONS = 200
"""Most invitations that are kept, with those that are over. A new one takes the place of the oldest that is over."""
MOST_USES = 500
MOST_NAME_CHARACTERS = 40
PREFIX = "inv_"
"""Start of every code, so that scanners find one that was published by mistake."""
# Prefix, 32 random bytes, and a checksum: a text that is no code costs no look-up.
_CODE = re.compile(r"(inv_[A-Za-z0-9_-]{43})([A-Za-z0-9_-]{6})")
_NOT_IN_ID = re.compile(r"[^a-z0-9]+")
_MOST_ID_CHARACTERS = 24


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link that admits people, without its code.

    Attributes:
        id: ``invitation_…``; not secret.
        note: For operators: whom it is for.
        most_uses: Number of people whom it admits at most.
        tier: Tier that these people get.
        role: What they may do, as the roles of API tokens.
        members: Those whom it has admitted, the first one first.
    """

    id: str
    note: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    most_uses: int
    uses: int
    tier: str
    role: TokenRole
    revoked_at: datetime | None
    members: Sequence[Member] = ()

    @classmethod
    def of(cls, row: Row[Any], admitted: Sequence[Member]) -> Invitation:
        """Return the invitation of a row of ``invitations``."""
        return cls(
            row.id,
            row.note,
            row.created_by,
            from_ms(row.created_at),
            from_ms(row.expires_at),
            row.most_uses,
            row.uses,
            row.tier,
            TokenRole(row.role),
            None if row.revoked_at is None else from_ms(row.revoked_at),
            admitted,
        )

    @property
    def state(self) -> str:
        """``open``, or why it admits nobody: ``revoked``, ``used`` or ``expired``."""
        if self.revoked_at is not None:
            return "revoked"
        if self.uses >= self.most_uses:
            return "used"
        return "expired" if self.expires_at <= utc_now() else "open"


class Invitations:
    """The invitations of this service.

    Args:
        database: Has the tables ``invitations`` and ``members``.
        admitted: The people whom they have admitted.
    """

    def __init__(self, database: Database, admitted: Members) -> None:
        self._database = database
        self._members = admitted

    async def create(
        self, created_by: str, *, note: str, most_uses: int, ttl_s: float, tier: str, role: TokenRole
    ) -> tuple[Invitation, str]:
        """Return a new invitation, and its code, which cannot be found out later.

        Raises:
            InvitationLimitReached: There is the maximum number of invitations, and each of them is open.
            DatabaseUnavailable: The database did not respond.

        Cancellation: made or not; a code that nobody has seen admits nobody.
        """
        code = PREFIX + new_token()
        code += checksum(code)
        now = utc_now()
        expires_at = now + timedelta(seconds=ttl_s)
        made = Invitation(new_invitation_id(), note, created_by, now, expires_at, most_uses, 0, tier, role, None)
        values = {
            "id": made.id,
            "hash": _hash(code),
            "note": note,
            "created_by": created_by,
            "created_at": to_ms(now),
            "expires_at": to_ms(expires_at),
            "most_uses": most_uses,
            "uses": 0,
            "tier": tier,
            "role": role.value,
        }

        def change(connection: Connection) -> None:
            _make_space(connection)
            connection.execute(insert(invitations).values(values))

        await self._database.write(change)
        return made, code

    async def list(self) -> list[Invitation]:
        """Return the invitations, newest first, with the people whom they have admitted.

        Cancellation: nothing changes.
        """
        query = select(invitations).order_by(invitations.c.created_at.desc(), invitations.c.id).limit(MOST_INVITATIONS)

        def read(connection: Connection) -> list[Invitation]:
            rows = connection.execute(query).all()
            admitted: dict[str, list[Member]] = {row.id: [] for row in rows}
            of_these = members.c.invitation_id.in_(list(admitted))
            for row in connection.execute(select(members).where(of_these).order_by(members.c.created_at)):
                admitted[row.invitation_id].append(Member.of(row))
            return [Invitation.of(row, admitted[row.id]) for row in rows]

        return await self._database.read(read)

    async def redeem(self, code: str, name: str) -> Member:
        """Admit a person: use the code once, and return a new user of this service.

        Args:
            code: Untrusted text.
            name: Name that the person gives. Untrusted; nobody else's id can come of it.

        Raises:
            Unauthenticated: The code is unknown, revoked, expired or used as often as it may be.
            DatabaseUnavailable: The database did not respond; the code may have been used.

        Cancellation: used, or nothing changes.
        """
        now = now_ms()
        shown = shown_name(name)
        open_now = (
            invitations.c.hash == _hash(code),
            invitations.c.revoked_at.is_(None),
            invitations.c.expires_at > now,
            invitations.c.uses < invitations.c.most_uses,
        )
        # One statement decides: of two people with the last use, one gets it.
        use = update(invitations).where(*open_now).values(uses=invitations.c.uses + 1)
        user_id = f"{MEMBER_PREFIX}{_readable(shown)}{new_member_suffix()}"

        def change(connection: Connection) -> Row[Any] | None:
            if not connection.execute(use).rowcount:
                return None
            found = connection.execute(select(invitations).where(invitations.c.hash == _hash(code))).one()
            values = {"user_id": user_id, "invitation_id": found.id, "name": shown, "role": found.role}
            connection.execute(insert(members).values(**values, created_at=now))
            ensure_row(connection, users, {"id": user_id, "tier": found.tier, "created_at": now})
            return found

        found = await self._database.write(change) if is_code(code) else None
        if found is None:
            raise Unauthenticated(
                "This invitation is unknown, or it was used, revoked, or has expired; ask its sender for a new one.",
                reason="invitation",
            )
        return Member(user_id, found.id, shown, TokenRole(found.role), from_ms(now), None)

    async def revoke(self, invitation_id: str, *, with_people: bool) -> int:
        """Let an invitation admit nobody further; return the number of members that were removed.

        Args:
            invitation_id: The invitation.
            with_people: Whether to remove also those whom it has admitted; see ``Members.remove``.

        Raises:
            InvitationNotFound: There is no such invitation.
            DatabaseUnavailable: The database did not respond, and the invitation may be open.

        Cancellation: revoked, or nothing changes; with the people, some of them may stay.
        """
        mine = invitations.c.id == invitation_id
        query = update(invitations).where(mine).values(revoked_at=func.coalesce(invitations.c.revoked_at, now_ms()))
        # PostgreSQL refuses some characters of what is no id.
        is_id = is_valid_id(invitation_id)
        if not is_id or not await self._database.write(lambda connection: connection.execute(query).rowcount):
            raise InvitationNotFound("There is no invitation with this id; list them.")
        return len(await self._members.remove_where(members.c.invitation_id == invitation_id)) if with_people else 0


def is_code(text: str) -> bool:
    """Return whether this can be a code: its checksum is right."""
    found = _CODE.fullmatch(text)
    return found is not None and checksum(found[1]) == found[2]


def shown_name(name: str) -> str:
    """Return a name as it can be shown in one line; it may be empty."""
    printable = "".join(one if one.isprintable() else " " for one in name)
    return " ".join(printable.split())[:MOST_NAME_CHARACTERS]


def _make_space(connection: Connection) -> None:
    lock_count(connection, invitations.name)
    count = connection.scalar(select(func.count()).select_from(invitations)) or 0
    if count < MOST_INVITATIONS:
        return
    oldest = select(invitations.c.id).where(_is_over()).order_by(invitations.c.created_at).limit(1)
    if not connection.execute(delete(invitations).where(invitations.c.id.in_(oldest))).rowcount:
        raise InvitationLimitReached(
            f"There are {MOST_INVITATIONS} open invitations, the maximum; revoke one first.", limit=MOST_INVITATIONS
        )


def _is_over() -> ColumnElement[bool]:
    return or_(
        invitations.c.revoked_at.is_not(None),
        invitations.c.expires_at <= now_ms(),
        invitations.c.uses >= invitations.c.most_uses,
    )


def _readable(name: str) -> str:
    """Return the part of a user id that people can read, with a hyphen; empty if the name has no such letters."""
    text = _NOT_IN_ID.sub("-", name.lower()).strip("-")[:_MOST_ID_CHARACTERS].strip("-")
    return f"{text}-" if text else ""


def _hash(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).hexdigest()
