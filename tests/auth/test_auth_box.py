from __future__ import annotations

from datetime import timedelta

import pytest
from auth_provider import Clock, unhurried
from hypothesis import given
from hypothesis import strategies as st

from preview.auth import Identity, LoginCodes, TicketBox
from preview.auth.box import CodeBox
from preview.core.clock import utc_now
from preview.errors import Unauthenticated
from preview.user import User


def identity(name: str = "anna", lives_s: float = 3600) -> Identity:
    return Identity(User(name, "pro"), utc_now() + timedelta(seconds=lives_s))


def box(clock: Clock | None = None, *, max_per_owner: int = 3, max_total: int = 5) -> CodeBox[str]:
    return CodeBox(60, max_per_owner=max_per_owner, max_total=max_total, clock=clock or Clock())


def test_a_ticket_gives_user_and_preview_again_and_again_while_it_lives() -> None:
    tickets, anna = TicketBox(60), identity()
    ticket = tickets.issue(anna, "preview_1")
    assert tickets.redeem(ticket) == (anna, "preview_1")
    assert tickets.redeem(ticket) == (anna, "preview_1")


def test_a_ticket_ends_after_its_time() -> None:
    clock = Clock()
    tickets = TicketBox(60, clock=clock)
    ticket = tickets.issue(identity(), "preview_1")
    clock.now += 59.9
    tickets.redeem(ticket)
    clock.now += 0.1
    with pytest.raises(Unauthenticated, match="stream ticket") as caught:
        tickets.redeem(ticket)
    assert caught.value.details == {"reason": "ticket"}


def test_a_ticket_does_not_outlive_the_token_it_was_made_with() -> None:
    tickets = TicketBox(60)
    ticket = tickets.issue(identity(lives_s=-1), "preview_1")
    with pytest.raises(Unauthenticated):
        tickets.redeem(ticket)


def test_a_login_code_works_once() -> None:
    codes = LoginCodes()
    code = codes.issue(User("anna", "pro"))
    assert codes.redeem(code) == User("anna", "pro")
    with pytest.raises(Unauthenticated, match="sign-in link") as caught:
        codes.redeem(code)
    assert caught.value.details == {"reason": "login_code"}


def test_a_login_code_ends_after_its_time() -> None:
    clock = Clock()
    codes = LoginCodes(clock=clock)
    code = codes.issue(User("anna"))
    clock.now += 600
    with pytest.raises(Unauthenticated):
        codes.redeem(code)


def test_a_ticket_is_no_login_code_and_the_reverse() -> None:
    tickets, codes = TicketBox(60), LoginCodes()
    ticket, code = tickets.issue(identity(), "preview_1"), codes.issue(User("anna"))
    with pytest.raises(Unauthenticated):
        codes.redeem(ticket)
    with pytest.raises(Unauthenticated):
        tickets.redeem(code)


@unhurried
@given(st.one_of(st.text(max_size=200), st.sampled_from(["", "a" * 10_000, "\udc80", "é" * 43])))
def test_an_invented_code_is_refused_whatever_it_is(code: str) -> None:
    tickets = TicketBox(60)
    tickets.issue(identity(), "preview_1")
    with pytest.raises(Unauthenticated):
        tickets.redeem(code)


def test_one_owner_drops_only_their_own_oldest() -> None:
    codes = box()
    other = codes.put("ben", "ben's")
    mine = [codes.put("anna", str(number)) for number in range(4)]
    assert [codes.get(code) for code in mine] == [None, "1", "2", "3"]
    assert codes.get(other) == "ben's"


def test_an_owner_who_may_have_one_has_the_newest() -> None:
    codes = box(max_per_owner=1)
    first, second = codes.put("anna", "1"), codes.put("anna", "2")
    assert (codes.get(first), codes.get(second)) == (None, "2")


def test_the_whole_is_bounded_and_the_oldest_goes() -> None:
    codes = box(max_total=2)
    made = [codes.put(owner, owner) for owner in "abc"]
    assert [codes.get(code) for code in made] == [None, "b", "c"]
    assert len(codes) == 2


def test_expired_values_leave_nothing_behind() -> None:
    clock = Clock()
    codes = box(clock)
    for owner in "abc":
        codes.put(owner, owner)
    clock.now += 60
    assert len(codes) == 0
    assert (codes._entries, codes._owned) == ({}, {})


def test_the_memory_holds_no_code() -> None:
    codes = box()
    code = codes.put("anna", "value")
    assert code not in repr(codes._entries) + repr(codes._owned)


@unhurried
@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["put", "pop", "wait"])), max_size=60))
def test_bounds_hold_and_owners_agree_with_entries_whatever_is_done(steps: list[tuple[str, str]]) -> None:
    clock = Clock()
    codes = box(clock)
    made: list[str] = []
    for owner, step in steps:
        if step == "put":
            made.append(codes.put(owner, owner))
        elif step == "pop" and made:
            codes.pop(made.pop())
        else:
            clock.now += 25
        assert len(codes) <= 5
        owned = [hashed for ones in codes._owned.values() for hashed in ones]
        assert sorted(owned) == sorted(codes._entries)
        assert all(0 < len(ones) <= 3 for ones in codes._owned.values())
