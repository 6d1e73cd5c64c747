"""Browser access to previews: one-time links, share links, and the cookies that both set.

Nothing is stored on disk: previews belong to this process, and their links and cookies end with it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum

from preview.auth.box import CodeBox
from preview.core.ids import new_share_id
from preview.errors import ShareLimitReached, Unauthenticated

# Enough for one person who clicks; a further link drops that person's oldest.
_MAX_LINKS_PER_USER = 50
_MAX_LINKS = 10_000
# Entries kept for ended previews: a browser may still ask why a preview ended.
_MAX_KEPT = 1000
_OWNER = "owner"
_VALUE = re.compile(r"([a-z]+)\.([a-z0-9_]{1,40})\.(\d{1,12})\.([0-9a-f]{64})")
_TOKEN = re.compile(r"(share_[a-z0-9]{1,40})\.([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class OpenLink:
    """The target of a link that opens a preview once.

    Attributes:
        path: Path on the preview, with a leading slash.
    """

    preview_id: str
    path: str


class Role(Enum):
    """The role that a share link gives to its holders."""

    OPEN = "open"
    """Open the preview itself in a browser."""
    WATCH = "watch"
    """Read the log, requests, failures and comments on the service's page."""
    USE = "use"
    """As ``WATCH``; also send requests, replay them on a trial, and comment."""


@dataclass(frozen=True, slots=True)
class Share:
    """A link that may be passed on.

    Attributes:
        id: ``share_…``; not secret.
        created_at: Seconds since the epoch.
        expires_at: Seconds since the epoch.
        role: What its holders may do. It belongs to the link and never changes.
        is_closed: Whether it admits nobody further; those whom it has admitted stay.
    """

    id: str
    created_at: float
    expires_at: float
    role: Role = Role.OPEN
    is_closed: bool = False


@dataclass(frozen=True, slots=True)
class Grant:
    """The access that a browser's cookie grants.

    Attributes:
        is_owner: Whether the browser is the owner's, which may see why a preview failed.
        expires_at: Seconds since the epoch.
    """

    is_owner: bool
    expires_at: float


@dataclass(frozen=True, slots=True)
class Statement:
    """The content of a cookie with a valid signature. Whether it still grants access is checked separately.

    Attributes:
        name: The share link's id, or the owner's access version (``Access.age``) in digits.
        grant: The access that the cookie grants while it is valid.
    """

    preview_id: str
    name: str
    grant: Grant


@dataclass(slots=True)
class Access:
    """Access to one preview for everyone except its owner.

    Attributes:
        public: Whether anybody who knows the address has access.
        shares: Share links by id, the oldest first.
        age: Number of times that all cookies were revoked; older cookies contain a smaller number.
    """

    public: bool = False
    shares: dict[str, Share] = field(default_factory=dict)
    age: int = 0


