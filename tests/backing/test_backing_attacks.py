"""Attacks of one preview on the server that it shares with others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trio
from backing_kit import Host, Preview, wait_until

from preview.backing.admin.mysql import Administrator as MysqlAdministrator
from preview.backing.admin.mysql_link import linked
from preview.backing.admin.postgresql import Administrator
from preview.backing.admin.postgresql_proof import Refused, Unreadable
from preview.backing.admin.postgresql_session import Session
from preview.backing.postgresql import PostgresqlEngine
from preview.backing.server import ServerSocket, ServerUnavailable
from preview.backing.streams import SessionEnded
from preview.backing.wire.mysql import frame


@pytest.fixture
def preview(host: Host) -> Iterator[Preview]:
    with host.open("one-1") as found:
        yield found


postgresql = pytest.mark.parametrize("host", ["postgresql"], indirect=True)


def restarted(host: Host, preview: Preview) -> None:
    host.kill_server()
    wait_until(preview.connects)


@postgresql
def test_a_database_that_was_made_a_template_is_dropped(host: Host, preview: Preview) -> None:
    with host.open("template-1") as hostile:
        hostile.connect().execute(f"ALTER DATABASE {hostile.name} IS_TEMPLATE true")
    assert hostile.name not in preview.driver.listed(host)


@postgresql
def test_rights_granted_to_another_previews_role_do_not_keep_it(host: Host, preview: Preview) -> None:
    hostile = preview.connect()
    with host.open("zwei-2") as victim:
        victim.connect()
        hostile.execute(f"CREATE TABLE mine (n int); GRANT SELECT ON mine TO {victim.name}")
        hostile.execute(f"GRANT CONNECT ON DATABASE {preview.name} TO {victim.name}")
        # Its next start finds an empty database of its own.
        host.run(victim.database.reset)
        assert victim.connects()
    # Nor may they keep the server from coming up again.
    restarted(host, preview)


@postgresql
@pytest.mark.parametrize("held", ["COMMENT ON DATABASE {} IS 'x'", "ALTER ROLE {} PASSWORD 'x'"])
def test_locks_held_by_a_long_statement_do_not_hold_the_administrator_up(
    host: Host, preview: Preview, held: str
) -> None:
    preview.connect()
    with host.open("stuck-1") as hostile:
        connection = hostile.connect()
        connection.execute("SET statement_timeout = 0")

        def hold() -> None:
            with suppress(psycopg.Error):
                connection.execute(f"BEGIN; {held.format(hostile.name)}; SELECT pg_sleep(60)")

        thread = threading.Thread(target=hold)
        thread.start()
        time.sleep(0.3)
        started = time.monotonic()
    assert time.monotonic() - started < 8
    assert hostile.name not in preview.driver.listed(host)
    thread.join(20)


@postgresql
def test_an_open_transaction_does_not_hold_up_others(host: Host, preview: Preview) -> None:
    hostile: Any = preview.connect()
    with host.open("victim-1") as victim:
        victim.connect()
        hostile.execute("BEGIN")
        hostile.execute(f"GRANT CONNECT ON DATABASE {preview.name} TO {victim.name}")
        started = time.monotonic()
    assert time.monotonic() - started < 8
    assert preview.measure() is not None


@postgresql
def test_a_full_table_of_locks_ends_the_sessions_that_fill_it(preview: Preview, host: Host) -> None:
    with host.open("locks-1") as hostile:
        connections = [hostile.connect() for _ in range(2)]
        for one in connections:
            with suppress(psycopg.Error):
                # Locks of a session stay when its statement fails.
                one.execute("SELECT count(pg_advisory_lock(n)) FROM generate_series(1, 200000) n")

        def stores() -> bool:
            with suppress(psycopg.Error):
                preview.driver.store(preview.connect(), "served")
                return True
            return False

        wait_until(stores)
        wait_until(lambda: not hostile.connects())


@postgresql
def test_a_listener_that_takes_no_notifications_does_not_fill_the_disk(
    host: Host, preview: Preview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preview.backing.admin.postgresql._QUEUE_SHARE", 0.0005)
    monkeypatch.setattr("preview.backing.admin.postgresql._QUEUE_S", 1)
    other = preview.connect()
    with host.open("listens-1") as hostile:
        listener = hostile.connect()
        listener.execute("LISTEN c")
        listener.execute("BEGIN")
        listener.execute("SELECT 1")
        # 5 MB of the 8 GiB; nobody's database holds them.
        hostile.connect().execute("SELECT pg_notify('c', n || repeat('x', 7900)) FROM generate_series(1, 700) n")

        def is_empty() -> bool:
            return int(other.execute("SELECT pg_notification_queue_usage() * 1e6").fetchone()[0]) == 0

        wait_until(is_empty)
        with pytest.raises(psycopg.OperationalError):
            listener.execute("SELECT 1")
    # Others go on.
    preview.driver.store(other, "more")


@postgresql
@pytest.mark.long
def test_the_log_of_writes_is_bounded(host: Host, preview: Preview) -> None:
    written = preview.connect()
    for _ in range(20):
        # 50 MB that no size of a database counts.
        written.execute("SELECT pg_logical_emit_message(false, 'x', repeat('x', 5000000)) FROM generate_series(1, 10)")
    files = (host.folder / "server" / "data" / "pg_wal").glob("0*")
    assert sum(one.stat().st_size for one in files) < 700 * 1024**2
    preview.driver.store(preview.connect(), "more")


@postgresql
def test_temporary_files_count(preview: Preview) -> None:
    connection = preview.connect()
    before = preview.measure()
    connection.execute("DECLARE c CURSOR WITH HOLD FOR SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
    after = preview.measure()
    assert before is not None
    assert after is not None
    assert after - before > 10_000_000


@postgresql
def test_a_database_made_in_advance_has_had_its_first_session(host: Host, preview: Preview) -> None:
    engine, connection = host.engine, preview.connect()
    assert isinstance(engine, PostgresqlEngine)
    wait_until(lambda: bool(engine._ready))
    [number] = connection.execute("SELECT oid FROM pg_database WHERE datname = %s", [engine._ready[0]]).fetchone()
    assert (host.folder / "server" / "data" / "base" / str(number) / "pg_internal.init").exists()


@postgresql
def test_an_administrators_broken_session_is_opened_again(host: Host, preview: Preview) -> None:
    preview.connect()
    assert isinstance(host.engine, PostgresqlEngine)
    before = preview.measure()
    session = host.engine._admin._statements._session
    assert session is not None
    session._stream.socket.shutdown(trio.socket.SHUT_RDWR)
    assert before is not None
    assert preview.measure() == before


@pytest.mark.parametrize("host", ["mysql"], indirect=True)
def test_prepared_transactions_neither_keep_a_database_nor_stop_the_servers_next_start(
    host: Host, preview: Preview
) -> None:
    run = preview.driver.run
    preview.connect()
    with host.open("prepared-1") as hostile:
        for owner, table in ((hostile, "mine"), (preview, "kept")):
            connection = owner.connect(name=table)
            run(connection, f"CREATE TABLE {table} (n int) ENGINE=InnoDB")
            for statement in ("XA START '{}'", f"INSERT INTO {table} VALUES (1)", "XA END '{}'", "XA PREPARE '{}'"):
                run(connection, statement.format(f"{table}'s".replace("'", "''")))
            connection.close()
        started = time.monotonic()
    assert time.monotonic() - started < 4
    assert hostile.name not in preview.driver.listed(host)
    assert "'mine'" not in preview.driver.listed(host)
    restarted(host, preview)


def message(kind: bytes, body: bytes, size: int | None = None) -> bytes:
    return kind + (4 + len(body) if size is None else size).to_bytes(4) + body


# MariaDB's: protocol 10, version, thread, salt, capabilities, character set, status, salt, plugin.
GREETING = (
    b"\x0a10.11\0\7\0\0\0" + b"s" * 8 + b"\0\xff\xff\x2d\2\0\xff\xff\x15" + bytes(10) + b"s" * 12
) + b"\0mysql_native_password\0"
ROW = message(b"D", b"\0\1\0\0\0\1x")
READY = message(b"Z", b"I")


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (ROW * 200_000, Unreadable),
        (message(b"D", b"", 2**31), Unreadable),
        (message(b"D", b"", 3), Unreadable),
        (message(b"D", b"\0\1\0\0\0\x05x") + READY, Unreadable),
        (message(b"D", b"\xff\xff") + READY, Unreadable),
        (message(b"R", b"\0\0\0\x0a") + READY, Unreadable),
        (message(b"E", b"") + READY, Refused),
        (message(b"E", b"Mno\n\x1b\0\0") + READY, Refused),
        (b"D\0", SessionEnded),
    ],
    ids=["endless", "huge", "short", "cut off", "no values", "login", "silent refusal", "refusal", "end"],
)
async def test_a_server_that_was_taken_over_gets_no_memory_of_the_service(
    answer: bytes, error: type[Exception]
) -> None:
    ours, theirs = trio.socket.socketpair()
    session = Session(trio.SocketStream(ours))
    with trio.fail_after(10), theirs, ours:
        async with trio.open_nursery() as nursery:

            async def send() -> None:
                with suppress(trio.BrokenResourceError):
                    await trio.SocketStream(theirs).send_all(answer)
                    await trio.SocketStream(theirs).send_eof()

            nursery.start_soon(send)
            with pytest.raises(error) as caught:
                await session.execute("SELECT 1")
            assert str(caught.value).isprintable()
            session.close()


def packets(*contents: bytes) -> bytes:
    return b"".join(frame(number, one) for number, one in enumerate(contents, 1))


MYSQL_END = b"\xfe\0\0\2\0"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (packets(b"\xfb/etc/passwd"), "does not answer"),
        (packets(b"\1", b"def", MYSQL_END) + packets(b"\1x") * 300_000, "does not answer"),
        (packets(b"\1") + packets(b"def") * 300_000, "does not answer"),
        (b"\xff\xff\xff\1" + bytes(300_000), "does not answer"),
        (packets(b"\1", b"def", MYSQL_END, b"\xfd\xff\xff\xffx", MYSQL_END), "does not answer"),
        (packets(b"\xff\x15\4#28000\x1bno\n"), "refuses:  no "),
        (b"\0\0\0\1", "does not answer"),
        (b"", "does not answer"),
    ],
    ids=["asks for a file", "endless rows", "endless columns", "huge", "cut off", "refusal", "empty", "silence"],
)
async def test_a_mysql_server_that_was_taken_over_gets_no_file_and_no_memory(
    tmp_path: Path, autojump_clock: trio.testing.MockClock, answer: bytes, said: str
) -> None:
    admin = MysqlAdministrator("MariaDB", "preview_admin", "x", "SET a = 1")
    path = str(tmp_path / "s")
    sent: list[bytes] = []
    with trio.socket.socket(trio.socket.AF_UNIX) as listener:
        await listener.bind(path)
        listener.listen()

        async def serve() -> None:
            connection, _ = await listener.accept()
            with connection, suppress(trio.BrokenResourceError):
                stream = trio.SocketStream(connection)
                await stream.send_all(frame(0, GREETING))
                for one in (packets(b"\0\0\0"), packets(b"\0\0\0"), answer):
                    sent.append(bytes(await stream.receive_some(10_000)))
                    await stream.send_all(one)
                sent.append(bytes(await stream.receive_some(10_000)))

        with closing(ServerSocket(os.open(path, os.O_PATH | os.O_CLOEXEC))) as socket:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(serve)
                with pytest.raises(ServerUnavailable, match=said):
                    await admin.execute(linked(socket.connect), "SHOW DATABASES")
                admin.close()
    # Nothing follows the statement.
    assert [one for one in sent[2:] if one] == [frame(0, b"\x03SHOW DATABASES")]


async def test_a_server_that_never_answers_is_given_up(tmp_path: Path, autojump_clock: trio.testing.MockClock) -> None:
    (tmp_path / "secret").write_text("x")
    admin = Administrator("PostgreSQL", tmp_path)
    path = str(tmp_path / "s")
    with trio.socket.socket(trio.socket.AF_UNIX) as listener:
        await listener.bind(path)
        listener.listen()
        socket = ServerSocket(os.open(path, os.O_PATH | os.O_CLOEXEC))
        with closing(socket), pytest.raises(ServerUnavailable, match="does not answer"):
            await admin.execute(socket, "SELECT 1")
