"""What is MySQL's own: clients that prove a password in other ways, and floods of sessions that never begin."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
from backing_kit import CONNECTIONS, Host, Preview, wait_until

from preview.backing.server import ServerUnavailable
from preview.backing.wire.mysql import frame
from preview.errors import DataUnavailable

pytestmark = pytest.mark.parametrize("host", ["mysql"], indirect=True)


@pytest.fixture
def preview(host: Host) -> Iterator[Preview]:
    with host.open("one-1") as found:
        yield found


def read_packet(connection: socket.socket) -> tuple[int, bytes]:
    with connection.makefile("rb") as file:
        head = file.read(4)
        return head[3], file.read(int.from_bytes(head[:3], "little"))


@pytest.mark.parametrize("plugin", [b"caching_sha2_password", b"client_ed25519", b"mysql_clear_password"])
@pytest.mark.parametrize("proof", [b"p" * 20, b""])
def test_a_client_of_another_plugin_is_asked_to_switch(preview: Preview, plugin: bytes, proof: bytes) -> None:
    with closing(socket.create_connection(("127.0.0.1", preview.port), timeout=20)) as client:
        assert read_packet(client)[0] == 0
        capabilities = (0x200 | 0x8 | 0x8000 | 0x80000).to_bytes(4, "little")
        login = capabilities + b"\0\0\0\1\x2d" + bytes(23) + b"joe\0\x02ab" + b"shop\0" + plugin + b"\0"
        client.sendall(frame(1, login))
        sequence, content = read_packet(client)
        assert (sequence, content[0]) == (2, 0xFE)
        assert content[1:].startswith(b"mysql_native_password\0")
        client.sendall(frame(3, proof))
        sequence, content = read_packet(client)
        assert (sequence, content[0]) == (4, 0)


def test_a_client_that_insists_on_encryption_is_told(preview: Preview) -> None:
    with closing(socket.create_connection(("127.0.0.1", preview.port), timeout=20)) as client:
        read_packet(client)
        client.sendall(frame(1, (0x200 | 0x800).to_bytes(4, "little") + bytes(28)))
        sequence, content = read_packet(client)
        assert (sequence, content[0]) == (2, 0xFF)
        assert b"encryption" in content


def test_clients_that_say_nothing_take_only_a_share_of_the_server(host: Host, preview: Preview) -> None:
    with ExitStack() as held, host.open("silent-1") as silent:
        for _ in range(CONNECTIONS):
            one = held.enter_context(closing(socket.create_connection(("127.0.0.1", silent.port), timeout=20)))
            assert read_packet(one)[1][0] == 10
        with closing(socket.create_connection(("127.0.0.1", silent.port), timeout=20)) as refused:
            content = read_packet(refused)[1]
        # Too many connections (1040), in place of a greeting.
        assert content[:3] == b"\xff\x10\x04"
        preview.connect()
        held.close()
        wait_until(silent.connects)


def test_a_preview_that_changes_its_own_password_harms_itself_only(host: Host, preview: Preview) -> None:
    preview.driver.run(preview.connect(), "SET PASSWORD = PASSWORD('other')")
    with pytest.raises(preview.driver.errors, match="Access denied"):
        preview.connect()
    with host.open("two-2") as other:
        other.connect()
    assert "pv_two_2" not in preview.driver.listed(host)


def test_a_table_stays_in_the_folder_that_is_measured(preview: Preview) -> None:
    connection, run = preview.connect(), preview.driver.run
    run(connection, "CREATE TABLE a (b int) DATA DIRECTORY = '/tmp'")
    assert run(connection, "SHOW WARNINGS")[0][1] == 1618
    assert "DIRECTORY" not in run(connection, "SHOW CREATE TABLE a")[0][1]


def test_a_database_has_the_name_that_the_project_has_as_long_as_it_is_free(host: Host, preview: Preview) -> None:
    run = preview.driver.run
    first = preview.connect(name="shop")
    run(first, "CREATE DATABASE IF NOT EXISTS shop")
    run(first, "USE shop")
    run(first, "CREATE TABLE shop.marker_one (a int)")
    assert run(first, "SELECT DATABASE()") == (("shop",),)
    with host.open("two-2") as other:
        second = other.connect(name="SHOP")
        assert run(second, "SELECT DATABASE()") == (("pv_two_2",),)
        assert "marker_one" not in preview.driver.names(second)
        with pytest.raises(preview.driver.errors, match="denied"):
            run(second, "SELECT * FROM shop.marker_one")
    assert run(first, "SHOW TABLES IN shop") == (("marker_one",),)


@pytest.mark.parametrize(
    "name", ["mysql", "sys", "PV_two_2", "a`b", "a%", "../mysql", "ä", "x" * 64, "information_schema"]
)
def test_no_name_leads_to_anything_but_the_previews_own(host: Host, preview: Preview, name: str) -> None:
    assert preview.driver.run(preview.connect(name=name), "SELECT DATABASE()") == (("pv_one_1",),)


def test_a_name_with_wildcards_of_grants_is_itself_only(host: Host, preview: Preview) -> None:
    run = preview.driver.run
    found = preview.connect(name="my_shop")
    with host.open("two-2") as other:
        run(other.connect(name="myxshop"), "CREATE TABLE marker_two (a int)")
        with pytest.raises(preview.driver.errors, match="denied"):
            run(found, "SELECT * FROM myxshop.marker_two")
    assert "myxshop" not in preview.driver.listed(host)


def test_the_name_of_a_database_that_could_not_be_dropped_is_not_given_again(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fails(*_: object) -> None:
        raise ServerUnavailable("no")

    with host.open("ends-1") as first:
        first.driver.store(first.connect(name="stuck"), "marker_one")
        monkeypatch.setattr(host.engine, "_execute", fails)
    monkeypatch.undo()
    with host.open("two-2") as other:
        found = other.connect(name="stuck")
        assert other.driver.run(found, "SELECT DATABASE()") == (("pv_two_2",),)
        host.kill_server()
        wait_until(other.connects)
    with host.open("three-3") as third:
        found = third.connect(name="stuck")
        assert third.driver.run(found, "SELECT DATABASE()") == (("stuck",),)
        assert third.driver.run(found, "SHOW TABLES") == ()


def test_a_reset_that_drops_nothing_is_said(host: Host, preview: Preview, monkeypatch: pytest.MonkeyPatch) -> None:
    preview.driver.store(preview.connect(), "kept")

    async def fail(name: str) -> bool:
        return False

    monkeypatch.setattr(host.engine, "drop", fail)
    with pytest.raises(DataUnavailable, match="did not drop the data"):
        host.run(preview.database.reset)
    monkeypatch.undo()
    host.run(preview.database.reset)
    assert "kept" not in preview.driver.names(preview.connect())
