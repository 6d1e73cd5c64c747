"""What a running program's errors say about a failed request: one sentence with the setting, or the command to run."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.core.isolation import Network
from preview.detection import Origin, Server, ServiceKind, ServiceNeed, StartPlan, Step, Toolchain, Variable
from preview.logs import Level
from preview.logs.model.events import LogLine, Source
from preview.supervisor.diagnosis.diagnose_servers import find_setting
from preview.supervisor.diagnosis.request_failures import (
    explain_failure,
    explain_missing_table,
    find_missing_table,
    lines_by_request,
)
from preview.supervisor.preview.network import Reach


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("sqlite3.OperationalError: no such table: notes", "notes"),
        ("SqliteError: no such table: main.todos", "main.todos"),
        ('psycopg2.errors.UndefinedTable: relation "users" does not exist', "users"),
        ("(1146, \"Table 'shop.items' doesn't exist\")", "shop.items"),
        ("The table `main.User` does not exist in the current database.", "main.User"),
        ("no such table", None),
        ("relation does not exist", None),
        ("x" * 2000 + "no such table: notes", None),
    ],
)
def test_the_name_is_read_from_each_databases_words(line: str, name: str | None) -> None:
    assert find_missing_table(["before", line]) == name


@given(st.lists(st.text(max_size=300), max_size=5))
def test_any_lines_are_read(lines: list[str]) -> None:
    assert find_missing_table(lines) is None or any("table" in one.lower() or "relation" in one for one in lines)


def test_the_sentence_names_the_command_that_is_known() -> None:
    plan = StartPlan("django", Toolchain.PYTHON, Server.DJANGO, None)
    assert 'steps = ["python manage.py migrate"]' in explain_missing_table("a", plan)
    node = StartPlan("express", Toolchain.NODE, Server.NODE, None)
    assert 'steps = ["node init_db.js"]' in explain_missing_table("a", node)
    step = Step("init", ("flask", "init-db"), ".", "why")
    known = StartPlan("flask", Toolchain.PYTHON, Server.WSGI, None, steps=(step,))
    assert "`flask init-db` makes the tables" in explain_missing_table("a", known)
    assert "no command" in explain_missing_table("a", StartPlan("flask", Toolchain.PYTHON, Server.WSGI, None))


@pytest.mark.parametrize(
    ("line", "steps", "words"),
    [
        (
            "ValueError: Missing staticfiles manifest entry for 'css/a.css'",
            (),
            "The static file 'css/a.css' is not collected. Run `python manage.py collectstatic --noinput`",
        ),
        (
            "ValueError: Missing staticfiles manifest entry for 'css/a.css'",
            (Step("static files", ("python", "manage.py", "collectstatic"), ".", "why"),),
            "`collectstatic` found no file 'css/a.css': the project does not have it, or builds it. Build it (`npm run",
        ),
        (
            "OSError: Error reading /shop/webpack-stats.json. Are you sure webpack has generated the file and the path",
            (),
            "The pages need the built front end (webpack-stats.json), and nothing has built it. Build it (`npm run",
        ),
        (
            "DjangoViteAssetNotFoundError: Cannot find src/main.js in Vite manifest at /shop/dist/manifest.json",
            (),
            "The pages need the built front end (dist/manifest.json), and nothing",
        ),
    ],
)
def test_files_that_a_command_makes_are_named_with_the_command(line: str, steps: tuple[Step, ...], words: str) -> None:
    plan = StartPlan("django", Toolchain.PYTHON, Server.DJANGO, None, steps=steps)
    found = explain_failure(["Traceback", line], plan, folder=Path("/shop"))
    assert found is not None
    assert words in found.message
    assert found.reason == "unbuilt_files"


def recorded() -> Mapping[str, list[str]]:
    """What the libraries really print, by name; frames in the middle of long tracebacks are left out."""
    found: dict[str, list[str]] = {}
    for line in Path(__file__).with_name("request_failures.txt").read_text("utf-8").splitlines():
        if line.startswith("===== "):
            found[line.removeprefix("===== ")] = lines = []
        else:
            lines.append(line)
    return found


RECORDED = recorded()
SQLITE = Variable("DATABASE_URL", "{database_url}", Origin.SUPPLIED, "app/db.py:3")
MAIL = Variable("SMTP_HOST", "localhost", Origin.MADE_UP, "app/mail.py:4")
API = Variable("SHOP_URL", "http://localhost:9001", Origin.EXAMPLE, ".env.example")
POSTGRESQL = ServiceNeed(ServiceKind.POSTGRESQL, "PG_URL", "app/db.py:7", address=("localhost", 5432))
PLAN = StartPlan(
    "flask",
    Toolchain.PYTHON,
    Server.WSGI,
    None,
    variables={one.name: one for one in (SQLITE, MAIL, API)},
    services=(POSTGRESQL,),
)
HOST = Reach(Network.HOST, Network.HOST, frozenset())
NONE = Reach(Network.NONE, Network.NONE, frozenset())
SHOP = "It needs a server at {}:9001 (setting SHOP_URL, .env.example), and nothing answers there. "
SHOPS = "Start one or set SHOP_URL."
STAND_IN = "Set DATABASE_URL (app/db.py:3) to a server of that kind."


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("python-ilike", f"SQLite does not know 'ILIKE': the project is written for another database. {STAND_IN}"),
        ("python-cast", "SQLite does not know '::': "),
        ("python-array", "SQLite does not know 'ARRAY': "),
        ("python-uuid", "SQLite does not know 'gen_random_uuid': "),
        ("python-distinct-on", "SQLite does not understand the SQL at 'ON' (DISTINCT ON and ON CONFLICT ON CONSTRAINT"),
        ("python-arrayt", "SQLite does not know 'ARRAY': "),
        ("python-forupd", "SQLite does not understand the SQL at 'UPDATE' (FOR UPDATE is not SQLite's). Correct"),
        ("python-arrbind", "SQLite has no arrays, but a list is passed as a value: "),
        ("python-psycopg2", "It needs PostgreSQL at localhost:5432 (setting PG_URL, app/db.py:7), and nothing answers"),
        ("python-asyncpg", "It needs PostgreSQL at localhost:5432 (setting PG_URL, app/db.py:7), and nothing answers"),
        ("python-pymysql", "It needs MySQL at localhost:3306, "),
        ("python-redis", "It needs Redis at localhost:6379, "),
        ("python-pymongo", "It needs MongoDB at localhost:27017, "),
        ("python-pika", "It needs RabbitMQ, "),
        ("python-es", "It needs Elasticsearch at localhost:9200, "),
        ("python-smtp", "It needs a mail server (setting SMTP_HOST, app/mail.py:4), and nothing answers there. "),
        ("python-memcached", "It needs Memcached, and nothing answers there. Start one there. The code is in main.py:"),
        ("python-requests", SHOP.format("localhost") + SHOPS),
        ("python-httpx", "It needs a server, and nothing answers there. Start one there. The code is in main.py:"),
        ("python-httpxa", "It needs a server, "),
        ("python-aiohttp", SHOP.format("localhost") + SHOPS),
        ("python-urllib", "It needs a server, "),
        ("python-openai", "The environment variable OPENAI_API_KEY is not set. "),
        ("python-stripe", "A client of an outside service has no API key. "),
        ("python-environ", "The environment variable SENDGRID_API_KEY is not set. "),
        ("python-dict", None),
        ("node-pg", "It needs PostgreSQL at localhost:5432 (setting PG_URL, app/db.py:7), and nothing answers there. "),
        ("node-mysql2", "It needs MySQL at 127.0.0.1:3306, "),
        ("node-amqplib", "It needs RabbitMQ at 127.0.0.1:5672, "),
        ("node-ioredis", "It needs Redis at 127.0.0.1:6379, "),
        ("node-mongoose", "It needs MongoDB at 127.0.0.1:27017, "),
        ("node-nodemailer", "It needs a mail server at 127.0.0.1:587 (setting SMTP_HOST, app/mail.py:4), and nothing"),
        ("node-axios", SHOP.format("127.0.0.1") + SHOPS),
        ("node-fetch", SHOP.format("127.0.0.1") + SHOPS),
        ("node-es", "It needs Elasticsearch at 127.0.0.1:9200, "),
        ("node-openai", "The environment variable OPENAI_API_KEY is not set. "),
        ("node-prisma", "Prisma's client was not generated. "),
        ("node-prisma-stand-in", "Prisma has no engine here, so database queries fail. "),
        ("node-prisma-no-engine", "Prisma has no engine here, so database queries fail. "),
    ],
)
def test_a_failed_request_is_explained_from_its_traceback(name: str, expected: str | None) -> None:
    found = explain_failure(RECORDED[name], PLAN, HOST, Path("/project"))
    assert (found and found.message[: len(expected or "")]) == expected


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("python-requests", "localhost:9001 (setting SHOP_URL, .env.example)"),
        ("python-requestsname", "api.nowhere.invalid:443"),
        ("python-httpxname", "the network"),
        ("python-openaiconn", "the network"),
        ("python-smtpname", "the network (setting SMTP_HOST, app/mail.py:4)"),
        ("node-fetchname", "api.nowhere.invalid"),
    ],
)
def test_a_network_that_reaches_nothing_is_named(name: str, asked: str) -> None:
    found = explain_failure(RECORDED[name], PLAN, NONE, Path("/project"))
    assert found is not None
    assert found.message.startswith(
        f'It tries to reach {asked}, but its network is "none", which reaches nothing but itself.'
    )
    assert "PREVIEW_NETWORK" in found.message


def test_the_projects_own_line_is_named() -> None:
    found = explain_failure(RECORDED["python-ilike"], PLAN, HOST, Path("/project"))
    assert found is not None
    assert re.search(r" The code is in main\.py:\d+\.$", found.message)
    assert (
        "The code" not in (explain_failure(RECORDED["python-ilike"], PLAN, HOST, Path("/other")) or found).message[-40:]
    )


def test_a_slip_in_sqlites_own_sql_is_not_blamed_on_another_database() -> None:
    found = explain_failure(['sqlite3.OperationalError: near "FORM": syntax error'], PLAN)
    assert found is not None
    assert found.message.startswith("SQLite does not understand the SQL at 'FORM'. Correct it; ")


def line(message: str, request: str | None, *, error: bool = True) -> LogLine:
    return LogLine(1, 0, Level.ERROR if error else Level.INFO, Source.REQUEST, message, request)


def test_lines_of_requests_at_once_are_read_apart() -> None:
    own = LogLine(1, 0, Level.ERROR, Source.SYSTEM, "of the service", None)
    both = [line("1a", "a"), line("1b", "b"), line("2a", "a", error=False), own, line("of a thread", None)]
    fine = line("fine", "c", error=False)
    assert lines_by_request([*both, fine], "b") == [("a", ["1a", "2a"]), ("b", ["1b"]), (None, ["of a thread"])]
    # With one request there is no doubt: a server may print its traceback after the request has ended.
    alone = [line("before", "a", error=False), line("traceback", None), own]
    assert lines_by_request(alone, "a") == [("a", ["before", "traceback"])]
    assert lines_by_request([own], None) == [(None, [])]


@given(st.lists(st.text(max_size=300), max_size=5))
def test_any_errors_are_read(lines: list[str]) -> None:
    explain_failure(lines, PLAN, NONE, Path("/project"))


@pytest.mark.parametrize(
    "word", ["API key ", "HTTPConnection(host='a" * 2, "ECONNREFUSED ", 'sqlite3 near "', "/a" * 9]
)
def test_hostile_lines_cost_little(word: str) -> None:
    lines = [(word * 1000)[:1000]] * 200
    began = time.process_time()
    explain_failure(lines, PLAN, NONE, Path("/project"))
    assert time.process_time() - began < 1.0


@pytest.mark.parametrize(("port", "found"), [(9002, "MINIO_PORT"), (900, None), (3, None)])
def test_a_setting_that_is_the_port_of_a_missing_server_is_named(port: int, found: str | None) -> None:
    variables = [Variable("RETRIES", "3", Origin.EXAMPLE), Variable("MINIO_PORT", "9002", Origin.EXAMPLE)]
    setting = find_setting(("localhost", port), variables)
    assert (setting and setting.name) == found
