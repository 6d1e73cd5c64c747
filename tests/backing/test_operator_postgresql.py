"""A PostgreSQL of the operator's in place of the service's own: the same contract, and its own borders."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
import structlog
import structlog.testing
import test_backing_contract as contract
import trio
import trio.testing
import trustme
from backing_kit import Driver, Host, Preview, open_host, program_or_skip, wait_until
from operator_kit import PASSWORD, SIZE_BYTES, Operator, address_of, beside_it, open_operator
from postgres import Server

from preview.backing import ServerUnavailable, check_server, open_backing
from preview.backing.admin.mysql_link import linked
from preview.backing.admin.postgresql_statements import Statements
from preview.backing.contents.mysql_tables import MysqlTables
from preview.backing.contents.postgresql_tables import PostgresqlTables
from preview.backing.operator.account import PostgresqlServer
from preview.cli.doctor.servers import server_checks
from preview.errors import ConfigurationError
from preview.settings import load_settings

# The same contract, for this module's host.
preview = contract.preview
test_a_database_is_measured = contract.test_a_database_is_measured
test_a_preview_is_no_administrator = contract.test_a_preview_is_no_administrator
test_a_preview_that_never_connects_has_nothing_made = contract.test_a_preview_that_never_connects_has_nothing_made
test_any_name_leads_to_the_previews_own = contract.test_any_user_password_and_name_lead_to_the_previews_own
test_connections_are_limited = contract.test_connections_are_limited_and_the_driver_says_so
test_two_previews_do_not_see_each_other = contract.test_two_previews_do_not_see_each_others_data_and_sessions
test_a_preview_leaves_nothing = contract.test_what_a_preview_had_is_dropped_at_its_end_with_its_sessions

OTHER = "ba9876543210"


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    program_or_skip(Operator(None, Path()))  # type: ignore[arg-type]  # only its program is looked for
    with open_operator(tmp_path_factory.mktemp("operator")) as found:
        yield found


@pytest.fixture(scope="module")
def host(operator: Operator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with open_host(operator, tmp_path_factory.mktemp("host"), program_or_skip(operator)) as found:
        yield found


@pytest.fixture
def driver(host: Host) -> Driver:
    return host.driver


def check(url: str) -> str:
    return trio.run(check_server, address_of(url))


def test_a_preview_reaches_no_other_database_and_leaves_nothing(host: Host, operator: Operator) -> None:
    with host.open("one-1") as one, host.open("two-2") as two:
        connection: Any = one.connect(name="postgres", user="admin")
        two.connect()
        assert connection.execute("SELECT current_database(), current_user").fetchone() == (one.name, one.name)
        with pytest.raises(psycopg.Error):
            connection.execute("SELECT * FROM secrets")
        with pytest.raises(psycopg.Error):
            connection.execute(f"GRANT {two.name} TO {one.name}")
        # It knows a password of its own only if it sets one; even with it, it reaches no other preview's.
        connection.execute("ALTER ROLE CURRENT_USER PASSWORD 'x'")
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(host="127.0.0.1", port=operator.server.port, user=one.name, password="x", dbname=two.name)
        # What it does to its own keeps nobody from dropping it.
        connection.execute(f"ALTER DATABASE {one.name} IS_TEMPLATE true")
        with suppress(psycopg.Error):
            connection.execute(f"REVOKE {one.name} FROM admin")
    assert operator.all_names() == []


def test_the_statements_of_the_server_contain_no_password(host: Host, preview: Preview, operator: Operator) -> None:
    preview.connect()
    with psycopg.connect(operator.server.url("postgres")) as connection:
        kept = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = %s", [preview.name]).fetchone()
    assert kept is not None
    assert kept[0].startswith("SCRAM-SHA-256$4096:")


def test_a_preview_cannot_hide_its_size(host: Host, operator: Operator) -> None:
    with host.open("one-1") as one:
        connection: Any = one.connect()
        before = one.measure() or 0
        assert before > 1 << 20
        own = one.name
        connection.execute(f"REVOKE CONNECT ON DATABASE {own} FROM {own}")
        with suppress(psycopg.Error):
            connection.execute(f"REVOKE {own} FROM admin")
        assert before <= (one.measure() or 0) < SIZE_BYTES
        # Where the right cannot be taken back it counts as too large.
        connection.execute(f"REVOKE CONNECT ON DATABASE {own} FROM {own}")
        operator.server.run("ALTER DATABASE {} OWNER TO preview", own)
        assert (one.measure() or 0) > SIZE_BYTES
        operator.server.run("ALTER DATABASE {} OWNER TO {}", own, own)


def test_what_a_killed_service_left_is_dropped_by_its_next_start_only(host: Host, operator: Operator) -> None:
    with beside_it(host, OTHER) as other:
        left = host.run(other.make)
    of_host = host.run(host.engine.make)  # type: ignore[union-attr]  # it is the operator's
    own = f"pv_{OTHER}_of_the_operator"
    operator.server.run("CREATE DATABASE {}", own)
    with beside_it(host, OTHER):
        wait_until(lambda: left not in operator.all_names())
        assert {of_host, own} <= set(operator.all_names())
    operator.server.drop(own)
    host.run(host.engine.drop, of_host)  # type: ignore[union-attr]


def test_two_services_with_one_mark_drop_nothing_of_each_other(host: Host, operator: Operator) -> None:
    with beside_it(host, OTHER) as one:
        of_one = host.run(one.make)
        with structlog.testing.capture_logs() as logged, beside_it(host, OTHER) as copied:
            of_copied = host.run(copied.make)
            assert {of_one, of_copied} <= set(operator.all_names())
            host.run(copied.drop, of_copied)
        assert [line["event"] for line in logged] == ["old databases kept"]
        assert of_one in operator.all_names()
        host.run(one.drop, of_one)


def test_tls_and_its_certificate_are_checked_as_the_address_says(operator: Operator) -> None:
    url = operator.url()
    assert check(f"{url}sslmode=require").startswith("PostgreSQL 1")
    trusted = f"sslmode=verify-full&sslrootcert={operator.roots}"
    assert check(url.replace("127.0.0.1", "localhost") + trusted).startswith("PostgreSQL 1")
    # As for libpq, authorities are for checking.
    assert check(f"{url}sslmode=require&sslrootcert={operator.roots}").startswith("PostgreSQL 1")
    other = operator.roots.with_name("other.pem")
    trustme.CA().cert_pem.write_to_path(str(other))
    with pytest.raises(ServerUnavailable, match="its certificate is not accepted"):
        check(f"{url}sslmode=require&sslrootcert={other}")
    for mode in ("", "sslmode=prefer&", "sslmode=disable&"):
        with pytest.raises(ConfigurationError, match="sslrootcert needs sslmode=require, verify-ca or verify-full"):
            check(f"{url}{mode}sslrootcert={operator.roots}")
    for wrong in (url + trusted, url + "sslmode=verify-ca"):
        with pytest.raises(ServerUnavailable, match="its certificate is not accepted"):
            check(wrong)


def test_the_account_is_checked_and_its_password_never_shown(operator: Operator) -> None:
    for user, said in (
        ("weak", "lacks rights in PostgreSQL .*: ALTER ROLE … CREATEDB CREATEROLE"),
        ("clear", "lacks rights"),
        ("nobody", "refuses: password authentication failed"),
    ):
        with pytest.raises(ServerUnavailable, match=said) as caught:
            check(operator.url(user))
        assert PASSWORD not in str(caught.value)
    assert check(operator.url("hashed")).startswith("PostgreSQL 1")
    with pytest.raises(ServerUnavailable, match=r"does not answer \(Connection refused\)"):
        check("postgresql://a:b@127.0.0.1:1/postgres")


@pytest.mark.parametrize(
    ("rest", "may"),
    [
        ("db.example/x?sslmode=require", False),
        ("db.example/x", False),
        ("db.example/x?sslmode=verify-ca", True),
        ("db.example/x?sslmode=verify-full", True),
        ("127.0.0.1/x", True),
        ("localhost/x?sslmode=require", True),
        ("[::1]/x", True),
        ("10.0.0.1/x", False),
        ("/x?host=/run/postgresql", True),
    ],
)
def test_a_password_itself_is_sent_only_where_nobody_else_reads_it(rest: str, may: bool) -> None:
    assert address_of(f"postgresql://admin:sesame@{rest}").is_private is may


async def test_statements_that_wait_for_their_turn_have_the_same_deadline(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def never() -> trio.SocketStream:
        await trio.sleep_forever()
        raise AssertionError

    async def log_in(session: object) -> None:
        """Never reached."""

    statements = Statements("PostgreSQL", log_in)

    async def ask() -> None:
        with pytest.raises(ServerUnavailable, match="does not answer"):
            await statements.execute(never, "SELECT 1")

    started = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(5):
            nursery.start_soon(ask)
    assert trio.current_time() - started < 30


def test_no_password_is_in_what_reads_tables() -> None:
    async def never() -> trio.SocketStream:
        raise AssertionError

    assert "sesame" not in repr(PostgresqlTables(never, "pv_x", password="sesame"))
    assert "sesame" not in repr(MysqlTables(linked(never), "pv_x", "sesame", "pv_x"))


async def test_after_a_server_that_does_not_answer_no_other_drop_is_tried(
    operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = operator.engine_with(OTHER, None, None)  # type: ignore[arg-type]  # nothing is saved or served
    tried: list[str] = []
    is_tried = trio.Event()

    async def fail(self: object, *statements: str) -> Any:
        tried.append(statements[0])
        is_tried.set()
        raise ServerUnavailable("PostgreSQL does not answer")

    with structlog.testing.capture_logs() as logged:
        async with trio.open_nursery() as nursery:
            engine.keeper.orphans |= {f"pv_{OTHER}_1": "", f"pv_{OTHER}_2": ""}
            engine.keeper.version = "15"
            engine.keeper.has_looked = True
            monkeypatch.setattr(PostgresqlServer, "execute", fail)
            nursery.start_soon(engine.run)
            with trio.fail_after(10):
                await is_tried.wait()
            await trio.testing.wait_all_tasks_blocked(0.05)
            nursery.cancel_scope.cancel()
    assert len(tried) == 1
    assert [line["database"][:15] for line in logged] == [f"pv_{OTHER}"]


async def test_a_connection_after_the_end_fails_at_once(operator: Operator) -> None:
    server = PostgresqlServer(address_of(operator.url() + "sslmode=require"))
    async with server.open():
        assert await server.check()
    with trio.fail_after(5), pytest.raises(ServerUnavailable):
        await server.connect()


def message(kind: bytes, body: bytes) -> bytes:
    return kind + (4 + len(body)).to_bytes(4) + body


SASL = message(b"R", (10).to_bytes(4) + b"SCRAM-SHA-256\0\0")


@pytest.mark.parametrize(
    "answers",
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n",),
        (b"N", b"garbage of some length"),
        (b"N", message(b"N", b"x" * 1000) * 10_000),
        (b"N", message(b"R", (9).to_bytes(4))),
        (b"N", SASL, message(b"R", (11).to_bytes(4) + b"r=mine,s=AAAA,i=4096")),
        (b"N", SASL, message(b"R", (11).to_bytes(4) + b"r=mine,s=AAAA,i=999999999")),
        (b"N", SASL, message(b"R", (0).to_bytes(4)) + message(b"Z", b"I")),
        (b"S", b"no TLS at all"),
        (),
    ],
    ids=["http", "garbage", "endless", "kerberos", "other nonce", "slow", "no proof", "no tls", "silence"],
)
def test_a_server_that_is_none_gets_no_password_and_no_time(answers: tuple[bytes, ...]) -> None:
    read = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                for one in answers:
                    read.extend(connection.recv(10_000))
                    connection.sendall(one)

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ServerUnavailable, match="PostgreSQL does not answer"):
            check(f"postgresql://admin:sesame@127.0.0.1:{listener.getsockname()[1]}/postgres")
        thread.join(10)
    assert b"sesame" not in read


def test_data_is_saved_loaded_and_read(host: Host, preview: Preview, tmp_path: Path) -> None:
    folder = tmp_path / "client"
    run = host.client(folder)
    folder.chmod(0o777)
    connection: Any = preview.connect()
    preview.driver.store(connection, "books", 100)
    save = partial(preview.database.save, folder / "saved.sql", run)
    assert host.run(save)
    connection.execute("DROP TABLE books")
    host.run(partial(preview.database.load, folder / "saved.sql", run))
    (table,) = host.run(preview.database.list_tables)
    assert (table.name, table.rows) == ("public.books", 100)
    found = host.run(partial(preview.database.query, "SELECT count(*) FROM books", most_rows=5))
    assert found.rows == (("100",),)


def test_a_server_that_is_down_is_said_and_tried_again(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    down = Operator(Server(tmp_path, port), tmp_path)
    with open_host(down, tmp_path / "host", program_or_skip(down)) as host, host.open("one-1") as preview:
        with pytest.raises(psycopg.OperationalError, match=r"PostgreSQL does not answer \(Connection refused\)"):
            preview.connect()
        # Now another program has the port, which is no PostgreSQL.
        with socket.create_server(("127.0.0.1", port)) as listener:

            def accept() -> None:
                listener.accept()[0].close()

            thread = threading.Thread(target=accept)
            thread.start()
            with pytest.raises(psycopg.OperationalError, match=r"does not answer \(another server has its address\)"):
                preview.connect()
            thread.join(10)


def test_doctor_and_the_service_use_the_address_and_never_show_its_password(
    host: Host, operator: Operator, tmp_path: Path
) -> None:
    common = {"mysql": "off", "redis": "off", "data_dir": tmp_path, "network": "none"}
    for url, result, said in (
        (operator.url(), "ok", f"127.0.0.1:{operator.server.port}: PostgreSQL 1"),
        (operator.url("weak"), "warn", "the account lacks rights"),
    ):
        settings = load_settings(postgres=url, **common)
        (check,) = (one for one in server_checks(settings, host.runtime) if one.name == "PostgreSQL")
        assert (check.result, said in check.found) == (result, True)
        assert "sesame" not in f"{check} {settings!r}"

    async def offered() -> frozenset[str]:
        async with open_backing(load_settings(postgres=operator.url(), **common), host.runtime) as backing:
            return backing.kinds

    assert host.run(offered) == {"PostgreSQL"}
    assert (tmp_path / "backing" / "mark").exists()
