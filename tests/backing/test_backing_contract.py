"""One contract for all kinds of servers that previews get."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from backing_kit import CONNECTIONS, DRIVERS, Driver, Host, Preview, open_host, program_or_skip, wait_until

from preview.core.servers import Program

FIRST_S = 0.5
# See ``backing_kit``.
STATEMENT_S = 30


@pytest.fixture
def preview(host: Host) -> Iterator[Preview]:
    with host.open("one-1") as found:
        yield found


def gone(connection: Any, driver: Driver) -> bool:
    """Whether the connection fails, as it must once its server has ended."""
    statement = "PING" if driver.kind == "redis" else "SELECT 1"
    try:
        driver.run(connection, statement)
    except driver.errors:
        return True
    return False


@pytest.mark.parametrize(
    ("user", "password", "name"),
    [("joe", "secret", "shop"), ("root", "", "mysql"), ("postgres", "pässword", "postgres"), ("a-b", "x" * 60, "1")],
)
def test_any_user_password_and_name_lead_to_the_previews_own(
    preview: Preview, driver: Driver, user: str, password: str, name: str
) -> None:
    driver.store(preview.connect(), f"stored_{user.replace('-', '_')}")
    found = preview.connect(user=user, password=password, name=name if driver.kind != "redis" else "3")
    assert f"stored_{user.replace('-', '_')}" in driver.names(found)


def test_two_previews_do_not_see_each_others_data_and_sessions(host: Host, preview: Preview, driver: Driver) -> None:
    driver.store(preview.connect(), "marker_one")
    with host.open("two-2") as other:
        found = other.connect()
        driver.store(found, "marker_two")
        seen = driver.names(found)
        assert "marker_two" in seen
        assert "marker_one" not in seen


def test_what_a_preview_had_is_dropped_at_its_end_with_its_sessions(host: Host, driver: Driver) -> None:
    with host.open("ends-1") as preview:
        held = driver.connect(preview.port)
        driver.store(held, "stored")
        assert preview.name in driver.listed(host)
    assert preview.name not in driver.listed(host)
    with closing(held):
        assert gone(held, driver)


def test_a_preview_that_never_connects_has_nothing_made(host: Host, driver: Driver) -> None:
    with host.open("ready-1") as ready:
        ready.connect()
        with host.open("unused-1") as unused:
            assert unused.name not in driver.listed(host)
            assert unused.measure() is None


def test_a_killed_server_starts_again_and_drops_what_nobody_owns(host: Host, preview: Preview, driver: Driver) -> None:
    held = preview.connect()
    driver.store(held, "kept")
    orphan = ""
    if driver.is_shared:
        orphan = host.make_orphan()
        assert orphan in driver.listed(host)
    host.kill_server()
    wait_until(lambda: gone(held, driver))

    found: list[Any] = []
    said: list[str] = []

    def connects() -> bool:
        try:
            found.append(preview.connect())
        except driver.errors as error:
            said.append(str(error).strip())
        return bool(found)

    wait_until(connects)
    # Until then the driver had a sentence for people, or the connection's end.
    assert all(said)
    assert ("kept" in driver.names(found[0])) == driver.is_durable
    if driver.is_shared:
        assert orphan not in driver.listed(host)


def test_connections_are_limited_and_the_driver_says_so(
    host: Host, preview: Preview, driver: Driver, tmp_path: Path
) -> None:
    held = [preview.connect() for _ in range(CONNECTIONS)]
    driver.store(held[0], "stored")
    with pytest.raises(driver.errors, match=r"(?i)too many connections|max_user_connections|max number of clients"):
        driver.connect(preview.port)
    # The service still reads and saves the data.
    run = host.client(tmp_path / "client")
    (tmp_path / "client").chmod(0o777)
    assert host.run(preview.database.save, tmp_path / "client" / "saved", run)
    if driver.kind != "redis":
        assert "stored" in str(host.run(preview.database.list_tables))
    held[0].close()
    wait_until(preview.connects)


def test_a_database_is_measured(preview: Preview, driver: Driver) -> None:
    connection = preview.connect()
    driver.store(connection, "small")
    before = preview.measure()
    assert before is not None
    driver.store(connection, "large", 20_000)
    after = preview.measure()
    assert after is not None
    assert after - before > 500_000


def firsts(driver: Driver) -> dict[str, bytes]:
    """First bytes of hostile clients, none of which begins a session."""
    of_kind = {
        "postgresql": {
            "half": (100).to_bytes(4) + (3 << 16).to_bytes(4) + b"user\0jo",
            "encryption again and again": ((8).to_bytes(4) + (80877103).to_bytes(4)) * 50,
            "replication": (41).to_bytes(4) + (3 << 16).to_bytes(4) + b"user\0joe\0replication\0database\0\0\0",
            "cancels": (16).to_bytes(4) + (80877102).to_bytes(4) + b"\1\0\0\0\1\0\0\0",
        },
        "mysql": {
            "half": b"\x60\0\0\1" + b"\x85\xa2\x1a\0",
            "encryption": b"\x20\0\0\1" + (0x800 | 0x200).to_bytes(4, "little") + bytes(28),
            "no end": b"\x40\0\0\1" + (0x200 | 0x8000).to_bytes(4, "little") + b"\xff" * 60,
        },
        "redis": {"half": b"*2\r\n$4\r\nAUTH\r\n$9\r\nabc", "endless": b"*2\r\n$4\r\nAUTH\r\n$9999\r\n" + b"a" * 5000},
    }
    return {
        "silence": b"",
        "zeros": bytes(4096),
        "text": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "flood": b"\xff" * 300_000,
        **of_kind[driver.dialect],
    }


def test_hostile_first_messages_end_within_bounds_and_others_are_served(
    host: Host, preview: Preview, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"preview.backing.{driver.module}.FIRST_S", FIRST_S)
    with host.open("hostile-1") as hostile:
        sockets = []
        for data in firsts(driver).values():
            for _ in range(4):
                one = socket.create_connection(("127.0.0.1", hostile.port), timeout=20)
                sockets.append(one)
                with suppress(OSError):
                    one.sendall(data)
        driver.store(preview.connect(), "served_meanwhile")
        started = time.monotonic()
        for one in sockets:
            with closing(one), suppress(OSError):
                # A server that reads on (Redis, a word of garbage) answers; none keeps a connection without a word.
                one.shutdown(socket.SHUT_WR)
                while one.recv(65536):
                    pass
        assert time.monotonic() - started < 10
        # Its own next session begins.
        wait_until(lambda: not gone(hostile.connect(), driver))


@pytest.mark.parametrize("kind", DRIVERS)
def test_a_broken_program_is_explained_by_the_driver(kind: str, tmp_path: Path) -> None:
    driver = DRIVERS[kind]
    program_or_skip(driver)
    with (
        open_host(driver, tmp_path, Program(Path("/usr/bin/false"), "Broken")) as host,
        host.open("one-1") as preview,
        pytest.raises(driver.errors, match="Broken did not start: "),
    ):
        preview.connect()


def test_a_preview_is_no_administrator(host: Host, preview: Preview, driver: Driver) -> None:
    connection = preview.connect()
    driver.store(connection, "mine")
    accepted = []
    for statement in driver.hostile:
        try:
            driver.run(connection, statement)
        except driver.errors:
            continue
        accepted.append(statement)
    # Some functions say nothing rather than refuse.
    unsaid = {"SELECT LOAD_FILE('/etc/passwd')": ((None,),)} if driver.kind == "mysql" else {}
    assert {one: driver.run(connection, one) for one in unsaid} == unsaid
    assert accepted == []
    assert not gone(preview.connect(), driver)
    assert host.run(preview.database.measure) is not None


def test_statements_have_a_limit_of_time(preview: Preview, driver: Driver) -> None:
    if driver.dialect == "redis":
        pytest.skip("a Redis of a preview's own keeps nobody else waiting")
    connection = preview.connect()
    if driver.dialect == "mysql":
        assert driver.run(connection, "SELECT @@max_statement_time") == ((STATEMENT_S,),)
        # It cannot be raised beyond the account's.
        driver.run(connection, "SET SESSION max_statement_time = 0.2")
        with pytest.raises(driver.errors, match="max_statement_time exceeded"):
            driver.run(connection, "SELECT SLEEP(60) FROM seq_1_to_10")
    else:
        assert driver.run(connection, "SHOW statement_timeout").fetchone() == (f"{STATEMENT_S}s",)


def test_nothing_of_the_service_is_readable_by_others(host: Host, preview: Preview) -> None:
    preview.connect()
    folder = host.folder if host.driver.is_shared else host.folder / "one-1"
    assert (folder.stat().st_mode & 0o077) == 0
    assert folder.stat().st_uid == os.getuid()
