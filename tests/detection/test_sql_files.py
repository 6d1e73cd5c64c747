"""SQL files that a compose file or a README loads into a new database."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from detection_kit import write

from preview.detection import ServiceKind, detect

ALL = frozenset({ServiceKind.POSTGRESQL, ServiceKind.MYSQL})
POSTGRESQL = {
    "main.py": "import psycopg2\nfrom fastapi import FastAPI\napp = FastAPI()\n"
    "db = psycopg2.connect('postgresql://a:b@db:5432/shop')\n",
    "requirements.txt": "fastapi\npsycopg2-binary\n",
}
MYSQL = {
    "main.py": "import pymysql\nfrom fastapi import FastAPI\napp = FastAPI()\n"
    "db = pymysql.connect(host='mysql', user='root', password='x', database='shop')\n",
    "requirements.txt": "fastapi\npymysql\n",
}
TABLE = "CREATE TABLE books (id int);\n"
BOTH_WAYS = f"-- migrate:up\n{TABLE}-- migrate:down\nDROP TABLE books;\n"
CUT = r"""for file; do sed '/^-- \{0,1\}\(migrate:down\|+goose Down\)/,$d' "$file"; echo ';'; done"""
PSQL = ("psql", "-q", "-h", "localhost", "-U", "preview", "-d", "preview")
MARIADB = ("mariadb", "--force", "-h", "127.0.0.1", "-u", "preview", "preview", "-e")


def steps(folder: Path, files: dict[str, str], kinds: frozenset[ServiceKind] = ALL) -> list[tuple[str, ...]]:
    return [step.argv for step in detect(write(folder, files), supplied=kinds).steps]


def compose(source: str) -> str:
    return f"services:\n  db:\n    image: x\n    volumes:\n      - {source}:/docker-entrypoint-initdb.d/\n"


@pytest.mark.parametrize(
    ("files", "found"),
    [
        pytest.param(
            POSTGRESQL | {"compose.yaml": compose("./sql"), "sql/2.sql": TABLE, "sql/1.sql": TABLE, "sql/a.txt": ""},
            [(*PSQL, "-f", "sql/1.sql", "-f", "sql/2.sql")],
            id="folder",
        ),
        pytest.param(
            MYSQL | {"docker-compose.yml": compose("./dump.sql").replace("d/", "d/dump.sql"), "dump.sql": TABLE},
            [(*MARIADB, "source dump.sql")],
            id="file",
        ),
        pytest.param(
            POSTGRESQL | {"README.md": "# Shop\n\n```\npsql shop < db/tables.sql\n```\n", "db/tables.sql": TABLE},
            [(*PSQL, "-f", "db/tables.sql")],
            id="readme",
        ),
        pytest.param(
            MYSQL | {"README.md": "Run `mysql -u root s < a.sql`, then `mysql s < b.sql`.", "a.sql": "", "b.sql": ""},
            [(*MARIADB, "source a.sql\nsource b.sql")],
            id="two",
        ),
        pytest.param(POSTGRESQL | {"db/schema.sql": TABLE}, [(*PSQL, "-f", "db/schema.sql")], id="usual"),
        pytest.param(
            POSTGRESQL | {f"migrations/V{one}__a.sql": TABLE for one in ["10", "2", "1_1"]} | {"old/V1__b.sql": ""},
            [(*PSQL, "-f", "migrations/V1_1__a.sql", "-f", "migrations/V2__a.sql", "-f",
              "migrations/V10__a.sql")],
            id="flyway",
        ),
        pytest.param(
            POSTGRESQL | {f"db/{one}_a.{way}.sql": TABLE for one in ["10", "2"] for way in ["up", "down"]},
            [(*PSQL, "-f", "db/2_a.up.sql", "-f", "db/10_a.up.sql")],
            id="golang-migrate",
        ),
        pytest.param(
            POSTGRESQL | {"db/002_b.sql": BOTH_WAYS, "db/001_a.sql": BOTH_WAYS},
            [("sh", "-c", f"{CUT} | {' '.join(PSQL)}", "sh", "db/001_a.sql", "db/002_b.sql")],
            id="dbmate",
        ),
        pytest.param(
            POSTGRESQL
            | {"db/1_a.up.sql": TABLE, "db/2_b.up.sql": TABLE, "store.py": "run(glob('db/*.up.sql'))\n"},
            [],
            id="its-own-runner",
        ),
        pytest.param(POSTGRESQL | {"tests/db/1_a.up.sql": TABLE}, [], id="of-tests"),
        pytest.param(POSTGRESQL | {"db/1_a.sql": "SELECT 1;", "db/2_b.sql": "SELECT 1;"}, [], id="numbers-alone"),
        pytest.param(POSTGRESQL | {"db/schema.sql": "SELECT 1;"}, [], id="without-tables"),
        pytest.param(POSTGRESQL | {"a/schema.sql": TABLE, "b/schema.sql": TABLE}, [], id="two-usual"),
        pytest.param(
            MYSQL | {"banco.sql": TABLE, "dados.sql": "INSERT INTO books VALUES (1);", "migracao_2.sql": TABLE},
            [(*MARIADB, "source banco.sql")],
            id="only-one-with-tables",
        ),
        pytest.param(
            MYSQL
            | {
                "main.py": f"{MYSQL['main.py']}if __name__ == '__main__':\n"
                "    app.add_exception_handler(404, print)\n    app.add_event_handler('startup', print)\n",
                "shop.sql": TABLE,
            },
            [(*MARIADB, "source shop.sql")],
            id="handlers-alone-make-no-tables",
        ),
        pytest.param(MYSQL | {"a.sql": TABLE, "b.sql": TABLE}, [], id="two-with-tables"),
        pytest.param(MYSQL | {"backup/a.sql": TABLE, "tests/b.sql": TABLE}, [], id="copies"),
        pytest.param(POSTGRESQL | {"README.md": "```\nmysql shop < a.sql\n```\n", "a.sql": TABLE}, [], id="other-kind"),
        pytest.param(POSTGRESQL | {"compose.yaml": compose("../../etc"), "README.md": "`psql < /a.sql`"}, [], id="out"),
    ],
)  # fmt: skip
def test_the_files_are_loaded_in_one_step(tmp_path: Path, files: dict[str, str], found: list[tuple[str, ...]]) -> None:
    assert steps(tmp_path, files) == found


def test_without_a_supplied_server_nothing_is_loaded(tmp_path: Path) -> None:
    assert steps(tmp_path, POSTGRESQL | {"schema.sql": TABLE}, frozenset()) == []


def test_long_lines_are_read_quickly(tmp_path: Path) -> None:
    text = "```\n" + "psql " * 40_000 + "\n" + "./" * 60_000 + ":/docker-entrypoint-initdb.d\n```\n"
    write(tmp_path, POSTGRESQL | {"README.md": text, "compose.yaml": text})
    began = time.process_time()
    detect(tmp_path, supplied=ALL)
    assert time.process_time() - began < 5


ASKS = 'db.execute("SELECT id, title FROM books WHERE id = %s")\n'


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"store.py": "\n" + ASKS}, True),
        ({"store.py": 'db.execute("insert into books values (1)")\n'}, True),
        ({"store.py": ASKS + 'db.execute("CREATE TABLE books (id int)")\n'}, False),
        ({"store.py": ASKS, "schema.sql": TABLE}, False),
        ({"store.py": ASKS + "db.execute(open('tables.sql').read())\n"}, False),
        ({"tests/test_store.py": ASKS}, False),
        ({}, False),
    ],
)
def test_tables_that_nothing_makes_are_told_at_the_start(tmp_path: Path, files: dict[str, str], said: bool) -> None:
    warnings = detect(write(tmp_path, POSTGRESQL | files), supplied=ALL).warnings
    assert (
        any(one.startswith("nothing in the project makes the tables of its database (store.py") for one in warnings)
        is said
    )


@pytest.mark.parametrize(
    "option", ["synchronize: true", "synchronize: isLocal", "entities: ['*.js'], synchronize: false"]
)
def test_a_file_that_nothing_names_is_not_loaded_where_typeorm_makes_the_tables(tmp_path: Path, option: str) -> None:
    files = {
        "package.json": '{"dependencies": {"express": "4", "typeorm": "0.3", "pg": "8"}, "main": "index.js"}',
        "index.js": "const { DataSource } = require('typeorm');\nrequire('express')().listen(3000);\n"
        f"new DataSource({{ type: 'postgres', host: process.env.DB_HOST, {option} }});\n",
        "schema.sql": TABLE,
    }
    assert steps(tmp_path, files) == []
    named = {**files, "README.md": "# Shop\n\n```\npsql shop < schema.sql\n```\n"}
    assert steps(tmp_path, named) == [(*PSQL, "-f", "schema.sql")]
