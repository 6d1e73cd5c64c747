"""Clients that insist on encryption get it, and others do not; whatever a client sends harms no other."""

from __future__ import annotations

import gc
import os
import signal
import socket
import ssl
import struct
import warnings
from collections.abc import Iterator
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import pytest
import redis
from backing_kit import Driver, Host, Preview, wait_until
from redis.backoff import NoBackoff
from redis.retry import Retry

from preview.backing.tls import TlsFront
from preview.backing.tls import front as front_module
from preview.backing.wire import postgresql
from preview.detection import ServiceKind
from preview.runtime import join

ASKS = {
    "postgresql": postgresql.ASKS_FOR_TLS,
    "redis": b"",
    "mysql": struct.pack("<I", 1 << 24 | 32) + b"\x00\x0a" * 16,
}
# PyMySQL leaves its socket to the collector when a handshake fails.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
GARBAGE = (b"", b"\x16", b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 300)


@pytest.fixture(scope="module")
def front(host: Host) -> TlsFront:
    found = TlsFront(host.folder.parent / "tls", host.runtime, join=join)
    host.token.run_sync_soon(partial(host.nursery.start_soon, found.run))
    return found


@pytest.fixture
def preview(host: Host, front: TlsFront) -> Iterator[Preview]:
    kind = ServiceKind[host.driver.dialect.upper()]
    with host.open("tls-1", lambda serve: front.for_preview().before(kind, serve)) as found:
        yield found
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def insisting(preview: Preview, *, is_checked: bool = False) -> Any:
    """Connect as a client that speaks to no server without encryption."""
    port, kind = preview.port, preview.driver.dialect
    if kind == "postgresql":
        mode = "sslmode=verify-full sslrootcert=system" if is_checked else "sslmode=require"
        address = f"host=localhost port={port} user=joe password=x dbname=shop connect_timeout=20"
        return psycopg.connect(f"{address} {mode}", autocommit=True)
    if kind == "mysql":
        context = ssl.create_default_context()
        context.check_hostname = is_checked
        context.verify_mode = ssl.CERT_REQUIRED if is_checked else ssl.CERT_NONE
        return pymysql.connect(
            host="127.0.0.1", port=port, user="joe", password="x", database="shop", ssl=context, autocommit=True
        )
    client = redis.Redis(
        host="127.0.0.1",
        port=port,
        db=3,
        password="x",
        ssl=True,
        ssl_cert_reqs="required" if is_checked else "none",
        retry=Retry(NoBackoff(), 0),
        single_connection_client=True,
        socket_timeout=20,
    )
    try:
        client.ping()
    except BaseException:
        client.close()
        raise
    return client


def is_served(preview: Preview) -> bool:
    """Whether a client that insists is served now."""
    with suppress(*preview.driver.errors, OSError):
        insisting(preview).close()
        return True
    return False


def raw(preview: Preview) -> socket.socket:
    """A connection whose client has asked for a handshake, and sends something else."""
    found = socket.create_connection(("127.0.0.1", preview.port), timeout=20)
    if preview.driver.dialect == "mysql":
        found.recv(4096)
    found.sendall(ASKS[preview.driver.dialect])
    if preview.driver.dialect == "postgresql":
        assert found.recv(1) == b"S"
    return found


@pytest.mark.parametrize("said", GARBAGE, ids=range(len(GARBAGE)))
def test_what_is_no_handshake_ends_its_own_connection_only(preview: Preview, driver: Driver, said: bytes) -> None:
    with closing(insisting(preview)) as other:
        hostile = [raw(preview) for _ in range(3)]
        for one in hostile:
            with suppress(OSError):
                one.sendall(said)
                one.shutdown(socket.SHUT_WR)
        for one in hostile:
            with closing(one), suppress(OSError):
                while one.recv(65_536):
                    pass
        driver.store(other, "still_there")
        assert "still_there" in driver.names(other)


def test_clients_that_stop_in_the_middle_of_a_handshake_keep_nobody_waiting(preview: Preview, driver: Driver) -> None:
    hostile = [raw(preview) for _ in range(2)]
    try:
        for one in hostile:
            one.sendall(b"\x16\x03\x01\x02\x00\x01")
        with closing(insisting(preview)) as other:
            driver.store(other, "not_kept_waiting")
    finally:
        for one in hostile:
            one.close()


def test_one_preview_with_too_many_handshakes_keeps_no_other_from_its_own(
    host: Host, front: TlsFront, preview: Preview, driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_module, "MOST_SESSIONS", 4)
    held = [raw(preview) for _ in range(4)]
    for one in held:
        one.sendall(b"\x16\x03\x01\x02\x00\x01")
    try:
        kind = ServiceKind[driver.dialect.upper()]

        wait_until(lambda: not is_served(preview))
        with (
            host.open("tls-3", lambda serve: front.for_preview().before(kind, serve)) as other,
            closing(insisting(other)) as client,
        ):
            driver.store(client, "of_another")
    finally:
        for one in held:
            one.close()
    wait_until(lambda: is_served(preview))


def test_a_client_that_insists_is_served(preview: Preview, driver: Driver) -> None:
    with closing(insisting(preview)) as client:
        driver.store(client, "stored_encrypted", 20_000)
        assert "stored_encrypted" in driver.names(client)
        if driver.dialect == "postgresql":
            assert client.pgconn.ssl_in_use
            assert len(client.execute("SELECT * FROM stored_encrypted").fetchall()) == 20_000


def test_a_client_that_does_not_ask_is_served_in_the_clear(preview: Preview, driver: Driver) -> None:
    with closing(insisting(preview)) as client:
        driver.store(client, "stored_encrypted")
    if driver.dialect == "postgresql":
        plain = psycopg.connect(
            host="127.0.0.1", port=preview.port, user="joe", password="x", dbname="shop", sslmode="disable"
        )
        assert not plain.pgconn.ssl_in_use
    else:
        plain = preview.connect()
    with closing(plain):
        assert "stored_encrypted" in driver.names(plain)


def test_a_client_that_checks_the_certificate_is_refused_by_itself(preview: Preview, driver: Driver) -> None:
    with pytest.raises((*driver.errors, ssl.SSLError)) as raised:
        insisting(preview, is_checked=True)
    assert "certificate" in str(raised.value).lower()


def test_a_program_that_is_killed_ends_its_connections_and_starts_again(preview: Preview, driver: Driver) -> None:
    with closing(insisting(preview)) as client:
        assert kill_program(preview.host.folder.parent)
        wait_until(lambda: is_gone(client, driver))

    wait_until(lambda: is_served(preview))


def is_gone(client: Any, driver: Driver) -> bool:
    try:
        driver.run(client, "PING" if driver.kind == "redis" else "SELECT 1")
    except driver.errors:
        return True
    return False


def kill_program(folder: Path) -> bool:
    is_killed = False
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            said = (path / "cmdline").read_text("utf-8", "replace")
            if "preview_tls.py" in said and str(folder) in said and "python" in (path / "exe").readlink().name:
                os.kill(int(path.name), signal.SIGKILL)
                is_killed = True
    return is_killed


def test_only_kinds_with_a_demand_are_encrypted(preview: Preview, host: Host, driver: Driver) -> None:
    if driver.dialect != "postgresql":
        pytest.skip("PostgreSQL's clients ask")
    with host.open("tls-2") as other, pytest.raises(psycopg.OperationalError, match="does not support SSL"):
        psycopg.connect(host="localhost", port=other.port, user="joe", dbname="shop", sslmode="require")
