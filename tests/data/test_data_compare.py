"""Two snapshots compared by a confined program: hostile ones, then ordinary ones of each kind."""

from __future__ import annotations

import os
import random
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import pytest
from confined_kit import open_sandbox, run_plain
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from preview.data import ConfinedProgram, RunConfined
from preview.data.compare import Comparison, DatabaseChange, FileChange, RowSample, TableChange, compare
from preview.data.confined import preview_dumps, preview_tables
from preview.data.tree import add_copy, save_tree
from preview.errors import DataUnavailable

_MIB = 1024 * 1024
NOTHING = Comparison((), (), is_cut=False)

PG = r"""--
-- PostgreSQL database dump
--
\restrict abc
CREATE TABLE public.books (
    id integer NOT NULL,
    title text
);
CREATE TABLE public."Odd"", (name)" (
    "a b" text
);
COPY public.books (id, title) FROM stdin;
{books}\.


COPY public."Odd"", (name)" ("a b") FROM stdin;
{odd}\.


SELECT pg_catalog.setval('public.books_id_seq', 3, true);
ALTER TABLE ONLY public.books
    ADD CONSTRAINT books_pkey PRIMARY KEY (id);
"""
MY = r"""-- MariaDB dump 10.19  Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)
DROP TABLE IF EXISTS `books`;
/*!40101 SET character_set_client = utf8 */;
CREATE TABLE `books` (
  `id` int(11) NOT NULL AUTO_INCREMENT,
  `title` varchar(200) DEFAULT NULL,
  `twice` int(11) GENERATED ALWAYS AS (`id` * 2) VIRTUAL,
  `cover` blob DEFAULT NULL,
  PRIMARY KEY (`id`),
  KEY `title` (`title`)
) ENGINE=InnoDB AUTO_INCREMENT=3 DEFAULT CHARSET=utf8mb4;
LOCK TABLES `books` WRITE;
/*!40000 ALTER TABLE `books` DISABLE KEYS */;
INSERT INTO `books` VALUES{books};
/*!40000 ALTER TABLE `books` ENABLE KEYS */;
UNLOCK TABLES;
"""


def snapshot(folder: Path, **files: str | bytes) -> Path:
    """Make the folder of a snapshot; the keys are file names with ``_`` for ``.``."""
    folder.mkdir()
    for name, content in files.items():
        data = content if isinstance(content, bytes) else content.encode()
        (folder / name.replace("_", ".")).write_bytes(data)
    return folder


def with_files(folder: Path, project: Path, databases: Mapping[str, Path] | None = None) -> Path:
    folder.mkdir()
    with (folder / "files.tar").open("wb") as file:
        save_tree(project, file, leave_out=databases or (), most_bytes=64 * _MIB, most_files=10_000)
        for path, copy in (databases or {}).items():
            add_copy(file, path, copy, most_bytes=64 * _MIB)
    return folder


async def compared(before: Path, after: Path, run: RunConfined = run_plain) -> Comparison:
    scratch = before.parent / "scratch"
    scratch.mkdir(exist_ok=True)
    return await compare(before, after, run, scratch)


def database(path: Path, *statements: str) -> Path:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)
    return path


# Hostile snapshots


@pytest.mark.parametrize("name", ["files.tar", "postgresql.sql", "mysql.sql", "redis.rdb", "app.db"])
async def test_snapshots_of_noise_are_compared_or_said_to_be_damaged(tmp_path: Path, name: str) -> None:
    noise = random.Random(name).randbytes(200_000)
    kept = {"postgresql.sql": PG.format(books="1\ta\n", odd=""), "mysql.sql": MY.format(books="\n(1,'a',NULL,NULL)")}
    sound = kept.get(name, "").encode()
    for number, (one, other) in enumerate([(noise, sound), (sound + noise, noise + sound), (sound[:-40], b"(" * 9999)]):
        before, after = tmp_path / f"{number}a", tmp_path / f"{number}b"
        for folder, content in ((before, one), (after, other)):
            if name == "app.db":
                project = tmp_path / f"project{folder.name}"
                project.mkdir()
                (project / "app.db").write_bytes(b"SQLite format 3\0" + content)
                with_files(folder, project)
            else:
                folder.mkdir()
                (folder / name).write_bytes(content)
        assert isinstance(await compared(before, after), Comparison)


