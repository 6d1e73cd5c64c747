from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.auth import AccessBook, OpenLink
from preview.auth.access import Grant
from preview.errors import ShareLimitReached, Unauthenticated

ONE, TWO = "preview_one", "preview_two"


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def make(secret: str | None = "s" * 40, *, live: bool = True, clock: Clock | None = None) -> AccessBook:
    return AccessBook(secret, open_ttl_s=60, max_shares=2, is_live=lambda _: live, clock=clock or Clock())


def check_cookie(book: AccessBook, preview_id: str, value: str) -> Grant | None:
    """What a cookie gives for a preview now."""
    statement = book.read_cookie(preview_id, value)
    return statement.grant if statement is not None and book.holds(statement) else None


def test_an_owner_s_cookie_is_good_for_its_preview_and_its_time() -> None:
    clock = Clock()
    book = make(clock=clock)
    value, ttl_s = book.owner_cookie(ONE, 100)
    grant = check_cookie(book, ONE, value)
    assert grant is not None
    assert grant.is_owner
    assert ttl_s == 100
    assert check_cookie(book, TWO, value) is None
    clock.now += 100
    assert check_cookie(book, ONE, value) is None


def test_a_key_that_is_made_from_a_secret_outlives_the_process_and_another_does_not() -> None:
    value, _ = make().owner_cookie(ONE, 100)
    assert check_cookie(make(), ONE, value) is not None
    assert check_cookie(make("t" * 40), ONE, value) is None
    assert check_cookie(make(None), ONE, make(None).owner_cookie(ONE, 100)[0]) is None


@given(st.text(max_size=200))
def test_nothing_that_was_made_up_gives_access(value: str) -> None:
    book = make()
    assert check_cookie(book, ONE, value) is None
    with pytest.raises(Unauthenticated):
        book.redeem_share(value, ONE)
    with pytest.raises(Unauthenticated):
        book.redeem_link(value, ONE)


def test_a_share_s_token_is_no_cookie_and_its_cookie_no_owner_s() -> None:
    book = make()
    share = book.new_share(ONE, 50)
    assert check_cookie(book, ONE, book.share_token(ONE, share)) is None
    value, _ = book.share_cookie(ONE, share)
    grant = check_cookie(book, ONE, value)
    assert grant is not None
    assert not grant.is_owner
    assert check_cookie(book, ONE, value.replace("share.", "owner.", 1)) is None


def test_a_share_ends_with_its_time_and_makes_room() -> None:
    clock = Clock()
    book = make(clock=clock)
    first, _ = book.new_share(ONE, 50), book.new_share(ONE, 60)
    with pytest.raises(ShareLimitReached):
        book.new_share(ONE, 50)
    token = book.share_token(ONE, first)
    assert book.redeem_share(token, ONE) is first
    with pytest.raises(Unauthenticated):
        book.redeem_share(token, TWO)
    clock.now += 50
    with pytest.raises(Unauthenticated):
        book.redeem_share(token, ONE)
    assert book.new_share(ONE, 50) in book.shares(ONE)


def test_a_link_to_open_is_for_one_preview_and_used_up_by_any_try() -> None:
    book = make()
    code = book.new_link("ann", OpenLink(ONE, "/"))
    with pytest.raises(Unauthenticated):
        book.redeem_link(code, TWO)
    with pytest.raises(Unauthenticated):
        book.redeem_link(code, ONE)


def test_what_is_kept_of_previews_that_are_over_is_bounded() -> None:
    book = make(live=False)
    for number in range(1200):
        book.set_public(f"preview_{number}", True)
    assert len(book._entries) <= 1001
    assert book.of("preview_1199").public
