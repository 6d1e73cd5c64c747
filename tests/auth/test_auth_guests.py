"""One person with a share link can join again and again: what all guests hold open together is bounded."""

from __future__ import annotations

from contextlib import ExitStack
from typing import cast

import pytest

from preview.auth import AccessBook, ApiTokens, Guest, GuestBook, Identity, Role
from preview.auth.guests import MOST_GUESTS
from preview.errors import TooManyStreams
from preview.http.streams.log_streams import StreamSlots
from preview.people_errors import ApiTokenNotFound, CommentNotFound, GuestLimitReached
from preview.storage import Database
from preview.together import Comments


def new_book(dropped: list[Guest], *, connected: bool = False) -> tuple[GuestBook, AccessBook]:
    access = AccessBook(None, open_ttl_s=60, max_shares=5, is_live=lambda _: True)
    book = GuestBook(
        access, is_live=lambda _: True, is_connected=lambda _preview, _guest: connected, on_drop=dropped.append
    )
    return book, access


def test_a_guest_who_makes_space_is_cut_off() -> None:
    dropped: list[Guest] = []
    book, access = new_book(dropped)
    share = access.new_share("preview_1", 60, Role.WATCH)
    first, secret = book.admit(share, "preview_1", "")
    for _ in range(MOST_GUESTS - 1):
        book.admit(share, "preview_1", "")
    assert dropped == []
    book.admit(share, "preview_1", "")
    assert dropped == [first]
    assert book.find("preview_1", secret) is None


def test_guests_with_the_page_open_are_not_dropped() -> None:
    dropped: list[Guest] = []
    book, access = new_book(dropped, connected=True)
    share = access.new_share("preview_1", 60, Role.WATCH)
    for _ in range(MOST_GUESTS):
        book.admit(share, "preview_1", "")
    with pytest.raises(GuestLimitReached):
        book.admit(share, "preview_1", "")
    assert dropped == []


def test_all_guests_of_a_preview_together_have_a_bound_of_streams() -> None:
    slots = StreamSlots(2)
    book, access = new_book([])
    share = access.new_share("preview_1", 60, Role.USE)
    with ExitStack() as held:
        for _ in range(10):
            guest, _ = book.admit(share, "preview_1", "")
            for _ in range(2):
                held.enter_context(slots.hold(Identity.of_guest(guest, "ann").key))
        late, _ = book.admit(share, "preview_1", "")
        with pytest.raises(TooManyStreams), slots.hold(Identity.of_guest(late, "ann").key):
            pass
        # Neither the owner nor the guests of another preview notice it.
        other, _ = book.admit(access.new_share("preview_2", 60, Role.USE), "preview_2", "")
        with slots.hold("ann"), slots.hold(Identity.of_guest(other, "ann").key):
            assert slots.total == 22
    assert slots.total == 0
    with slots.hold(Identity.of_guest(late, "ann").key):
        assert slots.total == 1


@pytest.mark.parametrize("given", ["a\0b", "", "x" * 200, "../x", "\ud800"])
async def test_what_is_no_id_never_reaches_the_database(given: str) -> None:
    # PostgreSQL refuses NUL in a text, which would be an internal error.
    nothing = cast("Database", None)
    with pytest.raises(CommentNotFound):
        await Comments(nothing).get("preview_1", given)
    with pytest.raises(ApiTokenNotFound):
        await ApiTokens(nothing, lambda _: None).revoke("ann", given)
