"""Secrets and ids of new answers reach the later requests of a sequence; the originals are bounded."""

from __future__ import annotations

import json
from typing import Any

from preview.replay.comparing import Answer
from preview.replay.sending import Credentials
from preview.traffic import Draft, DraftMessage, Origin, Who
from preview.traffic.originals import MOST_BYTES, MOST_ORIGINALS, Originals
from preview.traffic.ready import ReadyRequest

MARK, OTHER = "[redacted:1a2b3c4d]", "[redacted:ffffffff]"


def answer(value: Any, **headers: str) -> Answer:
    fields = tuple((name.replace("_", "-"), text) for name, text in headers.items())
    return Answer(200, (("content-type", "application/json"), *fields), json.dumps(value).encode())


def test_a_mark_becomes_the_value_that_the_new_answer_has_in_its_place() -> None:
    known = Credentials()
    login = ReadyRequest("POST", "/login")
    known.learn(login, answer({"data": {"access_token": MARK}}), answer({"data": {"access_token": 'new"token'}}))
    request = ReadyRequest(
        "POST",
        f"/x?key=%5Bredacted%3A1a2b3c4d%5D&other={OTHER}",
        (("Authorization", f"Bearer {MARK}"), ("X-Key", MARK), ("Content-Type", "application/json")),
        json.dumps({"token": MARK, "other": OTHER}).encode(),
    )
    filled = known.fill(request)
    assert filled.target == f"/x?key=new%22token&other={OTHER}"
    assert filled.headers[:2] == (("Authorization", 'Bearer new"token'), ("X-Key", 'new"token'))
    assert json.loads(filled.body or b"") == {"token": 'new"token', "other": OTHER}
    assert filled.has_secrets


def test_a_bearer_token_of_unknown_origin_is_the_newest_token() -> None:
    known = Credentials()
    request = ReadyRequest("GET", "/", (("Authorization", f"Token {OTHER}"),))
    assert known.fill(request) == request
    known.learn(ReadyRequest("POST", "/login"), None, answer({"token": "fresh-token"}))
    assert known.fill(request).header("authorization") == "Token fresh-token"
    basic = ReadyRequest("GET", "/", (("Authorization", f"Basic {OTHER}"),))
    assert known.fill(basic) == basic


def test_cookies_and_their_csrf_tokens_are_those_of_the_new_answers() -> None:
    known = Credentials()
    known.learn(ReadyRequest("GET", "/"), None, answer({}, Set_Cookie="csrftoken=abc; Path=/; Secure"))
    request = ReadyRequest("POST", "/", (("Cookie", f"csrftoken={MARK}; theme=dark"), ("X-CSRFToken", MARK)))
    filled = known.fill(request)
    assert filled.headers == (("Cookie", "csrftoken=abc; theme=dark"), ("X-CSRFToken", "abc"))
    assert known.fill(ReadyRequest("GET", "/")).headers == (("Cookie", "csrftoken=abc"),)


def test_ids_of_things_that_were_made_again_are_mapped_and_other_numbers_stay() -> None:
    known = Credentials()
    known.learn(ReadyRequest("POST", "/books"), answer({"id": 7, "pages": 7}), answer({"id": 8, "pages": 9}))
    request = ReadyRequest("PUT", "/books/7/pages/70?book=7&n=77", (), b'{"pages": 7}')
    assert known.fill(request) == ReadyRequest("PUT", "/books/8/pages/70?book=8&n=77", (), b'{"pages": 7}')


def test_values_of_the_caller_take_the_place_of_marks_by_name() -> None:
    known = Credentials({"password": 'p"w', "x-api-key": "key", "sid": "s"})
    body = json.dumps({"user": "ann", "password": MARK}).encode()
    filled = known.fill(ReadyRequest("POST", "/", (("X-Api-Key", MARK), ("Cookie", f"sid={MARK}")), body))
    assert json.loads(filled.body or b"") == {"user": "ann", "password": 'p"w'}
    assert filled.headers == (("X-Api-Key", "key"), ("Cookie", "sid=s"))
    form = ReadyRequest(
        "POST", "/", (("Content-Type", "application/x-www-form-urlencoded"),), b"a=1&password=" + MARK.encode()
    )
    assert known.fill(form).body == b"a=1&password=p%22w"
    # A value that is there is not replaced.
    given = ReadyRequest("POST", "/", (), b'{"password": "mine"}')
    assert known.fill(given) == given


def draft(number: int, *, who: Who = Who.OWNER, size: int = 10, cut: bool = False) -> Draft:
    message = DraftMessage([(b"a", b"b")], b"x" * size, size + cut)
    return Draft(
        b"id", Origin.CALL, who, "POST", b"/%d" % number, 200, None, 0, 0.0, 0.0, 0.0, 0.0, size, 0, 0, 1, message, None
    )


def test_only_the_owners_newest_requests_are_kept_and_within_bounds() -> None:
    kept = Originals()
    for number in range(1, MOST_ORIGINALS + 2):
        kept.note(number, draft(number))
    assert kept.find(1) is None
    assert kept.find(2) == ReadyRequest("POST", "/2", (("a", "b"),), b"x" * 10)
    kept.note(900, draft(900, who=Who.VIEWER))
    kept.note(901, draft(901, cut=True))
    kept.note(902, draft(902, size=MOST_BYTES))
    assert [kept.find(number) for number in (900, 901, 902)] == [None] * 3
    for number in range(1000, 1040):
        kept.note(number, draft(number, size=60_000))
    assert sum(kept.find(number) is not None for number in range(1100)) == MOST_BYTES // 61_620
