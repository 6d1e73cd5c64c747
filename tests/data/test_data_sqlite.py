"""SQLite files of a preview: hostile ones, ones that an application holds, and what is read of them."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest
from confined_kit import open_sandbox, run_plain

from preview.backing import Column, QueryResult, TableSummary
from preview.data import ConfinedProgram
from preview.data.answers import call_confined
from preview.data.confined import SQLITE, preview_sqlite
from preview.data.sqlite import SqliteFile, SqliteTables, backup, find_sqlite_files, list_tables, query, read_table
from preview.errors import DataUnavailable, QueryRefused

_MIB = 1024 * 1024


def make(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements or ("CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT)",):
            connection.execute(statement)
    return path


async def ask(path: Path, statement: str, most_rows: int = 10) -> QueryResult:
    return await query(path.parent, path.name, statement, most_rows=most_rows, run=run_plain)


def find(folder: Path) -> list[str]:
    return [one.path for one in find_sqlite_files(folder, most_files=1000)]


# Hostile files


def test_only_regular_files_with_the_magic_bytes_are_found(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "data" / "node_modules").mkdir(parents=True)
    outside = make(tmp_path / "outside.db")
    size = make(project / "data" / "app.db").stat().st_size
    make(project / "data" / "node_modules" / "cache.db")
    make(project / os.fsdecode(b"\xff.db"))
    (project / "link.db").symlink_to(outside)
    (project / "linked").symlink_to(tmp_path)
    (project / "short.db").write_bytes(b"SQLite format 3\0")
    (project / "text.db").write_text("x" * 200)
    os.mkfifo(project / "SQLite format 3")
    assert find_sqlite_files(project, most_files=100) == (SqliteFile("data/app.db", size),)
    with pytest.raises(DataUnavailable, match="too many files"):
        find_sqlite_files(project, most_files=5)
    for number in range(30):
        make(project / f"{number}.db")
    assert len(find_sqlite_files(project, most_files=100)) == 20


@pytest.mark.parametrize("name", ["a?mode=rwc&x=%41#.db", "-rf .db", "line\nfeed'\".db", "schön.db"])
async def test_a_path_is_a_path_whatever_its_characters(tmp_path: Path, name: str) -> None:
    path = make(tmp_path / name)
    assert (await ask(path, "SELECT count(*) FROM books")).rows == (("0",),)
    assert find(tmp_path) == [name]


async def test_a_pipe_or_a_link_in_the_place_of_a_file_is_a_problem_of_that_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.db")
    (tmp_path / "link.db").symlink_to("app.db")
    make(tmp_path / "app.db")
    found = await list_tables(tmp_path, ["app.db", "link.db", "none.db", "pipe.db"], run_plain)
    assert [one.problem for one in found] == [
        None, "It is not a regular file.",
        "The file cannot be read: No such file or directory.", "It is not a regular file.",
    ]  # fmt: skip
    assert found[0].tables == (TableSummary("books", 0),)


@pytest.mark.parametrize("kind", ["noise", "cut", "pages", "schema"])
async def test_a_damaged_file_gives_a_sentence(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path / "app.db", "CREATE TABLE books (id INTEGER PRIMARY KEY, title TEXT)",
                *[f"INSERT INTO books (title) VALUES ('{'x' * 500}{number}')" for number in range(50)])  # fmt: skip
    data = bytearray(path.read_bytes())
    if kind == "noise":
        data[100:] = os.urandom(len(data) - 100)
    elif kind == "cut":
        del data[5000:]
    elif kind == "pages":
        data[4096:] = b"\xff" * (len(data) - 4096)
    else:
        data = data.replace(b"CREATE TABLE books", b"CREATE TABLE \x00\xff\xff\xff\xff")
    path.write_bytes(data)
    (found,) = await list_tables(tmp_path, ["app.db"], run_plain)
    assert found.problem is None or "Traceback" not in found.problem
    with pytest.raises(DataUnavailable) as raised:
        await ask(path, "SELECT * FROM books")
    assert "Traceback" not in str(raised.value)
    assert str(raised.value).endswith(".")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM books",
        "INSERT INTO books (title) VALUES ('x') RETURNING *",
        "DROP TABLE books",
        "CREATE TABLE other (x)",
        "SELECT 1; DELETE FROM books",
        "COMMIT",
        "BEGIN IMMEDIATE",
        "ATTACH '/etc/passwd' AS other",
        "VACUUM",
        "VACUUM INTO 'copy.db'",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "PRAGMA journal_mode = WAL",
        "PRAGMA wal_checkpoint",
        "SELECT load_extension('x.so')",
        "SELECT * FROM pragma_journal_mode",
        "",
        "SELECT",
        "SELECT ?",
        "SELECT * FROM nothing",
        "SELECT zeroblob(1000000000)",
    ],
)
def test_a_statement_cannot_write_or_leave_the_file(tmp_path: Path, statement: str) -> None:
    """In this process: another one for each statement takes too long."""
    path = make(tmp_path / "app.db", "CREATE TABLE books (title)", "INSERT INTO books VALUES ('kept')")
    before = path.read_bytes()
    request = {"act": "query", "file": str(path), "statement": statement, "most_rows": 5, "seconds": 5}
    with pytest.raises(vars(preview_sqlite)["Refused"]) as raised:
        preview_sqlite.main(request)
    assert str(raised.value).endswith(".")
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["app.db"]


async def test_an_endless_statement_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("preview.data.sqlite._STATEMENT_S", 0.5)
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x FROM n) SELECT count(*) FROM n"
    path = make(tmp_path / "app.db", f"CREATE VIEW endless AS {endless}")
    started = time.monotonic()
    assert (await list_tables(tmp_path, ["app.db"], run_plain))[0].tables == (TableSummary("endless", None),)
    with pytest.raises(QueryRefused, match="took too long"):
        await ask(path, "SELECT * FROM endless")
    assert time.monotonic() - started < 10


async def test_rows_bytes_and_values_are_bounded(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    numbers = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) "
    found = await ask(path, f"{numbers} SELECT x FROM n", most_rows=3)
    assert (found.rows, found.is_cut) == ((("1",), ("2",), ("3",)), True)
    found = await ask(path, f"{numbers} SELECT printf('%.*c', 2000, 'x') FROM n", most_rows=100_000)
    assert 100 < len(found.rows) < 1000
    assert found.is_cut
    found = await ask(path, "SELECT printf('%.*c', 5000, 'x'), zeroblob(5000), x'00ff', NULL, 1.5, 'a' || char(0)")
    assert [len(value or "") for value in found.rows[0][:2]] == [2048, 2050]
    assert (found.rows[0][2:], found.is_cut) == (("\\x00ff", None, "1.5", "a\0"), True)
    found = await ask(path, "SELECT CAST(x'ff41' AS TEXT) AS \"na\nme\"")
    assert (found.columns, found.rows) == ((Column("na\nme", ""),), (("\ufffdA",),))


@pytest.mark.parametrize(
    "said",
    [b"", b"[]", b"null", b'{"ok": 1}', b'{"ok": {"columns": [["a"]], "rows": []}}', b"[" * 100_000,
     b'{"ok": {"columns": [["a", ""]], "rows": [["1", "2"]]}}', b'{"ok": {"columns": [["a", ""]], "rows": [[1]]}}',
     b'{"ok": {"columns": [], "rows": [[], [], [], []]}}', b"\xff", b'{"ok": "' + b"x" * 4 * _MIB + b'"}',
     b'{"refused": 1}', b'{"unavailable": ["a"]}'],
    ids=lambda said: said[:40],
)  # fmt: skip
async def test_no_answer_of_the_program_is_believed(tmp_path: Path, said: bytes) -> None:
    async def lie(_program: ConfinedProgram) -> bytes:
        return said

    with pytest.raises(DataUnavailable, match="ended without an answer"):
        await query(tmp_path, "app.db", "SELECT 1", most_rows=3, run=lie)


async def test_a_sentence_of_the_program_has_no_control_characters(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db")
    with pytest.raises(QueryRefused) as raised:
        await ask(path, 'SELECT * FROM "\x1b[2J\n' + "x" * 5000 + '"')
    assert "\\u001b[2J x" in str(raised.value)
    assert len(str(raised.value)) <= 400


# Files that an application holds


async def test_a_file_in_use_is_copied_as_it_is_at_one_moment(tmp_path: Path) -> None:
    """Two tables always have the same count in a whole transaction."""
    project, copies = tmp_path / "project", tmp_path / "copies"
    project.mkdir()
    copies.mkdir()
    for name, mode in (("wal.db", "WAL"), ("journal.db", "DELETE")):
        make(project / name, f"PRAGMA journal_mode = {mode}", "CREATE TABLE a (x)", "CREATE TABLE b (x)")
    stop = threading.Event()

    def write() -> None:
        with (
            closing(sqlite3.connect(project / "wal.db")) as one,
            closing(sqlite3.connect(project / "journal.db")) as two,
        ):
            while not stop.is_set():
                for connection in (one, two):
                    with connection:
                        connection.execute("INSERT INTO a VALUES (hex(randomblob(500)))")
                        connection.execute("INSERT INTO b VALUES (1)")
                time.sleep(0.001)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        for _ in range(3):
            for one in copies.iterdir():
                one.unlink()
            made = await backup(project, ["journal.db", "wal.db"], copies, run_plain, most_bytes=64 * _MIB)
            for path in made.values():
                with closing(sqlite3.connect(path)) as copy:
                    counts = copy.execute("SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b)").fetchone()
                    assert counts[0] == counts[1] > 0
                    assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    finally:
        stop.set()
        thread.join()


async def test_a_file_that_is_locked_for_long_gives_a_sentence(tmp_path: Path) -> None:
    make(tmp_path / "app.db", "CREATE TABLE a (x)")
    (tmp_path / "copies").mkdir()
    with closing(sqlite3.connect(tmp_path / "app.db", isolation_level=None)) as held:
        held.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        with pytest.raises(DataUnavailable, match=r"'app.db' cannot be saved. The application has locked"):
            await backup(tmp_path, ["app.db"], tmp_path / "copies", run_plain, most_bytes=_MIB)
        assert time.monotonic() - started < 10
        held.execute("ROLLBACK")
    assert await backup(tmp_path, ["app.db"], tmp_path / "copies", run_plain, most_bytes=_MIB) == {
        "app.db": tmp_path / "copies" / "0.db"
    }
    with pytest.raises(DataUnavailable, match="too large"):
        await backup(tmp_path, ["app.db"], tmp_path / "copies", run_plain, most_bytes=1000)


async def test_tables_are_listed_and_read_by_pages(tmp_path: Path) -> None:
    odd = 'o"dd\n; DROP TABLE books'
    path = make(
        tmp_path / "app.db",
        "PRAGMA journal_mode = WAL",
        "CREATE TABLE books (id INTEGER PRIMARY KEY, title VARCHAR(20))",
        "INSERT INTO books VALUES (1, 'one'), (2, 'two'), (3, NULL)",
        "CREATE VIEW few AS SELECT title FROM books LIMIT 1",
        """CREATE TABLE "o""dd\n; DROP TABLE books" (x)""",
    )
    (found,) = await list_tables(tmp_path, [path.name], run_plain)
    tables = (TableSummary("books", 3), TableSummary("few", 1), TableSummary(odd, 0))
    assert found == SqliteTables("app.db", tables)
    rows = await read_table(tmp_path, "app.db", "books", offset=1, limit=1, run=run_plain)
    assert rows == QueryResult(
        (Column("id", "INTEGER"), Column("title", "VARCHAR(20)")), (("2", "two"),), is_cut=True, has_more=True
    )
    rows = await read_table(tmp_path, "app.db", "books", offset=2, limit=5, run=run_plain)
    assert (rows.rows, rows.is_cut) == ((("3", None),), False)
    assert (await read_table(tmp_path, "app.db", odd, offset=0, limit=5, run=run_plain)).rows == ()
    with pytest.raises(DataUnavailable, match="no such table"):
        await read_table(tmp_path, "app.db", "nothing", offset=0, limit=5, run=run_plain)


async def test_in_a_sandbox_a_file_in_use_is_read_and_copied(tmp_path: Path) -> None:
    project, copies = tmp_path / "project", tmp_path / "copies"
    project.mkdir()
    copies.mkdir()
    make(project / "app.db", "PRAGMA journal_mode = WAL", "CREATE TABLE a (x)", "INSERT INTO a VALUES (1)")
    async with open_sandbox(tmp_path / "sandbox") as run:
        with closing(sqlite3.connect(project / "app.db", isolation_level=None)) as application:
            application.execute("INSERT INTO a VALUES (2)")
            assert (await list_tables(project, ["app.db"], run))[0].tables == (TableSummary("a", 2),)
            (copy,) = (await backup(project, ["app.db"], copies, run, most_bytes=_MIB)).values()
            # The application goes on in the same file.
            application.execute("INSERT INTO a VALUES (3)")
        found = await query(project, "app.db", "SELECT x FROM a", most_rows=5, run=run)
        assert found.rows == (("1",), ("2",), ("3",))
    with closing(sqlite3.connect(copy)) as connection:
        assert connection.execute("SELECT x FROM a").fetchall() == [(1,), (2,)]


def test_the_folder_itself_may_be_a_link_and_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(DataUnavailable, match="cannot be opened"):
        find_sqlite_files(tmp_path / "link", most_files=10)


async def test_a_transaction_that_was_cut_off_gives_a_sentence(tmp_path: Path) -> None:
    path = make(tmp_path / "app.db", "CREATE TABLE a (x)", "INSERT INTO a VALUES (zeroblob(100000))")
    with closing(sqlite3.connect(path, isolation_level=None)) as application:
        application.execute("PRAGMA cache_size = 1")
        application.execute("BEGIN EXCLUSIVE")
        application.execute("UPDATE a SET x = randomblob(100000)")
        for name in ("app.db", "app.db-journal"):  # as a killed application leaves them
            (tmp_path / f"killed-{name}").write_bytes((tmp_path / name).read_bytes())
        application.execute("ROLLBACK")
    with pytest.raises(DataUnavailable, match="start the application"):
        await ask(tmp_path / "killed-app.db", "SELECT * FROM a")


async def test_an_unexpected_error_of_the_program_and_a_long_request_are_sentences(tmp_path: Path) -> None:
    with pytest.raises(DataUnavailable, match=r"^The data cannot be read \(KeyError\)\.$"):
        await call_confined(SQLITE, {"act": "nothing"}, run_plain, writable=(tmp_path,))
    with pytest.raises(QueryRefused, match="too long"):
        await ask(tmp_path / "app.db", "SELECT '" + "x" * 200_000)
