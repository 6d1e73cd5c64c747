"""First messages of strangers: whatever the bytes, the rewritten one names the preview's own user and database."""

from __future__ import annotations

import hashlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.backing.wire import mysql as wire_mysql
from preview.backing.wire import postgresql as wire_postgresql
from preview.backing.wire import redis as wire_redis
from preview.backing.wire.mysql import Answer, NotMysql
from preview.backing.wire.postgresql import NotPostgresql

OWN, PASSWORD = "pv_one_1", "secret"
SALT = bytes(range(1, 21))
# As MariaDB 10.11 sends it, with every capability.
GREETING = (
    b"\x0a5.5.5-10.11.11-MariaDB\0" + b"\x07\0\0\0" + SALT[:8] + b"\0" + b"\xff\xff\x2d\x02\0\xff\xff\x15"
    + bytes(6) + b"\x1f\0\0\0" + SALT[8:] + b"\0mysql_native_password\0"
)  # fmt: skip
# A driver's answer: joe, a proof of 20 bytes, shop, the plugin, one attribute.
LOGIN = (
    (0x200 | 0x8 | 0x8000 | 0x80000 | 0x100000 | 0x20 | 1 << 26).to_bytes(4, "little") + bytes(28)
    + b"joe\0\x14" + b"p" * 20 + b"shop\0mysql_native_password\0\x05\x01a\x02bc"
)  # fmt: skip

words = st.binary(max_size=40).filter(lambda one: b"\0" not in one)
messages = st.one_of(st.binary(max_size=400), st.lists(words, max_size=9).map(lambda many: b"\0".join(many) + b"\0\0"))


def pairs(body: bytes) -> list[tuple[bytes, bytes]]:
    found = body.split(b"\0")
    return list(zip(found[:-2:2], found[1:-2:2], strict=True))


@given(messages, st.one_of(st.just(3 << 16), st.integers(0, 2**32 - 1)))
def test_postgresql_always_names_the_previews_own(body: bytes, code: int) -> None:
    try:
        rewritten = wire_postgresql.rewrite_startup(code, body, OWN)
    except NotPostgresql:
        return
    size, same = struct.unpack("!II", rewritten[:8])
    assert (size, same) == (len(rewritten), code)
    found = pairs(rewritten[8:])
    assert [value for key, value in found if key in (b"user", b"database")] == [OWN.encode()] * 2
    assert b"replication" not in dict(found)
    assert b"" not in [key for key, _ in found]


@given(st.binary(min_size=8, max_size=8))
def test_postgresql_reads_bounded_messages_only(head: bytes) -> None:
    try:
        left, _ = wire_postgresql.read_head(head)
    except NotPostgresql:
        return
    assert 0 <= left <= wire_postgresql.MOST_BYTES


def parse_login(content: bytes) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """A login as the server reads it: user, proof, database, plugin, attributes."""
    user, _, rest = content[32:].partition(b"\0")
    proof, rest = rest[1 : 1 + rest[0]], rest[1 + rest[0] :]
    database, _, rest = rest.partition(b"\0")
    plugin, _, attributes = rest.partition(b"\0")
    return user, proof, database, plugin, attributes


@st.composite
def answers(draw: st.DrawFn) -> bytes:
    """Answers that are near to right ones."""
    capabilities = draw(st.integers(0, 2**32 - 1)) | 0x200
    fields = b"".join(draw(st.lists(st.one_of(words.map(lambda one: one + b"\0"), st.binary(max_size=30)), max_size=6)))
    return (capabilities & ~0x800).to_bytes(4, "little") + draw(st.binary(min_size=28, max_size=28)) + fields


@given(st.one_of(st.binary(max_size=300), answers(), st.integers(0, len(LOGIN)).map(lambda end: LOGIN[:end])))
def test_mysql_always_names_the_previews_own(content: bytes) -> None:
    try:
        answer = wire_mysql.read_answer(content)
    except NotMysql:
        return
    login = wire_mysql.log_in(answer, SALT, OWN, PASSWORD, "shop")
    user, proof, database, plugin, attributes = parse_login(login)
    assert (user, database, plugin) == (OWN.encode(), b"shop", b"mysql_native_password")
    assert proof == wire_mysql.prove(PASSWORD, SALT)
    assert attributes == answer.attributes
    capabilities = int.from_bytes(login[:4], "little")
    # With the database, a proof with its length and the plugin's name; neither encryption nor compression.
    assert capabilities & 0x88208 == 0x88208
    assert not capabilities & (0x800 | 0x20 | 1 << 26)
    assert bool(capabilities & 0x100000) == bool(attributes)
    assert login[4:32] == content[4:32]


def test_mysql_reads_a_drivers_answer() -> None:
    found = wire_mysql.read_answer(LOGIN)
    assert (found.plugin, found.attributes) == (b"mysql_native_password", b"\x05\x01a\x02bc")
    assert found.database == b"shop"


@given(st.one_of(st.binary(max_size=200), st.integers(0, len(GREETING)).map(lambda end: GREETING[:end])))
def test_a_mysql_greeting_of_any_bytes_is_read_or_refused(content: bytes) -> None:
    try:
        found = wire_mysql.read_greeting(content)
    except NotMysql:
        return
    assert len(found.salt) == 20
    assert len(found.shown) == len(content)


@given(st.binary(max_size=200))
def test_a_mysql_greeting_offers_encryption_or_is_refused(content: bytes) -> None:
    try:
        offering = wire_mysql.with_tls(content)
    except wire_mysql.NotMysql:
        return
    assert len(offering) == len(content)
    assert wire_mysql.read_greeting(offering).offers_tls


