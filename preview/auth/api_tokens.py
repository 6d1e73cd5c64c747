"""API tokens: made by users for their programs, shown once, stored as a hash, revocable at any time."""

from __future__ import annotations

import base64
import hashlib
import re
import time
import zlib
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy import Connection, Delete, Row, delete, func, insert, select, update

from preview.auth.login import Identity
from preview.auth.token_roles import TokenRole
from preview.core.bounded_dict import BoundedDict
from preview.core.clock import from_ms, now_ms, utc_now
from preview.core.ids import is_valid_id, new_api_token_id, new_token
from preview.errors import DatabaseUnavailable, Unauthenticated
from preview.people_errors import ApiTokenLimitReached, ApiTokenNotFound
from preview.storage import Database
from preview.storage.database import lock_count, notify
from preview.storage.people_tables import api_tokens
from preview.user import User

MOST_TOKENS = 50
"""Most API tokens of one user."""
MOST_NAME_CHARACTERS = 100
PREFIX = "pvt_"
"""Start of every API token, so that scanners find one that was published by mistake."""
REVOKED = "revoked:"
"""Start of the notices to other nodes of a cluster; ``token ID`` or ``member ID`` follows."""
# Prefix, 32 random bytes, and a checksum: a text that is no token costs no look-up.
_TOKEN = re.compile(r"(pvt_[A-Za-z0-9_-]{43})([A-Za-z0-9_-]{6})")
# A token that another process on the same database has revoked may work for this long, if its notice is lost.
_KEPT_S = 5.0
_MOST_KEPT = 10_000
_HOUR_MS = 3600 * 1000


@dataclass(frozen=True, slots=True)
class ApiToken:
    """An API token, without its secret.

    Attributes:
        id: ``token_…``; not secret.
        last_used_at: Last use to the hour; None if it was never used.
    """

    id: str
    user: User
    name: str
    role: TokenRole
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None

    @classmethod
    def of(cls, row: Row[Any]) -> ApiToken:
        """Return the token of a row of ``api_tokens``."""
        used = row.last_used_at
        return cls(
            row.id,
            User(row.user_id, row.tier),
            row.name,
            TokenRole(row.role),
            from_ms(row.created_at),
            from_ms(row.expires_at),
            None if used is None else from_ms(used),
        )


