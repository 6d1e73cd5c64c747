"""Guests of previews: people whom a share link with the role ``watch`` or ``use`` has admitted to the page.

Nothing is stored on disk: guests end with the preview, or with this process.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from preview.auth.access import AccessBook, Role, Share
from preview.core.ids import new_guest_id, new_token
from preview.errors import Unauthenticated
from preview.people_errors import GuestLimitReached

MOST_GUESTS = 50
"""Most guests of one preview. One more drops the oldest that is not connected."""
MOST_NAME_CHARACTERS = 40
COLOURS = 8
"""Number of colours that tell people apart; the owner has the first one."""
# Removed guests of one preview that are remembered, for a sentence that says so.
_MOST_REMOVED = 50
_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_RESERVED = frozenset({"owner", "service", "preview"})
GUEST_ROLES = frozenset({Role.WATCH, Role.USE})


@dataclass(frozen=True, slots=True)
class Guest:
    """A guest of one preview.

    Attributes:
        id: ``guest_…``; not secret.
        share_id: The link that admitted the guest. Its role is the guest's, and its end is the guest's.
        name: The name that the guest gave, or a number.
        colour: From 1 to ``COLOURS - 1``.
        expires_at: Seconds since the epoch.
        is_removed: Whether the owner has removed the guest.
    """

    id: str
    preview_id: str
    share_id: str
    role: Role
    name: str
    colour: int
    expires_at: float
    is_removed: bool = False


class GuestBook:
    """Guests of all previews of this process, by the hash of their cookie.

    Args:
        access: The share links.
        is_live: Returns whether a preview is live; guests of other previews are forgotten.
        is_connected: Returns whether a guest of a preview has the page open.
        on_drop: Called with each guest who makes space for another one; ends open requests of that guest.
    """

    def __init__(
        self,
        access: AccessBook,
        *,
        is_live: Callable[[str], bool],
        is_connected: Callable[[str, str], bool],
        on_drop: Callable[[Guest], object],
    ) -> None:
        self._access = access
        self._is_live = is_live
        self._is_connected = is_connected
        self._on_drop = on_drop
        # Guests by preview, then by hash of the cookie. Invariant: the oldest first.
        self._guests: dict[str, dict[str, Guest]] = {}
        self._admitted: dict[str, int] = {}

    def admit(self, share: Share, preview_id: str, name: str) -> tuple[Guest, str]:
        """Return a new guest, and the secret of the guest's cookie.

        Raises:
            GuestLimitReached: The preview has the maximum number of guests, and all are connected.
        """
        for ended in [one for one in self._guests if not self._is_live(one)]:
            del self._guests[ended], self._admitted[ended]
        guests = self._guests.setdefault(preview_id, {})
        self._make_space(preview_id, guests)
        number = self._admitted[preview_id] = self._admitted.get(preview_id, 0) + 1
        used = [one.colour for one in guests.values() if not one.is_removed]
        colour = min(range(1, COLOURS), key=lambda one: (used.count(one), one))
        shown = self._free_name(guests, name) or f"Guest {number}"
        guest = Guest(new_guest_id(), preview_id, share.id, share.role, shown, colour, share.expires_at)
        secret = new_token()
        guests[_hash(secret)] = guest
        return guest, secret

    def find(self, preview_id: str, secret: str) -> Guest | None:
        """Return the guest with this cookie; None if it is nobody's.

        Raises:
            Unauthenticated: The owner has removed the guest, or the link has expired or was revoked.
        """
        if _SECRET.fullmatch(secret) is None:
            return None
        guest = self._guests.get(preview_id, {}).get(_hash(secret))
        if guest is None or not self._is_live(preview_id):
            return None
        if guest.is_removed:
            raise Unauthenticated("The owner has removed you from this preview.", reason="removed")
        if self._access.share_of(preview_id, guest.share_id) is None:
            raise Unauthenticated("Your invitation has expired or was revoked; ask its sender for one.", reason="share")
        return guest

    def rename(self, guest: Guest, name: str) -> Guest:
        """Return the guest with another name, with a number if another guest has it; an empty one changes nothing."""
        guests = self._guests.get(guest.preview_id, {})
        others = {key: one for key, one in guests.items() if one.id != guest.id}
        free = self._free_name(others, name)
        for key, one in guests.items():
            if one.id == guest.id and free:
                guests[key] = replace(one, name=free)
                return guests[key]
        return guest

    def remove(self, preview_id: str, guest_id: str) -> Guest | None:
        """Remove a guest at once. The link that admitted the guest admits nobody further, or the guest would return."""
        guests = self._guests.get(preview_id, {})
        for key, one in guests.items():
            if one.id == guest_id and not one.is_removed:
                guests[key] = replace(one, is_removed=True)
                self._access.close_share(preview_id, one.share_id)
                return guests[key]
        return None

    def without_link(self, preview_id: str) -> list[Guest]:
        """Return the guests whose link was revoked or has expired."""
        guests = self._guests.get(preview_id, {}).values()
        return [one for one in guests if self._access.share_of(preview_id, one.share_id) is None]

    def _make_space(self, preview_id: str, guests: dict[str, Guest]) -> None:
        removed = [key for key, one in guests.items() if one.is_removed]
        for key in removed[: max(0, len(removed) - _MOST_REMOVED)]:
            del guests[key]
        if len(guests) - min(len(removed), _MOST_REMOVED) < MOST_GUESTS:
            return
        for key, one in guests.items():
            if not one.is_removed and not self._is_connected(preview_id, one.id):
                del guests[key]
                self._on_drop(one)
                return
        raise GuestLimitReached(
            f"{MOST_GUESTS} guests watch this preview, the maximum; ask its owner to remove one.", limit=MOST_GUESTS
        )

    def _free_name(self, guests: dict[str, Guest], name: str) -> str:
        """Return the name as it can be shown, with a number if another guest has it; empty if there is none."""
        text = " ".join("".join(one if one.isprintable() else " " for one in name).split())[:MOST_NAME_CHARACTERS]
        if text.casefold() in _RESERVED:
            return ""
        taken = {one.name.casefold() for one in guests.values()}
        if text.casefold() not in taken:
            return text
        return next(
            free for number in range(2, len(taken) + 3) if (free := f"{text} ({number})").casefold() not in taken
        )


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