class AccessBook:
    """Access to all previews of this process.

    A cookie is a signed statement (HMAC-SHA-256): preview, recipient (owner or share link) and expiry. So no state is
    kept per browser. Each request checks whether the recipient still has access.

    Args:
        secret: Source of the signing key; None generates a key for this process only.
        open_ttl_s: Seconds that a one-time link is valid.
        max_shares: Most share links of one preview at a time.
        is_live: Returns whether a preview is live; the entries of live previews are always kept.
        clock: Returns seconds since the epoch.

    Attributes:
        changes: Incremented by each change of access. While it is unchanged, a result of ``holds`` stays valid for a
            statement that has not expired.
    """

    def __init__(
        self,
        secret: str | None,
        *,
        open_ttl_s: float,
        max_shares: int,
        is_live: Callable[[str], bool],
        clock: Callable[[], float] = time.time,
    ) -> None:
        given = secrets.token_bytes(32) if secret is None else secret.encode("utf-8", "surrogateescape")
        self._key = hmac.new(given, b"access to previews in a browser", hashlib.sha256).digest()
        self._links: CodeBox[OpenLink] = CodeBox(open_ttl_s, max_per_owner=_MAX_LINKS_PER_USER, max_total=_MAX_LINKS)
        self._max_shares = max_shares
        self._is_live = is_live
        self._clock = clock
        self._entries: dict[str, Access] = {}
        self.changes = 0

    def now(self) -> float:
        """Return the current time in seconds since the epoch, used for all expiry times."""
        return self._clock()

    # Links that open once

    def new_link(self, user_id: str, link: OpenLink) -> str:
        """Return a code, 43 URL-safe characters, for this link."""
        return self._links.put(user_id, link)

    def redeem_link(self, code: str, preview_id: str) -> OpenLink:
        """Return the link for the code, and invalidate the code.

        Raises:
            Unauthenticated: The code is unknown, used or expired, or is for another preview.
        """
        link = self._links.pop(code)
        if link is None or link.preview_id != preview_id:
            raise Unauthenticated(
                "This link has been used or has expired; open the preview again from its source.", reason="open_link"
            )
        return link

    # Links to share

    def new_share(self, preview_id: str, ttl_s: float, role: Role = Role.OPEN) -> Share:
        """Return a new share link that is valid for ``ttl_s`` seconds.

        Raises:
            ShareLimitReached: The preview has the maximum number of share links.
        """
        shares = self._changed(preview_id).shares
        self._drop_expired(shares)
        if len(shares) >= self._max_shares:
            raise ShareLimitReached(
                f"The preview has {len(shares)} share links, the maximum; revoke one first.",
                limit=self._max_shares,
                shares=list(shares),
            )
        now = self._clock()
        made = Share(new_share_id(), now, now + ttl_s, role)
        shares[made.id] = made
        return made

    def shares(self, preview_id: str) -> list[Share]:
        """Return the valid share links, the oldest first."""
        shares = self.of(preview_id).shares
        self._drop_expired(shares)
        return list(shares.values())

    def revoke_share(self, preview_id: str, share_id: str) -> bool:
        """Revoke a share link and its browsers' access at once; return whether the link existed."""
        self.changes += 1
        return self.of(preview_id).shares.pop(share_id, None) is not None

    def share_token(self, preview_id: str, share: Share) -> str:
        """Return the token of a share link. It is derived from the key, so it can be shown again and is not stored."""
        return f"{share.id}.{self._sign(_kind(share.role), preview_id, share.id)}"

    def share_of(self, preview_id: str, share_id: str) -> Share | None:
        """Return the share link with this id if it is valid."""
        share = self.of(preview_id).shares.get(share_id)
        return None if share is None or share.expires_at <= self._clock() else share

    def close_share(self, preview_id: str, share_id: str) -> None:
        """Let a share link admit nobody further. Those whom it has admitted keep their access."""
        shares = self.of(preview_id).shares
        if share_id in shares:
            shares[share_id] = replace(shares[share_id], is_closed=True)

    def redeem_share(self, token: str, preview_id: str, roles: frozenset[Role] = frozenset({Role.OPEN})) -> Share:
        """Return the share link that has this token and one of these roles; the link stays valid.

        Raises:
            Unauthenticated: The link is unknown, expired or revoked, or is for another preview.
        """
        found = _TOKEN.fullmatch(token)
        share = None if found is None else self.share_of(preview_id, found[1])
        # The role is part of the signed text: a token of one role is no token of another.
        if (
            found is not None
            and share is not None
            and share.role in roles
            and not share.is_closed
            and hmac.compare_digest(found[2], self._sign(_kind(share.role), preview_id, share.id))
        ):
            return share
        raise Unauthenticated(
            "This link has expired or was revoked, or its preview has ended; ask its sender for a new one.",
            reason="share_link",
        )

    # Public access and revocation

    def of(self, preview_id: str) -> Access:
        """Return the access to this preview; by default only the owner has access."""
        return self._entries.get(preview_id) or Access()

    def set_public(self, preview_id: str, public: bool) -> None:
        """Make the preview public, or private again."""
        self._changed(preview_id).public = public

    def revoke_all(self, preview_id: str) -> None:
        """Make the preview private, and revoke every share link and every browser's cookie."""
        entry = self._changed(preview_id)
        entry.public = False
        entry.shares.clear()
        entry.age += 1

    # Cookies

    def owner_cookie(self, preview_id: str, ttl_s: float) -> tuple[str, float]:
        """Return a cookie value for the owner's browser, and its lifetime in seconds."""
        return self._cookie(preview_id, _OWNER, str(self.of(preview_id).age), self._clock() + ttl_s), ttl_s

    def share_cookie(self, preview_id: str, share: Share) -> tuple[str, float]:
        """Return a cookie value for a browser that used this share link, and its lifetime in seconds."""
        return self._cookie(preview_id, "share", share.id, share.expires_at), share.expires_at - self._clock()

    def read_cookie(self, preview_id: str, value: str) -> Statement | None:
        """Parse a cookie's value; None unless it was signed here for this preview. ``holds`` checks its validity."""
        found = _VALUE.fullmatch(value)
        if found is None:
            return None
        kind, name, until, signature = found.groups()
        if not hmac.compare_digest(signature, self._sign(kind, preview_id, name, until)):
            return None
        return Statement(preview_id, name, Grant(kind == _OWNER, int(until)))

    def holds(self, statement: Statement) -> bool:
        """Return whether a cookie still grants access: it has neither expired nor been revoked."""
        if statement.grant.expires_at <= self._clock():
            return False
        entry = self._entries.get(statement.preview_id)
        if statement.grant.is_owner:
            return statement.name == ("0" if entry is None else str(entry.age))
        return entry is not None and statement.name in entry.shares

    def _cookie(self, preview_id: str, kind: str, name: str, until: float) -> str:
        return f"{kind}.{name}.{int(until)}.{self._sign(kind, preview_id, name, str(int(until)))}"

    def _sign(self, *parts: str) -> str:
        # No part contains a line break, so the signed text is unambiguous.
        return hmac.digest(self._key, "\n".join(parts).encode(), "sha256").hex()

    # Entries

    def _changed(self, preview_id: str) -> Access:
        """Return the preview's entry for a change, creating it if missing."""
        self.changes += 1
        if preview_id not in self._entries:
            gone = [one for one in self._entries if not self._is_live(one)]
            for one in gone[: max(0, len(gone) - _MAX_KEPT + 1)]:
                del self._entries[one]
            self._entries[preview_id] = Access()
        return self._entries[preview_id]

    def _drop_expired(self, shares: dict[str, Share]) -> None:
        now = self._clock()
        for one in [share.id for share in shares.values() if share.expires_at <= now]:
            self.changes += 1
            del shares[one]


def _kind(role: Role) -> str:
    return "link" if role is Role.OPEN else f"link for {role.value}"