class ApiTokens:
    """The API tokens of all users.

    Found tokens are kept in memory for a few seconds. A revocation in this process applies at once.

    Args:
        database: Has the table ``api_tokens``.
        on_revoke: Called with the id of each revoked token; ends its open requests.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self, database: Database, on_revoke: Callable[[str], object], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._on_revoke = on_revoke
        self._clock = clock
        self._kept: BoundedDict[str, tuple[ApiToken, float]] = BoundedDict(_MOST_KEPT)
        # Counts revocations: a look-up that began before one must not be kept.
        self._revocations = 0
        self._revoked: BoundedDict[str, None] = BoundedDict(_MOST_KEPT)

    async def create(self, user: User, name: str, role: TokenRole, ttl_s: float) -> tuple[ApiToken, str]:
        """Return a new API token, and its text, which cannot be found out later.

        Raises:
            ApiTokenLimitReached: The user has the maximum number of tokens.
            DatabaseUnavailable: The database did not respond.

        Cancellation: made or not; a token that nobody has seen is of no use to anybody.
        """
        text = PREFIX + new_token()
        text += checksum(text)
        now = utc_now()
        made = ApiToken(new_api_token_id(), user, name, role, now, now + timedelta(seconds=ttl_s), None)
        values = {
            "id": made.id,
            "user_id": user.id,
            "name": name,
            "hash": _hash(text),
            "role": role.value,
            "tier": user.tier,
            "created_at": now_ms(),
            "expires_at": int(made.expires_at.timestamp() * 1000),
        }

        def change(connection: Connection) -> None:
            mine = api_tokens.c.user_id == user.id
            lock_count(connection, api_tokens.name, user.id)
            # Expired ones are of no use.
            connection.execute(delete(api_tokens).where(mine, api_tokens.c.expires_at <= now_ms()))
            if (connection.scalar(select(func.count()).select_from(api_tokens).where(mine)) or 0) >= MOST_TOKENS:
                raise ApiTokenLimitReached(
                    f"You have {MOST_TOKENS} API tokens, the maximum; revoke one first.", limit=MOST_TOKENS
                )
            connection.execute(insert(api_tokens).values(values))

        await self._database.write(change)
        return made, text

    async def list(self, user_id: str) -> list[ApiToken]:
        """Return the user's tokens, newest first; expired ones too, until a new one is made.

        Cancellation: nothing changes.
        """
        query = (
            select(api_tokens).where(api_tokens.c.user_id == user_id).order_by(api_tokens.c.created_at.desc())
        ).limit(2 * MOST_TOKENS)
        rows = await self._database.read(lambda connection: connection.execute(query).all())
        return [ApiToken.of(row) for row in rows]

    async def revoke(self, user_id: str, token_id: str) -> None:
        """Revoke a token of the user: its open requests end, and further ones are refused.

        Raises:
            ApiTokenNotFound: The user has no such token.
            DatabaseUnavailable: The database did not respond, and the token is still valid.

        Cancellation: revoked, or nothing changes.
        """
        query = delete(api_tokens).where(api_tokens.c.id == token_id, api_tokens.c.user_id == user_id)
        # PostgreSQL refuses some characters of what is no id.
        is_id = is_valid_id(token_id)
        if not is_id or not await self._database.write(partial(_delete_and_tell, query, token_id)):
            raise ApiTokenNotFound("You have no API token with this id; list them.")
        self.note_revoked(token_id)

    async def revoke_all(self, user_id: str) -> None:
        """Revoke all tokens of the user; see ``revoke``.

        Raises:
            DatabaseUnavailable: The database did not respond, and the tokens are still there.

        Cancellation: revoked, or nothing changes.
        """
        mine = api_tokens.c.user_id == user_id

        def change(connection: Connection) -> list[str]:
            found = list(connection.scalars(select(api_tokens.c.id).where(mine)))
            connection.execute(delete(api_tokens).where(mine))
            for token_id in found:
                notify(connection, f"{REVOKED}token {token_id}")
            return found

        for token_id in await self._database.write(change):
            self.note_revoked(token_id)

    def note_revoked(self, token_id: str) -> None:
        """End what this process does for a token that was revoked, here or on another node of a cluster."""
        self._revocations += 1
        self._revoked[token_id] = None
        for key in [key for key, (one, _) in self._kept.items() if one.id == token_id]:
            del self._kept[key]
        self._on_revoke(token_id)

    async def gone_among(self, token_ids: Collection[str]) -> set[str]:
        """Return those that are not there any more. Cancellation: nothing changes."""
        query = select(api_tokens.c.id).where(api_tokens.c.id.in_(token_ids))
        return {*token_ids} - set(await self._database.read(lambda connection: connection.scalars(query).all()))

    def is_revoked(self, token_id: str) -> bool:
        """Return whether this process has revoked the token not long ago: for stream tickets, which live shortly."""
        return token_id in self._revoked

    async def authenticate(self, token: str) -> Identity:
        """Return the user of an API token, with its role, which the caller checks.

        Args:
            token: Untrusted text that begins with ``PREFIX``.

        Raises:
            Unauthenticated: The token is unknown, revoked or expired.
            DatabaseUnavailable: The database did not respond.

        Cancellation: nothing changes.
        """
        found = await self._find(_hash(token)) if is_token(token) else None
        if found is None:
            raise Unauthenticated("The API token is unknown or was revoked; get a new one.", reason="api_token")
        if found.expires_at <= utc_now():
            raise Unauthenticated("The API token has expired; get a new one.", reason="expired")
        return Identity(found.user, found.expires_at, token_id=found.id, role=found.role)

    async def _find(self, key: str) -> ApiToken | None:
        kept = self._kept.get(key)
        if kept is not None and self._clock() - kept[1] < _KEPT_S:
            return kept[0]
        revocations = self._revocations
        query = select(api_tokens).where(api_tokens.c.hash == key)
        row = await self._database.read(lambda connection: connection.execute(query).first())
        if row is None or revocations != self._revocations:
            self._kept.pop(key, None)
            # A revocation meanwhile may have been of this token: the next request looks again.
            return None if row is None else await self._find(key)
        found = ApiToken.of(row)
        self._kept[key] = found, self._clock()
        await self._note_use(row)
        return found

    async def _note_use(self, row: Row[Any]) -> None:
        """Store the hour of the use. It is a convenience: without the database, the request goes on."""
        hour = now_ms() // _HOUR_MS * _HOUR_MS
        if row.last_used_at is not None and row.last_used_at >= hour:
            return
        change = update(api_tokens).where(api_tokens.c.id == row.id).values(last_used_at=hour)
        with suppress(DatabaseUnavailable):
            await self._database.write(lambda connection: connection.execute(change))


def _delete_and_tell(query: Delete, token_id: str, connection: Connection) -> int:
    count = connection.execute(query).rowcount
    if count:
        # Not for another user's token.
        notify(connection, f"{REVOKED}token {token_id}")
    return count


def is_token(text: str) -> bool:
    """Return whether this can be an API token: its checksum is right."""
    found = _TOKEN.fullmatch(text)
    return found is not None and checksum(found[1]) == found[2]


def checksum(text: str) -> str:
    """Return six characters that a mistyped or invented token does not have. Not secret: it saves look-ups only."""
    return base64.urlsafe_b64encode(zlib.crc32(text.encode()).to_bytes(4, "big")).decode().rstrip("=")


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
