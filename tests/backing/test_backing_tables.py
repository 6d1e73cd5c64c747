"""Tables of previews' databases, and statements that only read: the database is hostile, and so is the server."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import trio
from backing_kit import Driver, Host, Preview

from preview.backing.admin.mysql_link import linked
from preview.backing.contents import mysql_tables, postgresql_tables
from preview.backing.contents.mysql_tables import MysqlTables
from preview.backing.contents.postgresql_tables import PostgresqlTables
from preview.backing.interface import Column, QueryResult
from preview.backing.wire.mysql import frame
from preview.errors import DataUnavailable, QueryRefused

shared = pytest.mark.parametrize("host", ["postgresql", "mysql"], indirect=True)


@pytest.fixture
def preview(host: Host) -> Iterator[Preview]:
    with host.open("one-1") as found:
        yield found


def ask(preview: Preview, statement: str, most_rows: int = 10) -> QueryResult:
    return preview.host.run(partial(preview.database.query, statement, most_rows=most_rows))


def read(preview: Preview, name: str, offset: int = 0, limit: int = 10) -> QueryResult:
    return preview.host.run(partial(preview.database.read_table, name, offset=offset, limit=limit))


def counts(driver: Driver, connection: Any) -> str:
    return str(list(driver.run(connection, "SELECT count(*) FROM kept")))


ODD = "a\"b`c'd\n; DROP TABLE kept; -- .x\N{SNOWMAN}"


@shared
def test_tables_are_listed_and_read_by_pages_whatever_their_names(preview: Preview, driver: Driver) -> None:
    connection = preview.connect()
    mark = {"postgresql": '"', "mysql": "`"}[driver.kind]
    quoted = mark + ODD.replace(mark, 2 * mark) + mark
    driver.run(connection, f"CREATE TABLE {quoted} (n int, key2 int PRIMARY KEY, said text)")
    for number in (2, 3, 1):
        said = {1: "NULL", 2: "''", 3: "'ü'"}[number]
        driver.run(connection, f"INSERT INTO {quoted} VALUES ({10 - number}, {number}, {said})")
    driver.run(connection, f"CREATE VIEW seen AS SELECT n FROM {quoted}")
    driver.store(connection, "large", 30_000)
    if driver.kind == "mysql":
        # The server notices a table's size by itself, but not at once.
        list(driver.run(connection, "ANALYZE TABLE large"))
    found = {table.name: table for table in preview.host.run(preview.database.list_tables)}
    odd, large, seen = found
    assert [large, seen] == (["public.large", "public.seen"] if driver.kind == "postgresql" else ["large", "seen"])
    assert odd.removeprefix("public.") == (ODD if driver.kind == "mysql" else quoted)
    assert found[odd].rows == 3
    assert found[seen].rows is None
    # PostgreSQL's estimate comes within some seconds.
    assert 25_000 < (found[large].rows or 30_000) < 35_000
    assert (found[large].size_bytes or 0) > 1_000_000
    # In the order of the key.
    kinds = ("integer", "text") if driver.kind == "postgresql" else ("int", "text")
    columns = (Column("n", kinds[0]), Column("key2", kinds[0]), Column("said", kinds[1]))
    assert read(preview, odd, 0, 2) == QueryResult(
        columns, (("9", "1", None), ("8", "2", "")), is_cut=True, has_more=True
    )
    assert read(preview, odd, 2, 2) == QueryResult(columns, (("7", "3", "ü"),))
    assert read(preview, odd, 3, 2) == QueryResult(columns)
    assert len(read(preview, seen).rows) == 3
    for name in ("kept", "", "x; DROP TABLE large", "pg_catalog", "\0", "\ud800", "a" * 10_000):
        with pytest.raises(DataUnavailable):
            read(preview, name)


@shared
def test_before_the_first_connection_there_is_nothing(preview: Preview) -> None:
    assert preview.host.run(preview.database.list_tables) == []
    with pytest.raises(DataUnavailable, match="has stored nothing in"):
        ask(preview, "SELECT 1")


WRITES = {
    "postgresql": (
        "DELETE FROM kept",
        "COMMIT; DELETE FROM kept",
        "SELECT 1; DELETE FROM kept",
        "COMMIT",
        "DO $$ BEGIN COMMIT; DELETE FROM kept; COMMIT; END $$",
        "DO $$ BEGIN SET default_transaction_read_only = off; COMMIT; DELETE FROM kept; END $$",
        "DO $$ BEGIN SET TRANSACTION READ WRITE; DELETE FROM kept; END $$",
        "CALL wipe()",
        "SELECT wiped()",
        "SELECT * FROM wipes",
        "SET TRANSACTION READ WRITE",
        "WITH gone AS (DELETE FROM kept RETURNING 1) SELECT * FROM gone",
        "EXPLAIN ANALYZE DELETE FROM kept",
        "TRUNCATE kept",
        "SELECT set_config('transaction_read_only', 'off', false), wiped()",
        "SELECT lo_from_bytea(0, 'x')",
        "SELECT nextval('numbers')",
        "COPY kept FROM STDIN",
        "COPY kept TO STDOUT",
        "CREATE TABLE other (n int)",
        "PREPARE TRANSACTION 'x'",
    ),
    "mysql": (
        "DELETE FROM kept",
        "COMMIT; DELETE FROM kept",
        "SELECT 1; DELETE FROM kept",
        "BEGIN NOT ATOMIC COMMIT; DELETE FROM kept; END",
        "/*! BEGIN NOT ATOMIC COMMIT; DELETE FROM kept; END */",
        "/*M! BEGIN NOT ATOMIC COMMIT; DELETE FROM kept; END */",
        "/* SELECT */ BEGIN NOT ATOMIC COMMIT; DELETE FROM kept; END",
        "-- x\nDELETE FROM kept",
        "--\u00a0x\nDELETE FROM kept",
        "# SELECT\nDELETE FROM kept",
        "CALL wipe()",
        "SELECT wiped()",
        "SELECT * FROM wipes",
        "SET STATEMENT tx_read_only = 0 FOR DELETE FROM kept",
        "EXECUTE IMMEDIATE 'DELETE FROM kept'",
        "ANALYZE DELETE FROM kept",
        "EXPLAIN DELETE FROM kept",
        "WITH a AS (SELECT 1) DELETE FROM kept",
        "TRUNCATE kept",
        "DROP TABLE kept",
        "SELECT NEXT VALUE FOR numbers",
        "SELECT 1 INTO OUTFILE '/tmp/x'",
        "LOAD DATA LOCAL INFILE '/etc/passwd' INTO TABLE kept",
        "KILL USER CURRENT_USER",
    ),
}
MAKE = {
    "postgresql": (
        "CREATE SEQUENCE numbers",
        "CREATE PROCEDURE wipe() LANGUAGE plpgsql AS $$ BEGIN COMMIT; DELETE FROM kept; END $$",
        "CREATE FUNCTION wiped() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DELETE FROM kept; RETURN 1; END $$",
        "CREATE VIEW wipes AS SELECT wiped()",
    ),
    "mysql": (
        "CREATE SEQUENCE numbers",
        "CREATE PROCEDURE wipe() BEGIN COMMIT; DELETE FROM kept; COMMIT; END",
        "CREATE FUNCTION wiped() RETURNS int BEGIN DELETE FROM kept; RETURN 1; END",
        "CREATE VIEW wipes AS SELECT wiped()",
    ),
}


@shared
def test_no_statement_writes(preview: Preview, driver: Driver) -> None:
    connection = preview.connect()
    driver.store(connection, "kept", 50)
    for statement in MAKE[driver.kind]:
        driver.run(connection, statement)
    before, names = counts(driver, connection), preview.host.run(preview.database.list_tables)
    for statement in WRITES[driver.kind]:
        with suppress(QueryRefused):
            ask(preview, statement)
        assert counts(driver, connection) == before, statement
    assert preview.host.run(preview.database.list_tables) == names
    assert ask(preview, "(SELECT 1) -- ü").rows == (("1",),)


@shared
def test_a_refusal_is_a_sentence_of_the_database(preview: Preview) -> None:
    preview.connect()
    for statement, said in (
        ("SELECT * FROM missing", r"(?i)missing.* does(n't| not) exist"),
        ("SELECT", "syntax|^$") if preview.driver.kind == "mysql" else ("SELEC", 'syntax error at or near "SELEC"'),
        ("SELECT '\n\x1b[31m\0' FROM \ud800", "."),
        ("SELECT " + "1 + " * 100_000 + "1", "longer than 64 KiB"),
    ):
        with pytest.raises(QueryRefused, match=said) as caught:
            ask(preview, statement)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 300


LARGE = {
    "postgresql": (
        "SELECT n, repeat('ü', 500000) FROM generate_series(1, 1000) n",
        "SELECT n FROM generate_series(1, 5) n",
    ),
    "mysql": ("SELECT seq, repeat('ü', 500000) FROM seq_1_to_1000", "SELECT seq FROM seq_1_to_5"),
}


@shared
def test_an_answer_of_a_gigabyte_is_cut(preview: Preview, driver: Driver) -> None:
    preview.connect()
    gigabyte, small = LARGE[driver.kind]
    started = time.monotonic()
    found = ask(preview, gigabyte, 1000)
    assert time.monotonic() - started < 5
    assert found.is_cut
    # Each has a megabyte, and 32 MiB are read.
    assert 1 <= len(found.rows) <= 33
    value = found.rows[0][1]
    assert value is not None
    assert value == "ü" * 1024 + "…"
    assert [len(ask(preview, small, most).rows) for most in (5, 4)] == [5, 4]
    assert [ask(preview, small, most).is_cut for most in (5, 4)] == [False, True]
    # Many rows, and many columns.
    found = ask(preview, gigabyte.replace("500000", "1500"), 100_000)
    assert found.is_cut
    assert sum(len((value or "").encode()) for row in found.rows for value in row) < 1 << 20
    columns = ", ".join("repeat('x', 3000)" for _ in range(600))
    with pytest.raises(DataUnavailable, match="ask for fewer columns"):
        ask(preview, f"SELECT {columns}")


SLEEPS = {"postgresql": "pg_sleep(30)::text", "mysql": "SLEEP(30)"}


@shared
def test_a_view_that_sleeps_is_given_up(preview: Preview, driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    options, first = postgresql_tables._OPTIONS, mysql_tables._FIRST
    monkeypatch.setattr(
        postgresql_tables, "_OPTIONS", options.replace("statement_timeout=10s", "statement_timeout=500ms")
    )
    monkeypatch.setattr(mysql_tables, "_FIRST", first.replace("max_statement_time = 10", "max_statement_time = 0.5"))
    connection = preview.connect()
    driver.run(connection, f"CREATE VIEW slow AS SELECT 1 AS n, {SLEEPS[driver.kind]} AS s")
    started = time.monotonic()
    assert len(preview.host.run(preview.database.list_tables)) == 1
    for function in (partial(read, preview, "public.slow"), partial(read, preview, "slow")):
        with suppress(DataUnavailable):
            assert function().rows in ((("1", "1"),), ())
    assert time.monotonic() - started < 4


def message(kind: bytes, body: bytes = b"", size: int | None = None) -> bytes:
    return kind + (4 + len(body) if size is None else size).to_bytes(4) + body


READY = message(b"Z", b"I")
LOGGED_IN = message(b"R", bytes(4)) + READY
STARTED = message(b"C", b"BEGIN\0") + READY
ONE = b"\0\1" + b"a\0" + bytes(6) + (23).to_bytes(4) + b"\0\4" + b"\xff" * 4 + b"\0\0"
PREPARED = message(b"1") + message(b"T", ONE) + READY
TYPES = message(b"D", b"\0\1\0\0\0\1x") + READY
ROW = message(b"D", b"\0\1\0\0\0\1x")
FIRST = [LOGGED_IN, STARTED, PREPARED, TYPES]


@pytest.mark.parametrize(
    "answers",
    [
        [],
        [b"garbage" * 1000],
        [message(b"R", b"\0\0\0\x0a")],
        [LOGGED_IN, STARTED, message(b"T", b"\xff\xff" + b"a" * 100) + READY],
        [LOGGED_IN, STARTED, message(b"T", ONE, 2**31)],
        [LOGGED_IN, STARTED, message(b"1") * 500_000],
        [*FIRST, message(b"D", b"\xff\xff", 6)],
        [*FIRST, message(b"D", b"\0\1\x7f\xff\xff\xff", 10)],
        [*FIRST, message(b"D", b"\0\1", 2**32 - 1) + bytes(10_000_000)],
        [*FIRST, message(b"D", b"", 3)],
        [*FIRST, ROW],
        [*FIRST, message(b"N", b"x" * 1000) * 40_000],
    ],
    ids=[
        *("end", "garbage", "login", "columns", "huge columns", "endless", "values", "cut off", "huge", "short"),
        *("no end", "notices"),
    ],
)
async def test_garbage_of_a_postgresql_server_is_one_sentence(
    answers: list[bytes], autojump_clock: trio.testing.MockClock
) -> None:
    async with trio.open_nursery() as nursery:
        tables = PostgresqlTables(partial(answered, nursery, answers), "pv_x")
        with pytest.raises(DataUnavailable, match=r"does not answer|too large"):
            await tables.query("SELECT 1", most_rows=5)
        nursery.cancel_scope.cancel()


async def test_the_rows_of_a_postgresql_server_are_bounded(autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        tables = PostgresqlTables(partial(answered, nursery, [*FIRST, ROW * 300_000]), "pv_x")
        found = await tables.query("SELECT 1", most_rows=1_000_000)
        assert found.is_cut
        assert len(found.rows) < 70_000
        nursery.cancel_scope.cancel()


GREETING = (
    b"\x0a10.11\0\7\0\0\0" + b"s" * 8 + b"\0\xff\xff\x2d\2\0\xff\xff\x15" + bytes(10) + b"s" * 12
) + b"\0mysql_native_password\0"
OK = frame(1, b"\0\0\0")
END = b"\xfe\0\0\2\0"
FIELD = b"\3def\0\0\0\1a\0\x0c\x2d\0\4\0\0\0\x03\0\0\0\0\0"
MYSQL_FIRST_ANSWERS = [OK, OK, OK]


def packets(*contents: bytes) -> bytes:
    return b"".join(frame(number, one) for number, one in enumerate(contents, 1))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"garbage" * 1000,
        packets(b"\xfb/etc/passwd"),
        packets(b"\xfc\xff\xff"),
        packets(b"\1", b"def", END),
        packets(b"\1", FIELD[:-6], END),
        packets(b"\1", FIELD) + packets(FIELD) * 100_000,
        packets(b"\1", FIELD, END, b"\xfd\xff\xff\xffx"),
        packets(b"\1", FIELD, END, b"\xfe" + b"\xff" * 9),
        packets(b"\1", FIELD, END) + b"\xff\xff\xff\1" + bytes(100_000),
        packets(b"\1", FIELD, END) + b"\0\0\0\1",
        packets(b"\1", FIELD, END, b"\1x"),
    ],
    ids=[
        *("end", "garbage", "asks for a file", "columns", "no column", "half a column", "endless columns", "cut off"),
        *("long", "huge", "empty", "no end"),
    ],
)
async def test_garbage_of_a_mysql_server_is_one_sentence(answer: bytes, autojump_clock: trio.testing.MockClock) -> None:
    async with trio.open_nursery() as nursery:
        answers = [*MYSQL_FIRST_ANSWERS, answer]
        tables = MysqlTables(linked(partial(answered, nursery, answers, frame(0, GREETING))), "pv_x", "secret", "shop")
        with pytest.raises(DataUnavailable, match=r"does not answer|too large"):
            await tables.query("SELECT 1", most_rows=5)
        nursery.cancel_scope.cancel()


async def answered(nursery: trio.Nursery, answers: list[bytes], greeting: bytes = b"") -> trio.SocketStream:
    """Connect to a server that gives these answers, one to each message, and then none."""
    ours, theirs = trio.socket.socketpair()

    async def serve() -> None:
        with suppress(trio.BrokenResourceError):
            async with trio.SocketStream(theirs) as stream:
                if greeting:
                    await stream.send_all(greeting)
                for one in answers:
                    if not await stream.receive_some(1 << 20):
                        return
                    await stream.send_all(one)
                await trio.sleep_forever()

    nursery.start_soon(serve)
    return trio.SocketStream(ours)