@given(st.binary(max_size=100))
def test_any_first_bytes_ask_a_mysql_for_encryption_or_do_not(first: bytes) -> None:
    assert not wire_mysql.asks_for_tls(first) or len(first) >= wire_mysql.TLS_REQUEST_BYTES


def test_a_mysql_greeting_is_shown_without_encryption_and_compression() -> None:
    found = wire_mysql.read_greeting(GREETING)
    assert found.salt == SALT
    at = GREETING.index(b"\xff\xff\x2d")
    low, high = found.shown[at : at + 2], found.shown[at + 5 : at + 7]
    assert int.from_bytes(low + high, "little") == 0xFFFFFFFF & ~(0x800 | 0x20 | 1 << 26)
    assert found.shown[:at] == GREETING[:at]
    assert found.shown[at + 7 :] == GREETING[at + 7 :]


@given(st.binary(min_size=4, max_size=4))
def test_mysql_reads_bounded_packets_only(head: bytes) -> None:
    try:
        size, sequence = wire_mysql.read_head(head)
    except NotMysql:
        return
    assert 0 < size <= wire_mysql.MOST_BYTES
    assert sequence == head[3]


def test_a_mysql_password_is_proved_as_the_server_checks_it() -> None:
    # The server keeps SHA1(SHA1(password)), and finds SHA1(password) with it (MySQL's internals manual).
    kept = bytes.fromhex(wire_mysql.hash_password(PASSWORD)[1:])
    mask = hashlib.sha1(SALT + kept).digest()
    once = bytes(one ^ other for one, other in zip(wire_mysql.prove(PASSWORD, SALT), mask, strict=True))
    assert hashlib.sha1(once).digest() == kept


def test_mysql_without_attributes_announces_none() -> None:
    login = wire_mysql.log_in(Answer(0x100200, bytes(28), None, b""), SALT, OWN, PASSWORD, OWN)
    assert not int.from_bytes(login[:4], "little") & 0x100000


commands = st.lists(
    st.one_of(
        st.sampled_from([b"AUTH", b"auth", b"HELLO", b"3", b"SETNAME", b"GET", b"default"]), st.binary(max_size=20)
    ),
    min_size=1,
    max_size=8,
)


@given(st.binary(max_size=300))
def test_redis_passes_on_whatever_is_no_login(data: bytes) -> None:
    rewritten, rest = wire_redis.rewrite_logins(data)
    if b"AUTH" not in data.upper():
        assert rewritten + rest == data


@given(st.lists(commands, max_size=4), st.binary(max_size=30))
def test_redis_names_the_user_in_leading_logins_and_changes_nothing_else(many: list[list[bytes]], rest: bytes) -> None:
    data = b"".join(map(wire_redis.encode, many)) + rest
    whole, left = wire_redis.rewrite_logins(data)
    if left:
        return
    if many and many[0][0].upper() == b"AUTH" and len(many[0]) in (2, 3):
        assert whole.startswith(wire_redis.encode([many[0][0], b"default", many[0][-1]]))
    elif many and many[0][0].upper() not in (b"AUTH", b"HELLO"):
        assert whole == data


@given(st.integers(0, 200), st.binary(max_size=40))
def test_redis_asks_for_more_only_within_bounds(end: int, filler: bytes) -> None:
    cut = (wire_redis.encode([b"AUTH", b"joe", b"x" * 120]) + filler)[:end]
    flood = cut + b"a" * wire_redis.MOST_BYTES + b"a"
    assert wire_redis.rewrite_logins(flood)[1] == b""


@pytest.mark.parametrize(
    ("given_words", "expected"),
    [
        ("AUTH secret", "AUTH default secret"),
        ("AUTH joe secret", "AUTH default secret"),
        ("HELLO 3 AUTH joe secret", "HELLO 3 AUTH default secret"),
        ("HELLO 3 SETNAME auth AUTH joe secret", "HELLO 3 SETNAME auth AUTH default secret"),
        ("HELLO 3 AUTH joe secret SETNAME worker", "HELLO 3 AUTH default secret SETNAME worker"),
        ("HELLO 3", "HELLO 3"),
        ("HELLO", "HELLO"),
        ("AUTH", "AUTH"),
    ],
)
def test_redis_logins_in_all_their_forms(given_words: str, expected: str) -> None:
    def encoded(text: str) -> bytes:
        return wire_redis.encode([one.encode() for one in text.split()])

    after = encoded("SET a b")
    assert wire_redis.rewrite_logins(encoded(given_words) + after) == (encoded(expected) + after, b"")
    # Cut anywhere, it is waited for; what stands before it is not read again.
    for end in range(1, len(encoded(given_words))):
        cut = encoded(given_words)[:end]
        assert wire_redis.rewrite_logins(encoded("AUTH x") + cut) == (encoded("AUTH default x"), cut)


@given(st.text(max_size=1000))
def test_refusals_are_one_whole_message(sentence: str) -> None:
    postgresql, mysql = wire_postgresql.refusal(sentence), wire_mysql.refusal(sentence)
    assert int.from_bytes(postgresql[1:5]) == len(postgresql) - 1
    assert int.from_bytes(mysql[:3], "little") == len(mysql) - 4
    redis = wire_redis.refusal(sentence)
    assert redis.startswith(b"-ERR ")
    assert redis.index(b"\r\n") == len(redis) - 2