async def test_a_pipe_in_the_place_of_a_file_ends_the_comparison(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, after = snapshot(tmp_path / "a"), snapshot(tmp_path / "b")
    os.mkfifo(after / "postgresql.sql")
    found = await compared(before, after)
    assert found.is_cut
    assert found.databases[0].tables[0].note == "It cannot be compared: ValueError."


async def test_a_large_table_is_counted_and_time_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = "".join(f"{number}\t{'x' * 100}\n" for number in range(700_000))
    before = snapshot(tmp_path / "a", postgresql_sql=PG.format(books=rows, odd="y\n"))
    after = snapshot(tmp_path / "b", postgresql_sql=PG.format(books=rows[: rows.index("\n600000\t") + 1], odd="z\n"))
    started = time.monotonic()
    found = await compared(before, after)
    assert time.monotonic() - started < 20
    odd, large = found.databases[0].tables
    assert (large.removed, large.samples) == (100_000, ())
    assert large.note == "It is too large to be compared: 700000 rows before, 600000 after."
    assert (odd.added, odd.removed, found.is_cut) == (1, 1, True)
    monkeypatch.setattr("preview.data.compare._COMPARE_S", 0.0)
    found = await compared(before, after)
    assert found.is_cut
    assert found.databases[0].tables[0].note == "It is not compared for lack of time."


@pytest.mark.parametrize(
    "said",
    [b'{"ok": {"files": [["a", "moved", 1, 1]], "databases": []}}', b'{"ok": {"files": [["a"]], "databases": []}}',
     b'{"ok": {"files": [["a", "added", null, -1]], "databases": []}}', b'{"ok": []}',
     b'{"ok": {"files": [], "databases": [{"name": "x", "tables": [{"name": "y", "added": true}]}]}}',
     b'{"ok": {"files": [' + b'["a", "added", null, 1],' * 2000 + b'[]], "databases": []}}'],
    ids=lambda said: said[:60],
)  # fmt: skip
async def test_no_answer_of_the_program_is_believed(tmp_path: Path, said: bytes) -> None:
    async def lie(_program: ConfinedProgram) -> bytes:
        return said

    with pytest.raises(DataUnavailable, match="ended without an answer"):
        await compare(tmp_path, tmp_path, lie, tmp_path)


# Ordinary ones


async def test_equal_snapshots_do_not_differ(tmp_path: Path) -> None:
    files = {
        "postgresql_sql": PG.format(books="1\ta\n2\tb\n", odd=""),
        "mysql_sql": MY.format(books="\n(1,'a',NULL,NULL)"),
    }
    other = {**files, "postgresql_sql": PG.format(books="2\tb\n1\ta\n", odd="")}
    assert await compared(snapshot(tmp_path / "a", **files), snapshot(tmp_path / "b", **other)) == NOTHING
    assert await compared(snapshot(tmp_path / "none"), snapshot(tmp_path / "nothing")) == NOTHING


async def test_rows_of_postgresql_are_compared_by_their_key(tmp_path: Path) -> None:
    before = PG.format(books="1\tone\n2\ttwo\\tlines\\n\n3\t\\N\n", odd="x\nx\ny\n")
    after = PG.format(books="3\t\\N\n2\tnew\n4\tfour\n", odd="x\ny\ny\nz\n")
    found = await compared(
        snapshot(tmp_path / "a", postgresql_sql=before), snapshot(tmp_path / "b", postgresql_sql=after)
    )
    odd = (RowSample("added", None, {"a b": "y"}), RowSample("added", None, {"a b": "z"}),
           RowSample("removed", {"a b": "x"}, None))  # fmt: skip
    books = (
        RowSample("changed", {"id": "2", "title": "two\tlines\n"}, {"id": "2", "title": "new"}),
        RowSample("added", None, {"id": "4", "title": "four"}),
        RowSample("removed", {"id": "1", "title": "one"}, None),
    )
    tables = (
        TableChange('public.Odd", (name)', 2, 0, 1, odd, None),
        TableChange("public.books", 1, 1, 1, books, None),
    )
    assert found == Comparison((), (DatabaseChange("PostgreSQL", tables),), is_cut=False)


async def test_tables_of_the_same_name_in_several_databases_are_not_confused(tmp_path: Path) -> None:
    def cluster(shop: str, odd: str) -> str:
        named = (("shop", shop), ("-reuse-previous=on \"dbname='my shop'\"", odd))
        parts = (f"\\connect {name}\n\n{PG.format(books=books, odd='')}" for name, books in named)
        return "--\n-- PostgreSQL database cluster dump\n--\n\n\\connect postgres\n" + "\n".join(parts)

    found = await compared(
        snapshot(tmp_path / "a", postgresql_sql=cluster("1\tone\n", "1\tuno\n")),
        snapshot(tmp_path / "b", postgresql_sql=cluster("1\ttwo\n", "1\tuno\n2\tdue\n")),
    )
    (change,) = found.databases
    assert [(one.name, one.added, one.changed, one.removed) for one in change.tables] == [
        ("my shop.public.books", 1, 0, 0),
        ("shop.public.books", 0, 1, 0),
    ]


@pytest.mark.parametrize("between", ["\n", " "], ids=["lines", "one line"])
async def test_rows_of_mysql_are_compared_by_their_key(tmp_path: Path, between: str) -> None:
    separator = ",\n" if between == "\n" else ","
    before = separator.join([r"(1,'It\'s (a) \\, \n',NULL,0x00FF)", "(2,NULL,NULL,NULL)"])
    after = separator.join([r"(2,'),(',NULL,NULL)", "(3,'x',NULL,_binary 'y')"])
    found = await compared(
        snapshot(tmp_path / "a", mysql_sql=MY.format(books=between + before)),
        snapshot(tmp_path / "b", mysql_sql=MY.format(books=between + after)),
    )
    samples = (
        RowSample(
            "changed",
            {"id": "2", "title": None, "twice": None, "cover": None},
            {"id": "2", "title": "),(", "twice": None, "cover": None},
        ),
        RowSample("added", None, {"id": "3", "title": "x", "twice": None, "cover": "y"}),
        RowSample("removed", {"id": "1", "title": "It's (a) \\, \n", "twice": None, "cover": "0x00FF"}, None),
    )
    assert found.databases == (DatabaseChange("MySQL", (TableChange("books", 1, 1, 1, samples, None),)),)


async def test_files_and_sqlite_files_are_compared(tmp_path: Path) -> None:
    project = tmp_path / "project"
    (project / "folder").mkdir(parents=True)
    for name in ("same", "changed", "gone", "program"):
        (project / name).write_text(name)
    (project / "link").symlink_to("same")
    old = database(tmp_path / "old.db", "CREATE TABLE a (id INTEGER PRIMARY KEY, x)", "CREATE TABLE b (x)",
                   "INSERT INTO a VALUES (1, 'one'), (2, x'00ff')", "CREATE TABLE gone (x)")  # fmt: skip
    before = with_files(tmp_path / "a", project, {"data.db": old, "same.db": old})
    (project / "changed").write_text("CHANGED")
    (project / "gone").unlink()
    (project / "new").write_text("new")
    (project / os.fsdecode(b"no\xff\ntext")).write_text("")
    (project / "program").chmod(0o755)
    (project / "link").unlink()
    (project / "link").symlink_to("new")
    new = database(tmp_path / "new.db", "CREATE TABLE a (id INTEGER PRIMARY KEY, x, y)", "CREATE TABLE b (x)",
                   "INSERT INTO a VALUES (1, 'one', 5), (3, NULL, NULL)", "INSERT INTO b VALUES (1), (1)")  # fmt: skip
    after = with_files(tmp_path / "b", project, {"data.db": new, "same.db": old})
    found = await compared(before, after)
    assert found.files == (
        FileChange("changed", "changed", 7, 7),
        FileChange("gone", "removed", 4, None),
        FileChange("link", "changed", 0, 0),
        FileChange("new", "added", None, 3),
        FileChange("no?\ntext", "added", None, 0),
        FileChange("program", "changed", 7, 7),
    )
    (only,) = found.databases
    assert only.name == "SQLite data.db"
    a, b, gone = only.tables
    assert (a.added, a.changed, a.removed) == (1, 0, 1)
    assert a.note == "The columns have changed (+y); rows are compared by the others."
    one = RowSample("added", None, {"x": "1"})
    assert b == TableChange("b", 2, 0, 0, (one, one), None)
    assert gone == TableChange("gone", 0, 0, 0, (), "The table is gone.")


async def test_a_redis_dump_differs_by_its_keys_alone(tmp_path: Path) -> None:
    def dump(time: bytes, rest: bytes) -> bytes:
        return b"REDIS0011\xfa\x09redis-ver\x057.0.1\xfa\x05ctime\xc2" + time + b"\xfa\x04bits\xc0\x40" + rest + b"\xff"

    one = snapshot(tmp_path / "a", redis_rdb=dump(b"1234", b"\xfe\0\0\x01a\x01b") + b"checksum")
    other = snapshot(tmp_path / "b", redis_rdb=dump(b"5678", b"\xfe\0\0\x01a\x01b") + b"CHECKSUM")
    third = snapshot(tmp_path / "c", redis_rdb=dump(b"5678", b"\xfe\0\0\x01a\x01c") + b"CHECKSUM")
    assert await compared(one, other) == NOTHING
    assert (await compared(one, third)).databases[0].name == "Redis"


async def test_in_a_sandbox_snapshots_are_compared(tmp_path: Path) -> None:
    project, scratch = tmp_path / "project", tmp_path / "scratch"
    project.mkdir()
    scratch.mkdir()
    before, after = [
        with_files(tmp_path / str(number), project, {"a.db": database(tmp_path / f"{number}.db", "CREATE TABLE a (x)",
                   f"INSERT INTO a VALUES ({number})")})
        for number in range(2)
    ]  # fmt: skip
    for folder in (before, after):
        folder.chmod(0o755)
        (folder / "files.tar").chmod(0o644)
    async with open_sandbox(tmp_path / "sandbox") as run:
        found = await compare(before, after, run, scratch)
    assert [one.name for one in found.databases] == ["SQLite a.db"]


_ROWS = st.lists(st.tuples(st.integers(0, 5), st.sampled_from("abc")), max_size=8)


@hypothesis_settings(max_examples=50)
@given(before=_ROWS, after=_ROWS, has_key=st.booleans())
def test_the_counts_lead_from_one_table_to_the_other(
    before: list[tuple[int, str]],
    after: list[tuple[int, str]],
    tmp_path_factory: pytest.TempPathFactory,
    has_key: bool,
) -> None:
    folder = tmp_path_factory.mktemp("rows")
    tables = []
    for name, rows in (("a", before), ("b", after)):
        found = list(dict(rows).items()) if has_key else rows
        text = PG.format(books="".join(f"{key}\t{value}\n" for key, value in found), odd="")
        text = text if has_key else text.partition("ALTER TABLE")[0]
        (folder / name).write_text(text)
        tables.append((found, preview_dumps.read_postgresql(str(folder / name), lambda: None)["public.books"]))
    (olds, old), (news, new) = tables
    change = preview_tables.Comparer(10).compare("books", old, new) or {"added": 0, "changed": 0, "removed": 0}
    if has_key:
        keys = dict(olds), dict(news)
        assert change["added"] == len(keys[1].keys() - keys[0].keys())
        assert change["removed"] == len(keys[0].keys() - keys[1].keys())
        assert change["changed"] == sum(keys[0][one] != keys[1][one] for one in keys[0].keys() & keys[1].keys())
    else:
        left = list(olds)
        for row in news:
            if row in left:
                left.remove(row)
        assert change["removed"] == len(left)
        assert len(olds) - len(left) + int(str(change["added"])) == len(news)
