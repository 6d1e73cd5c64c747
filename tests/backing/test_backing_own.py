"""A PostgreSQL server of a preview's own: its administrator reaches nothing outside of it, and all in it works."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from backing_kit import CONNECTIONS, Host, Preview, server_pids, wait_until

from preview.backing import server_command
from preview.backing.own import server_folder
from preview.errors import DataUnavailable, QueryRefused

pytestmark = pytest.mark.parametrize("host", ["own"], indirect=True)


@pytest.fixture
def preview(host: Host) -> Iterator[Preview]:
    with host.open("one-1") as found:
        yield found


def said(connection: Any, command: str) -> str:
    """Run a shell command in the server; return what it prints."""
    connection.execute("CREATE TEMPORARY TABLE IF NOT EXISTS said (line text)")
    connection.execute("TRUNCATE said")
    quoted = command.replace("'", "''")
    connection.execute(
        f"COPY said FROM PROGRAM '({quoted}) 2>&1 || true' (FORMAT csv, DELIMITER E'\\x01', QUOTE E'\\x02')"
    )
    return "\n".join(line or "" for (line,) in connection.execute("SELECT line FROM said").fetchall())


def test_its_programs_reach_no_other_preview_no_file_of_the_service_and_no_network(
    host: Host, preview: Preview
) -> None:
    hostile: Any = preview.connect()
    secret = host.folder.parent / "secret_of_the_service"
    secret.write_text("marker_service")
    secret.chmod(0o644)
    with host.open("victim-1") as victim, socket.socket() as machine:
        victim.driver.store(victim.connect(), "marker_victim")
        machine.bind(("127.0.0.1", 0))
        machine.listen()
        port = machine.getsockname()[1]
        folder = host.folder / "victim-1"
        assert (folder / "server" / "data" / "PG_VERSION").exists()
        # 1. Files: only its own folder and the system's programs.
        assert "one-1" not in said(hostile, f"ls {folder}")
        assert "No such file" in said(hostile, f"ls {folder}/server/data")
        assert "No such file" in said(hostile, f"cat {secret}")
        assert said(hostile, f"ls {host.folder}").split() == ["one-1"]
        assert "marker_service" not in said(hostile, "cat /proc/*/environ /proc/*/cmdline | tr '\\0' ' '")
        with pytest.raises(psycopg.Error, match="No such file"):
            hostile.execute(f"SELECT pg_read_file('{secret}')")
        hostile.execute("CREATE EXTENSION IF NOT EXISTS file_fdw; CREATE SERVER files FOREIGN DATA WRAPPER file_fdw")
        hostile.execute(f"CREATE FOREIGN TABLE read (line text) SERVER files OPTIONS (filename '{secret}')")
        with pytest.raises(psycopg.Error, match="No such file"):
            hostile.execute("SELECT * FROM read")
        # 2. Writing: the system is read-only.
        for path in ("/usr/bin/x", "/etc/x", f"{host.folder}/x"):
            with pytest.raises(psycopg.Error, match="could not open file"):
                hostile.execute(f"COPY (SELECT 1) TO '{path}'")
        # 3. Network and sockets: its own only.
        hostile.execute("CREATE EXTENSION IF NOT EXISTS dblink")
        sockets = f"{folder}/server/socket"
        for target in (f"host=127.0.0.1 port={port}", f"host={sockets}", f"host=127.0.0.1 port={victim.port}"):
            with pytest.raises(psycopg.Error, match="could not establish connection"):
                hostile.execute(f"SELECT dblink_connect('{target} user=postgres connect_timeout=3')")
        assert said(hostile, "cat /proc/net/dev | grep -v lo: | grep -c :") == "0"
        # 4. Processes: its own only, and no rights.
        seen = said(hostile, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert "victim-1" not in seen
        assert "python" not in seen
        assert said(hostile, "id -u") != "0" or os.getuid() != 0
        own = {Path(f"/proc/{pid}").stat().st_uid for pid in server_pids(host.folder / "one-1")}
        assert os.getuid() not in own or os.getuid() != 0
        for pid in (1, os.getpid(), *server_pids(folder)):
            said(hostile, f"kill -9 {pid}")
        machine.setblocking(False)
        with pytest.raises(BlockingIOError):
            machine.accept()
        assert "marker_victim" in victim.driver.names(victim.connect())


def test_a_library_is_loaded_in_its_sandbox_only_and_what_it_breaks_is_its_own(host: Host, preview: Preview) -> None:
    hostile: Any = preview.connect()
    with host.open("victim-2") as victim:
        held = victim.connect()
        victim.driver.store(held, "marker_victim")
        # A command for the archive, which the server runs by itself; and one at its end.
        hostile.execute("ALTER SYSTEM SET archive_command = 'id'")
        hostile.execute("ALTER SYSTEM SET shared_preload_libraries = '../../../tmp/none.so'")
        hostile.execute("ALTER SYSTEM SET listen_addresses = '*'")
        hostile.execute("ALTER SYSTEM SET unix_socket_directories = '/tmp'")
        # The server ends, and cannot start any more.
        with suppress(psycopg.Error):
            hostile.execute("COPY (SELECT 1) TO PROGRAM 'kill -9 $(head -1 postmaster.pid)'")
        wait_until(lambda: not preview.connects())
        assert "marker_victim" in victim.driver.names(held)
        host.run(preview.database.reset)
        assert preview.connects()
        assert preview.connect().execute("SHOW shared_preload_libraries").fetchone() == ("",)


def test_links_in_place_of_its_socket_or_folders_lead_the_service_nowhere(host: Host, preview: Preview) -> None:
    with host.open("victim-3") as victim:
        victim.driver.store(victim.connect(), "marker_victim")
        hostile: Any = preview.connect()
        other = host.folder / "victim-3" / "server"
        said(hostile, f"cd ../socket && rm -f .s.PGSQL.5432 && ln -s {other}/socket/.s.PGSQL.5432 .s.PGSQL.5432")
        assert (host.folder / "one-1" / "server" / "socket" / ".s.PGSQL.5432").is_symlink()
        said(hostile, f"cd .. && mv socket moved && ln -s {other}/socket socket")
        said(hostile, f"rm -rf ../linked; ln -s {other} ../linked")
        with suppress(psycopg.Error):
            hostile.execute("COPY (SELECT 1) TO PROGRAM 'kill -9 $(head -1 postmaster.pid)'")
        wait_until(lambda: not preview.connects())
        names = host.client(host.folder.parent / "links")
        with pytest.raises(DataUnavailable):
            host.run(preview.database.save, host.folder.parent / "links" / "x.sql", names)
        # Measuring follows no link; a reset removes the link, not where it leads.
        host.run(preview.database.reset)
        assert "marker" not in preview.driver.names(preview.connect())
        assert "marker_victim" in victim.driver.names(victim.connect())


@pytest.mark.long
def test_files_of_all_kinds_count_and_the_walk_is_bounded(host: Host, preview: Preview) -> None:
    hostile: Any = preview.connect()
    before = preview.measure() or 0
    assert 10 << 20 < before < 80 << 20
    said(hostile, "dd if=/dev/zero of=../hidden bs=1M count=30")
    assert (preview.measure() or 0) - before >= 30 << 20
    said(hostile, "rm ../hidden")
    hidden = "exec 3>../gone; rm ../gone; dd if=/dev/zero bs=1M count=30 >&3; sleep 60"
    said(hostile, f"sh -c '{hidden}' >/dev/null 2>&1 &")
    wait_until(lambda: (preview.measure() or 0) - before >= 30 << 20)
    said(hostile, "mkdir -p ../many && cd ../many && seq 20000 | xargs touch")
    started = time.monotonic()
    assert (preview.measure() or 0) - before >= 20000 * 4096
    assert time.monotonic() - started < 5
    assert not host.run(preview.database.reset)


def test_the_project_is_the_administrator(host: Host, preview: Preview) -> None:
    shop: Any = preview.connect()
    shop.execute("CREATE TABLE books (n int); INSERT INTO books VALUES (1)")
    shop.execute("CREATE DATABASE copied TEMPLATE postgres")
    shop.execute("CREATE ROLE reader LOGIN PASSWORD 'x'; GRANT SELECT ON books TO reader; GRANT ALL ON books TO joe")
    shop.execute("CREATE EXTENSION pg_buffercache")
    shop.execute("ALTER SYSTEM SET work_mem = '7MB'")
    shop.execute("SELECT pg_reload_conf()")
    wait_until(lambda: preview.connect().execute("SHOW work_mem").fetchone() == ("7MB",) or preview.held.pop().close())
    for one in preview.held[1:]:
        one.close()
    assert shop.execute("SELECT current_user, current_database()").fetchone() == ("joe", "shop")
    # A role of the project's has the rights that it was given.
    reader: Any = preview.connect(user="reader", password="wrong")
    assert reader.execute("SELECT n FROM books").fetchall() == [(1,)]
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute("CREATE TABLE mine (n int)")
    reader.close()
    # What the project has dropped is not made again behind its back.
    other: Any = preview.connect(name="postgres")
    shop.close()
    other.execute("DROP DATABASE shop")
    with pytest.raises(psycopg.Error, match="does not exist"):
        preview.connect()
    other.execute("CREATE DATABASE shop")
    assert preview.connects()


@pytest.mark.long
def test_all_databases_and_roles_are_saved_and_loaded(host: Host, preview: Preview) -> None:
    shop: Any = preview.connect()
    scratch = host.folder.parent / "scratch"
    run = host.client(scratch)
    if os.getuid() == 0:
        scratch.chmod(0o777)
    shop.execute("CREATE TABLE books (n int PRIMARY KEY, title text); INSERT INTO books VALUES (1, 'Emma ü')")
    shop.execute(
        "CREATE ROLE reader LOGIN; GRANT SELECT ON books TO reader; ALTER TABLE books ENABLE ROW LEVEL SECURITY"
    )
    shop.execute("CREATE POLICY mine ON books TO reader USING (n = 1)")
    other: Any = preview.connect(name="second")
    other.execute("CREATE TABLE notes AS SELECT generate_series(1, 1000) n; CREATE TABLE odd (line text)")
    other.execute("INSERT INTO odd VALUES ('CREATE ROLE postgres;')")
    shop = preview.connect()
    saved = scratch / "saved.sql"
    assert host.run(preview.database.save, saved, run)

    for target in (preview, None):
        with host.open("forked-1") as forked:
            into = target or forked
            host.run(into.database.load, saved, run)
            names = [one.name for one in host.run(into.database.list_tables)]
            # Of the database that was used before, else of the first by its name.
            assert names == (["public.books"] if target else ["public.notes", "public.odd"])
            assert into.connect(user="reader").execute("SELECT title FROM books").fetchall() == [("Emma ü",)]
            second = into.connect(name="second")
            assert second.execute("SELECT count(*) FROM notes").fetchone() == (1000,)
            assert second.execute("SELECT line FROM odd").fetchone() == ("CREATE ROLE postgres;",)


def test_a_dump_of_one_database_becomes_the_first_one_that_is_asked_for(
    host: Host, preview: Preview, tmp_path: Path
) -> None:
    scratch = tmp_path / "single"
    run = host.client(scratch)
    scratch.chmod(0o755)
    saved = scratch / "saved.sql"
    saved.write_text("CREATE TABLE public.books (n int);\nINSERT INTO public.books VALUES (7);\n")
    saved.chmod(0o644)
    host.run(preview.database.load, saved, run)
    assert [one.name for one in host.run(preview.database.list_tables)] == ["public.books"]
    assert preview.connect(name="shop").execute("SELECT n FROM books").fetchall() == [(7,)]
    with pytest.raises(psycopg.Error, match="does not exist"):
        preview.connect(name="second").execute("SELECT n FROM books")


def test_a_load_that_fails_leaves_what_was_there(host: Host, preview: Preview, tmp_path: Path) -> None:
    scratch = tmp_path / "failed"
    run = host.client(scratch)
    scratch.chmod(0o755)
    saved = scratch / "saved.sql"
    saved.write_text("SELECT nothing;\n")
    saved.chmod(0o644)
    preview.connect().execute("CREATE TABLE books AS SELECT 1 AS n")
    # A full disk: the new folder cannot be made at all.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server_folder, "make_folder", full)
        patch.setattr(server_command, "_fill_from", lambda command, kept: False)
        with pytest.raises(DataUnavailable):
            host.run(preview.database.load, saved, run)
    assert preview.connect().execute("SELECT n FROM books").fetchall() == [(1,)]


def test_a_table_that_is_locked_is_named_as_the_reason(host: Host, preview: Preview, tmp_path: Path) -> None:
    run = host.client(tmp_path / "locked")
    (tmp_path / "locked").chmod(0o777)
    connection: Any = preview.connect()
    connection.execute("CREATE TABLE books (n int)")
    with connection.transaction():
        connection.execute("LOCK TABLE books")
        with pytest.raises(DataUnavailable, match="A table is locked by a transaction"):
            host.run(preview.database.save, tmp_path / "locked" / "saved.sql", run)


def full(command: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_names_of_any_length_and_number_take_little_memory(host: Host, preview: Preview) -> None:
    long = "x" * 5000
    preview.connect(name=long)
    database: Any = preview.database
    assert max(len(name) for pair in database._made for name in pair) == 63
    database._made.update((f"user{number}", "shop") for number in range(2000))
    held = len(database._made)
    preview.connect(user="another")
    assert len(database._made) == held


def test_queries_read_and_cannot_write(host: Host, preview: Preview) -> None:
    async def query(statement: str) -> Any:
        return await preview.database.query(statement, most_rows=10)

    with pytest.raises(DataUnavailable):
        host.run(query, "SELECT 1")
    preview.connect().execute("CREATE TABLE books AS SELECT 1 AS n")
    assert host.run(query, "SELECT n FROM books").rows == (("1",),)
    for statement in ("DELETE FROM books", "CREATE TABLE x (n int)", "SELECT 1; COMMIT; DELETE FROM books"):
        with pytest.raises(QueryRefused):
            host.run(query, statement)
    # The administrator's session may run programs, even if it only reads.
    for statement in ("COPY (SELECT 1) TO PROGRAM 'touch marker_ran'", "DO $$ BEGIN END $$", "SET work_mem = '1MB'"):
        with pytest.raises(QueryRefused, match="Only statements that return rows can run here"):
            host.run(query, statement)
    assert "marker_ran" not in said(preview.connect(), "ls")
    assert host.run(query, "SELECT n FROM books").rows == (("1",),)


def test_connections_are_counted_before_they_begin(host: Host, preview: Preview) -> None:
    preview.connect()
    silent = [socket.create_connection(("127.0.0.1", preview.port)) for _ in range(CONNECTIONS)]
    with pytest.raises(psycopg.OperationalError, match="too many connections"):
        preview.connect()
    for one in silent:
        with closing(one):
            pass
    wait_until(preview.connects)
