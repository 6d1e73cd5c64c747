"""Saving and loading what a preview has stored: one contract for all kinds of servers."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis
import trio
from backing_kit import Driver, Host, Preview, wait_until

from preview.backing.contents import clients
from preview.backing.interface import ClientCommand, RunClient
from preview.errors import DataUnavailable

ODD = "ü'\"\\\n\t\r\x01 \N{SNOWMAN}\N{PILE OF POO} $1 %s `"

STORED = {
    "postgresql": (
        "CREATE EXTENSION citext; CREATE SCHEMA app; CREATE TYPE app.mood AS ENUM ('ok', 'no')",
        "CREATE DOMAIN app.positive AS int CHECK (VALUE > 0); CREATE SEQUENCE app.steps START 7",
        (
            "CREATE TABLE app.kinds (id bigserial PRIMARY KEY, s text, v varchar(300), c char(3), i int, n numeric,"
            " f float8, t timestamptz, d date, b bytea, j jsonb, u uuid, a int[],"
            " m app.mood, p app.positive, z boolean, ci citext, g int GENERATED ALWAYS AS (i * 2) STORED,"
            " k int GENERATED ALWAYS AS IDENTITY, r int4range, x interval)"
        ),
        'CREATE TABLE app."odd ""name\n" ("a "" b" int); INSERT INTO app."odd ""name\n" VALUES (5)',
        "CREATE TABLE empty (id int)",
        "CREATE TABLE many (id int PRIMARY KEY, said text, parent int REFERENCES many)",
        "CREATE TABLE parts (id int, at date) PARTITION BY RANGE (at)",
        "CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM ('2020-01-01') TO ('2021-01-01')",
        "INSERT INTO parts VALUES (1, '2020-05-05'); SELECT nextval('app.steps')",
        "CREATE VIEW app.seen AS SELECT id, s FROM app.kinds",
        "CREATE MATERIALIZED VIEW kept AS SELECT count(*) FROM parts",
        "CREATE FUNCTION grow() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.id = 100 + NEW.id; RETURN NEW; END$$",
        "CREATE TRIGGER grows BEFORE INSERT ON empty FOR EACH ROW EXECUTE FUNCTION grow()",
        "INSERT INTO many SELECT n, md5(n::text), nullif(n - 1, 0) FROM generate_series(1, 10000) n",
        "SELECT lo_from_bytea(4711, 'large'); CREATE INDEX said_of ON many (said)",
    ),
    "mysql": (
        (
            "CREATE TABLE kinds (id int PRIMARY KEY AUTO_INCREMENT, s text, v varchar(300), c char(3),"
            " i tinyint unsigned, n decimal(20, 5), f double, t timestamp(3) NULL, d date, b longblob, j json,"
            " m enum('ok', 'no'),"
            " z bit(5), g int GENERATED ALWAYS AS (i * 2) STORED, y year, p point, w set('a', 'b'), e binary(3))"
        ),
        "CREATE TABLE `odd ``name'\nx` (`a `` b` int)",
        "INSERT INTO `odd ``name'\nx` VALUES (5)",
        "CREATE TABLE empty (id int)",
        "CREATE TABLE many (id int PRIMARY KEY, said text, parent int REFERENCES many (id), KEY (said(10)))",
        "SET SESSION foreign_key_checks = 0",
        "INSERT INTO many SELECT seq, md5(seq), nullif(seq - 1, 0) FROM seq_1_to_10000",
        "CREATE SEQUENCE steps START 7",
        "CREATE VIEW seen AS SELECT id, s FROM kinds",
        "CREATE TRIGGER grows BEFORE INSERT ON empty FOR EACH ROW SET NEW.id = NEW.id + 100",
        "CREATE FUNCTION five() RETURNS int DETERMINISTIC RETURN 5",
        "CREATE PROCEDURE six() BEGIN SELECT 6; END",
        "CREATE EVENT daily ON SCHEDULE EVERY 1 DAY DO DELETE FROM empty",
    ),
}
VALUES = {
    "postgresql": (
        "INSERT INTO app.kinds (s, v, c, i, n, f, t, d, b, j, u, a, m, p, z, ci, r, x) VALUES (%s, %s, 'ab', -5, 'NaN',"
        " 'infinity', '2020-01-01 12:00+02', '0044-03-15 BC', '\\x00ff0a', %s, gen_random_uuid(), '{1,NULL,3}', 'no',"
        " 5, true, 'CaSe', '[1,5)', '1 mon 2 days'), (NULL, '', '', NULL, NULL, NULL, NULL, NULL, '', NULL, NULL, '{}',"
        " NULL, NULL, NULL, NULL, NULL, NULL)"
    ),
    "mysql": (
        "INSERT INTO kinds (s, v, c, i, n, f, t, d, b, j, m, z, y, p, w, e) VALUES (%s, %s, 'ab', 255, 1.5, 1e300,"
        " '2020-01-01 12:00:00.123', '1000-01-01', x'00ff0a27', %s, 'no', b'101', 2020, point(1, 2), 'a,b', x'00ff00'),"
        " (NULL, '', '', NULL, NULL, NULL, NULL, NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL)"
    ),
}
# The triggers work: 101. The sequences go on.
SEEN = {
    "postgresql": (
        "SELECT k::text FROM app.kinds k ORDER BY id",
        'SELECT * FROM app."odd ""name\n"',
        "SELECT * FROM many ORDER BY id",
        "SELECT * FROM parts_1",
        "SELECT * FROM app.seen ORDER BY id",
        "SELECT * FROM kept",
        "SELECT lo_get(4711)",
        "SELECT last_value FROM app.steps",
        "SELECT count(*) FROM pg_class WHERE relname IN ('said_of', 'many_pkey', 'gone')",
    ),
    "mysql": (
        "SELECT * FROM kinds ORDER BY id",
        "SELECT * FROM `odd ``name'\nx`",
        "SELECT * FROM many ORDER BY id",
        "SELECT * FROM seen ORDER BY id",
        "SELECT five()",
        "CALL six()",
        "SHOW TABLES",
        "SELECT NEXT VALUE FOR steps",
        "SELECT EVENT_NAME FROM information_schema.EVENTS",
    ),
}


def fill(driver: Driver, connection: Any) -> None:
    if driver.dialect == "redis":
        with connection.pipeline(transaction=False) as line:
            for number in range(10_000):
                line.set(f"many:{number}", number)
            line.set(ODD, ODD)
            line.set(b"\x00\xff", b"\x00\xff")
            line.set("empty", "")
            line.hset("hash", ODD, "1")
            line.rpush("list", 1, 2, ODD)
            line.zadd("sorted", {ODD: 1.5})
            line.sadd("set", 1, 2)
            line.set("short", 1, ex=100_000)
            line.xadd("stream", {"a": ODD}, id="5-1")
            line.execute()
        return
    for statement in STORED[driver.dialect]:
        driver.run(connection, statement)
    with connection.cursor() as cursor:
        cursor.execute(VALUES[driver.dialect], (ODD, ODD * 3, '{"a": "ü"}'))


def seen(driver: Driver, connection: Any) -> list[object]:
    if driver.dialect == "redis":
        keys = sorted(connection.keys())
        with connection.pipeline(transaction=False) as line:
            for key in keys:
                line.dump(key)
            found = line.execute()
        return [*zip(keys, found, strict=True), connection.ttl("short") > 0]
    return [list(driver.run(connection, statement)) for statement in SEEN[driver.dialect]]


def change(driver: Driver, connection: Any) -> None:
    """Change and remove what is stored, and store something else."""
    statements = {
        "postgresql": (
            "DROP SCHEMA app CASCADE; DELETE FROM many WHERE id > 5000",
            "CREATE TABLE gone (id int); SELECT lo_unlink(4711)",
        ),
        "mysql": ("DROP TABLE kinds", "DELETE FROM many WHERE id > 5000", "CREATE TABLE gone (id int)"),
        "redis": ("DEL hash", "SET many:5 other", "SET gone 1"),
    }
    for statement in statements[driver.dialect]:
        driver.run(connection, statement)


@pytest.fixture
def preview(host: Host) -> Iterator[Preview]:
    with host.open("one-1") as found:
        yield found


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    return tmp_path / "scratch"


@pytest.fixture
def run(host: Host, scratch: Path) -> RunClient:
    return host.client(scratch)


def save(preview: Preview, run: RunClient, file: Path) -> bool:
    return preview.host.run(preview.database.save, file, run)


def load(preview: Preview, run: RunClient, file: Path) -> None:
    preview.host.run(preview.database.load, file, run)


shared = pytest.mark.parametrize("host", ["postgresql", "mysql"], indirect=True)
postgresql = pytest.mark.parametrize("host", ["postgresql"], indirect=True)
mysql = pytest.mark.parametrize("host", ["mysql"], indirect=True)


@pytest.mark.long
def test_what_was_saved_comes_back_here_and_in_another_preview(
    host: Host, preview: Preview, driver: Driver, run: RunClient, scratch: Path
) -> None:
    held = preview.connect()
    fill(driver, held)
    # Reading it counts in MySQL's sequence.
    file = scratch / "saved"
    assert save(preview, run, file)
    before = seen(driver, held)
    change(driver, held)
    load(preview, run, file)
    assert seen(driver, preview.connect()) == before
    # Sessions of before have ended.
    with pytest.raises(driver.errors):
        driver.run(held, "PING" if driver.dialect == "redis" else "SELECT 1")
    with host.open("two-2") as other:
        # It has not connected yet.
        load(other, run, file)
        connection = other.connect()
        assert seen(driver, connection) == before
        if driver.dialect != "redis":
            driver.run(connection, "INSERT INTO empty VALUES (1)")
            assert list(driver.run(connection, "SELECT * FROM empty")) == [(101,)]
        # What is saved again says the same.
        assert save(other, run, scratch / "again")
    assert preview.name in driver.listed(host)
    assert other.name not in driver.listed(host)


def test_nothing_stored_is_not_saved(preview: Preview, run: RunClient, scratch: Path) -> None:
    assert not save(preview, run, scratch / "saved")
    assert not (scratch / "saved").exists()


def test_garbage_is_refused_in_a_sentence_and_the_next_load_works(
    preview: Preview, driver: Driver, run: RunClient, scratch: Path
) -> None:
    held = preview.connect()
    driver.store(held, "kept")
    assert save(preview, run, scratch / "saved")
    before = preview.host.run(databases, driver, preview.host)
    (scratch / "garbage").write_bytes(os.urandom(10_000))
    (scratch / "link").symlink_to("saved" if driver.dialect == "redis" else "garbage")
    os.mkfifo(scratch / "fifo")
    for name in ("garbage", "link", "missing", *(("fifo",) if driver.dialect == "redis" else ())):
        with pytest.raises(DataUnavailable) as caught:
            load(preview, run, scratch / name)
        assert 5 < len(str(caught.value)) < 400
        if driver.dialect == "postgresql":
            # Nothing has changed, and nothing is left.
            assert "kept" in driver.names(held if driver.is_shared else preview.connect())
            wait_until(lambda: preview.host.run(databases, driver, preview.host) <= before)
    load(preview, run, scratch / "saved")
    assert "kept" in driver.names(preview.connect())


def test_a_load_that_is_cancelled_leaves_nothing_and_the_next_works(
    host: Host, preview: Preview, driver: Driver, run: RunClient, scratch: Path
) -> None:
    driver.store(preview.connect(), "kept", 20_000)
    assert save(preview, run, scratch / "saved")
    before = host.run(databases, driver, host)

    async def cut_off(after_s: float) -> None:
        with trio.move_on_after(after_s):
            await preview.database.load(scratch / "saved", run)

    for after_s in (0.0, 0.01, 0.05, 0.1):
        host.run(cut_off, after_s)
        if driver.dialect == "postgresql":
            assert "kept" in driver.names(preview.connect())
    load(preview, run, scratch / "saved")
    assert "kept" in driver.names(preview.connect())
    # The engine may have made one in advance meanwhile.
    wait_until(lambda: host.run(databases, driver, host) <= before + 2)


async def databases(driver: Driver, host: Host) -> int:
    if driver.dialect == "redis":
        return 0
    if driver.kind == "own":
        # Their servers' folders, and what is aside.
        return len(list(host.folder.glob("*/*/")))
    assert hasattr(host.engine, "list_names")
    return len([name for name in await host.engine.list_names() if name.startswith("pv_")])


async def refuse(_command: ClientCommand) -> None:
    raise DataUnavailable("it did not run")


@shared
def test_a_client_that_fails_or_is_missing_says_so(
    preview: Preview, driver: Driver, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver.store(preview.connect(), "kept")
    with pytest.raises(DataUnavailable, match="it did not run"):
        save(preview, refuse, scratch / "saved")
    monkeypatch.setattr(clients, "find_program", lambda _name: None)
    monkeypatch.setattr(Path, "is_file", lambda _path: False)
    with pytest.raises(DataUnavailable, match=r"is missing; install it \(Debian: apt install \w+-client\)"):
        save(preview, refuse, scratch / "saved")


LOCKS = {
    "postgresql": "BEGIN; LOCK TABLE kept IN ACCESS EXCLUSIVE MODE",
    "mysql": "LOCK TABLES kept WRITE",
}
OPEN = {"postgresql": "BEGIN; DELETE FROM kept", "mysql": "BEGIN; DELETE FROM kept"}


@postgresql
def test_what_cannot_be_saved_is_said(preview: Preview, driver: Driver, run: RunClient, scratch: Path) -> None:
    driver.run(preview.connect(), "CREATE TABLE kept (n int); ALTER TABLE kept FORCE ROW LEVEL SECURITY")
    driver.run(preview.connect(), "ALTER TABLE kept ENABLE ROW LEVEL SECURITY")
    with pytest.raises(DataUnavailable, match="row-level security policy"):
        save(preview, run, scratch / "saved")
    (scratch / "wrong").write_text("SELECT 1;\nSELEC 2;\n")
    with pytest.raises(DataUnavailable, match=r'wrong:2: ERROR:  syntax error at or near "SELEC"'):
        load(preview, run, scratch / "wrong")


@mysql
def test_a_large_value_comes_back(preview: Preview, driver: Driver, run: RunClient, scratch: Path) -> None:
    connection = preview.connect()
    driver.run(connection, "CREATE TABLE large (a longblob)")
    driver.run(connection, "INSERT INTO large VALUES (repeat(x'00ff27', 4000000))")
    assert save(preview, run, scratch / "saved")
    load(preview, run, scratch / "saved")
    found = driver.run(preview.connect(), "SELECT a = repeat(x'00ff27', 4000000) FROM large")
    assert list(found) == [(1,)]


@shared
def test_a_locked_table_is_waited_for_only_a_moment(
    host: Host, preview: Preview, driver: Driver, run: RunClient, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preview.backing.contents.postgresql_dump._LOCK_MS", 1000)
    monkeypatch.setattr("preview.backing.contents.mysql_tables._LOCK_S", 1)
    locking = preview.connect()
    driver.store(locking, "kept")
    driver.store(locking, "other")
    for statement in OPEN[driver.dialect].split("; "):
        driver.run(locking, statement)
    # An open transaction holds nothing up.
    assert save(preview, run, scratch / "open")
    driver.run(locking, "ROLLBACK")
    driver.run(locking, LOCKS[driver.dialect])
    with pytest.raises(DataUnavailable, match=r"A table (is locked by|could not be read)"):
        save(preview, run, scratch / "locked")
    names = [table.name for table in host.run(preview.database.list_tables)]
    assert [name.removeprefix("public.") for name in names] == ["kept", "other"]
    # A load ends the session that holds the lock.
    load(preview, run, scratch / "open")
    assert "kept" in driver.names(preview.connect())


HOSTILE = {
    "postgresql": (
        "CREATE TABLE mine (a text); COPY mine FROM PROGRAM 'touch {mark}';",
        "COPY (SELECT 1) TO '{mark}';",
        "CREATE DATABASE other;",
        "\\connect 'host=/var/run/postgresql dbname=postgres'",
        "DROP DATABASE {name};",
        "SET ROLE preview_admin;",
        "COMMIT; DROP ROLE {other};",
    ),
    "mysql": (
        "CREATE DATABASE other;",
        "USE mysql; CREATE TABLE mine (a int);",
        "DROP DATABASE {other};",
        "SELECT 1 INTO OUTFILE '{mark}';",
        "CREATE USER other;",
        "connect mysql 127.0.0.2;",
        "CREATE DEFINER=`preview_admin`@`localhost` PROCEDURE p() SELECT 1;",
    ),
}


@shared
def test_a_hostile_file_does_nothing_beyond_its_own_database(
    host: Host, preview: Preview, driver: Driver, run: RunClient, scratch: Path
) -> None:
    mark = Path("/tmp/preview-mark")
    preview.connect(name="mine")
    with host.open("victim-1") as victim:
        driver.store(victim.connect(name="victims"), "kept")
        other = victim.name if driver.dialect == "postgresql" else "victims"
        for number, text in enumerate(HOSTILE[driver.dialect]):
            file = scratch / f"hostile-{number}"
            file.write_text(text.format(mark=mark, name=preview.name, other=other))
            with pytest.raises(DataUnavailable):
                load(preview, run, file)
        # The client runs in a sandbox of its own, in which each database is the preview's.
        shell = f"\\! touch {mark}; cat {host.folder}/secret; kill -9 -1\n"
        for number, text in enumerate((shell, f"\\connect {other}\nDROP TABLE IF EXISTS kept;\n")):
            (scratch / f"harmless-{number}").write_text(text)
            with suppress(DataUnavailable):
                load(preview, run, scratch / f"harmless-{number}")
        assert "kept" in driver.names(victim.connect(name="victims"))
    assert not mark.exists()
    assert preview.connects()
    assert "other" not in driver.listed(host)


@shared
def test_a_load_that_goes_on_writing_is_measured(
    host: Host, preview: Preview, driver: Driver, run: RunClient, scratch: Path
) -> None:
    driver.store(preview.connect(), "kept")
    before = preview.measure()
    endless = {
        "postgresql": (
            "CREATE TABLE big AS SELECT repeat(md5(n::text), 30) FROM generate_series(1, 100000) n; SELECT pg_sleep(9);"
        ),
        "mysql": "CREATE TABLE big AS SELECT repeat(md5(seq), 30) FROM seq_1_to_50000; SELECT SLEEP(9);",
    }
    (scratch / "endless").write_text(endless[driver.dialect])
    scope = trio.CancelScope()

    async def load_until_cut_off() -> None:
        with scope:
            await preview.database.load(scratch / "endless", run)

    thread = threading.Thread(target=host.run, args=(load_until_cut_off,))
    thread.start()
    try:
        assert before is not None
        wait_until(lambda: (preview.measure() or 0) > before + 20_000_000)
    finally:
        host.token.run_sync_soon(scope.cancel)
        thread.join()


def swapped(host: Host, put: Callable[[Path], object]) -> None:
    """Put something in place of the file that Redis writes, as a server could that was taken over."""
    file = host.folder / "one-1" / "server" / "dump.rdb"
    file.unlink(missing_ok=True)
    put(file)


def huge(path: Path) -> None:
    path.touch()
    os.truncate(path, 1 << 40)


@pytest.mark.parametrize("host", ["redis"], indirect=True)
@pytest.mark.parametrize(
    "put",
    [
        lambda path: path.symlink_to("/etc/passwd"),
        os.mkfifo,
        lambda path: path.mkdir(),
        huge,
    ],
    ids=["link", "fifo", "folder", "huge"],
)
def test_only_a_regular_file_of_redis_is_copied(
    host: Host,
    preview: Preview,
    run: RunClient,
    scratch: Path,
    put: Callable[[Path], object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    preview.connect().set("a", 1)

    async def answer(_socket: object, *words: bytes, **_values: object) -> bytes:
        if words[0] == b"SAVE":
            swapped(host, put)
            return b"+OK\r\n"
        return b"# Keyspace\r\ndb0:keys=1"

    monkeypatch.setattr("preview.backing.redis._ask", answer)
    started = time.monotonic()
    with pytest.raises(DataUnavailable, match="cannot be copied"):
        save(preview, run, scratch / "saved")
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("host", ["redis"], indirect=True)
def test_redis_that_is_busy_does_not_count_as_empty_and_is_emptied_all_the_same(
    preview: Preview, run: RunClient, scratch: Path
) -> None:
    first = preview.connect()
    first.set("a", 1)
    first.execute_command("CONFIG", "SET", "lua-time-limit", "1")
    sleepy = threading.Thread(target=lambda: suppressed(first, "while true do end"))
    sleepy.start()
    try:
        wait_until(lambda: not preview.connects())
        with pytest.raises(DataUnavailable, match="did not list its data"):
            save(preview, run, scratch / "saved")
    finally:
        preview.host.run(preview.database.reset)
        sleepy.join(10)
    assert preview.connect().dbsize() == 0


def suppressed(connection: Any, script: str) -> None:
    with suppress(redis.RedisError):
        connection.eval(script, 0)


@pytest.mark.parametrize("host", ["redis"], indirect=True)
def test_redis_that_does_not_save_says_why(preview: Preview, run: RunClient, scratch: Path) -> None:
    connection = preview.connect()
    connection.set("a", 1)
    connection.execute_command("ACL", "SETUSER", "default", "-save")
    with pytest.raises(DataUnavailable, match="could not save its data: NOPERM"):
        save(preview, run, scratch / "saved")
    with pytest.raises(DataUnavailable, match="Redis has no tables"):
        preview.host.run(partial(preview.database.query, "SELECT 1", most_rows=1))
