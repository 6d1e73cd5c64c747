"""A MariaDB of the operator's in place of the service's own: the same contract, and its own borders."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pymysql
import pytest
import structlog.testing
import test_backing_contract as contract
from backing_kit import Driver, Host, Mysql, Preview, open_host, program_or_skip, wait_until
from mariadb import MariaServer
from operator_kit import PASSWORD, free_port
from operator_mysql_kit import MARK, OTHER, MysqlOperator, beside_it, check, open_operator

from preview.backing import ServerUnavailable, open_backing
from preview.backing.operator.names import Names
from preview.cli.doctor.servers import server_checks
from preview.settings import load_settings

preview = contract.preview


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MysqlOperator]:
    program = program_or_skip(Mysql())
    with open_operator(program, tmp_path_factory.mktemp("operator")) as found:
        yield found


@pytest.fixture(scope="module")
def host(operator: MysqlOperator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    with open_host(operator, tmp_path_factory.mktemp("host"), program_or_skip(operator)) as found:
        yield found


@pytest.fixture
def driver(host: Host) -> Driver:
    return host.driver


def test_a_preview_has_a_database_of_its_own_through_tls_and_leaves_nothing(
    host: Host, operator: MysqlOperator, tmp_path: Path
) -> None:
    folder = tmp_path / "client"
    run = host.client(folder)
    folder.chmod(0o777)
    with host.open("one-1") as one, host.open("two-2") as two:
        connection: Any = one.connect(name="shop", user="root")
        two.driver.store(two.connect(), "marker_two")
        rows = operator.run(connection, "SELECT DATABASE(), CURRENT_USER()")
        assert rows == ((one.name, f"{one.name}@%"),)
        # Only the service and the server are encrypted; the driver sees a server without TLS.
        assert operator.run(connection, "SHOW STATUS LIKE 'Ssl_version'")[0][1].startswith("TLS")
        for hostile in ("SELECT * FROM shop.secrets", f"SELECT * FROM `{two.name}`.marker_two", "CREATE DATABASE x"):
            with pytest.raises(pymysql.Error, match=r"denied"):
                operator.run(connection, hostile)
        assert two.name not in operator.names(connection)
        operator.store(connection, "books", 2000)
        assert (one.measure() or 0) > 50_000
        host.run(partial(one.database.save, folder / "saved.sql", run))
        operator.run(connection, "DROP TABLE books")
        host.run(partial(one.database.load, folder / "saved.sql", run))
        (table,) = host.run(one.database.list_tables)
        assert (table.name, table.rows) == ("books", 2000)
        found = host.run(partial(one.database.query, "SELECT count(*) FROM books", most_rows=5))
        assert found.rows == (("2000",),)
        host.run(one.database.reset)
        assert "books" not in operator.names(one.connect())
        # Whatever it does to its own database keeps nobody from dropping it.
        operator.run(one.connect(), f"DROP DATABASE `{one.name}`")
    assert operator.all_names() == []


def test_what_a_killed_service_left_is_dropped_by_its_next_start_only(host: Host, operator: MysqlOperator) -> None:
    with beside_it(host, OTHER) as other:
        left, alone = other._names.new(), other._names.new()
        host.run(other.make, left, "x", "")
    operator.server.run(f"CREATE USER {alone}")
    operator.server.run(f"CREATE DATABASE pv_{OTHER}_of_the_operator")
    with host.open("one-1") as one:
        one.connect()
        with beside_it(host, OTHER):
            wait_until(lambda: not {left, alone} & set(operator.all_names()))
            assert {one.name, f"pv_{OTHER}_of_the_operator"} <= set(operator.all_names())
    operator.server.run(f"DROP DATABASE pv_{OTHER}_of_the_operator")


def test_two_services_with_one_mark_drop_nothing_of_each_other(host: Host, operator: MysqlOperator) -> None:
    with beside_it(host, OTHER) as one:
        of_one = one._names.new()
        host.run(one.make, of_one, "x", "")
        with structlog.testing.capture_logs() as logged, beside_it(host, OTHER) as copied:
            of_copied = copied._names.new()
            host.run(copied.make, of_copied, "x", "")
            assert {of_one, of_copied} <= set(operator.all_names())
            assert host.run(copied.drop, of_copied)
        assert [line["event"] for line in logged] == ["old databases kept"]
        assert of_one in operator.all_names()
        assert host.run(one.drop, of_one)


def test_a_preview_cannot_take_the_locks_of_the_service() -> None:
    names = Names(MARK, "0" * 32)
    assert MARK not in names.lock
    assert names.lock != Names(MARK, "1" * 32).lock
    assert names.secret not in repr(names)


def test_tls_and_the_account_are_checked_as_the_address_says(operator: MysqlOperator) -> None:
    assert check(operator.url()).startswith("MariaDB 1")
    trusted = operator.url(query=f"sslmode=verify-full&sslrootcert={operator.roots}")
    assert check(trusted.replace("127.0.0.1", "localhost")).startswith("MariaDB 1")
    with pytest.raises(ServerUnavailable, match="its certificate is not accepted"):
        check(operator.url(query="sslmode=verify-full"))
    # This account demands encryption, and `prefer` finds that the server has it.
    assert check(operator.url(query="")).startswith("MariaDB 1")
    for url, said in (
        (operator.url(query="sslmode=disable"), "refuses: Access denied"),
        (operator.url("weak"), "lacks rights in MariaDB .*: GRANT CREATE USER, PROCESS, CONNECTION ADMIN ON"),
        (operator.url("other"), r"GRANT ALL ON `pv\\_%`\.\* TO … WITH GRANT OPTION"),
        (operator.url("nobody"), "refuses: Access denied"),
        ("mysql://a:b@127.0.0.1:1", r"does not answer \(Connection refused\)"),
    ):
        with pytest.raises(ServerUnavailable, match=said) as caught:
            check(url)
        assert PASSWORD not in str(caught.value)
    assert check(f"mysql://root@?host={operator.server.socket}").startswith("MariaDB 1")


def packet(number: int, content: bytes) -> bytes:
    return len(content).to_bytes(3, "little") + bytes([number]) + content


def greeting(version: bytes, high: int = 0x0008) -> bytes:
    """A greeting without encryption."""
    rest = bytes(4) + b"s" * 8 + b"\0" + b"\xff\xf7" + b"\x2d\2\0" + high.to_bytes(2, "little") + b"\x15" + bytes(10)
    return packet(0, b"\x0a" + version + b"\0" + rest + b"t" * 12 + b"\0mysql_native_password\0")


MARIADB = greeting(b"5.5.5-10.11.2-MariaDB")


@pytest.mark.parametrize(
    ("answers", "query", "said"),
    [
        ((b"HTTP/1.1 400 Bad Request\r\n\r\n",), "", "does not answer"),
        ((b"SSH-2.0-x\r\n" * 50_000,), "", "does not answer"),
        ((), "", "another server has its address"),
        ((greeting(b"8.0.36"),), "", r"the server is not MariaDB \(8.0.36\)"),
        ((greeting(b"5.5.5-10.4.2-MariaDB"),), "", "MariaDB 10.4.2 is too old"),
        ((MARIADB,), "sslmode=require", "does not offer encryption"),
        ((MARIADB, packet(2, b"\xfemysql_clear_password\0")), "", "does not answer"),
        ((MARIADB, packet(2, b"\xffabc")), "", "refuses"),
        ((packet(0, b"\xff\x10\x04Too many connections"),), "", "refuses: Too many connections"),
    ],
    ids=["http", "ssh", "silence", "mysql", "old", "no tls", "clear", "error", "full"],
)
def test_a_server_that_is_none_gets_no_password_and_no_time(answers: tuple[bytes, ...], query: str, said: str) -> None:
    read = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(OSError):
                for one in answers:
                    connection.sendall(one)
                    read.extend(connection.recv(10_000))

        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(ServerUnavailable, match=said):
            check(f"mysql://admin:sesame@127.0.0.1:{listener.getsockname()[1]}?{query}")
        thread.join(10)
    assert b"sesame" not in read


def test_doctor_and_the_service_use_the_address_and_never_show_its_password(
    host: Host, operator: MysqlOperator, tmp_path: Path
) -> None:
    common = {"postgres": "off", "redis": "off", "data_dir": tmp_path, "network": "none"}
    for url, result, said in (
        (operator.url(), "ok", f"127.0.0.1:{operator.server.port}: MariaDB 1"),
        (operator.url("weak"), "warn", "the account lacks rights"),
    ):
        settings = load_settings(mysql=url, **common)
        (found,) = (one for one in server_checks(settings, host.runtime) if one.name == "MySQL")
        assert (found.result, said in found.found) == (result, True)
        assert "sesame" not in f"{found} {settings!r}"

    async def offered() -> frozenset[str]:
        async with open_backing(load_settings(mysql=operator.url(), **common), host.runtime) as backing:
            return backing.kinds

    assert host.run(offered) == {"MySQL"}


def test_a_server_that_is_down_is_said(tmp_path: Path) -> None:
    down = MysqlOperator(MariaServer(tmp_path, free_port()), tmp_path)
    with (
        open_host(down, tmp_path / "host", program_or_skip(down)) as host,
        host.open("one-1") as preview,
        pytest.raises(pymysql.Error, match=r"MariaDB does not answer \(Connection refused\)"),
    ):
        preview.connect()


def test_statements_of_the_server_contain_no_password(preview: Preview, operator: MysqlOperator) -> None:
    with closing(preview.connect()):
        ((kept,),) = operator.server.run("SELECT Password FROM mysql.user WHERE User = %s", preview.name)
    assert kept.startswith("*")
