"""What the last lines of a program say about its end, as a table."""

# ruff: noqa: E501, ISC004  the lines are as programs print them

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preview.detection import ServiceKind, ServiceNeed
from preview.supervisor.diagnosis.diagnose import diagnose, is_own_mistake, last_error
from preview.supervisor.diagnosis.diagnosis import with_own_paths

POSTGRESQL = ServiceNeed(
    ServiceKind.POSTGRESQL, "DATABASE_URL", "app/db.py:7", at_startup=True, address=("localhost", 5432)
)
MONGODB = ServiceNeed(ServiceKind.MONGODB, "MONGO_URI", "src/db.js:3", address=("mongo", 27017))
REDIS = ServiceNeed(ServiceKind.REDIS, None, "worker.py:2", address=("127.0.0.1", 6380))

SERVICES = [
    (
        "psycopg2.OperationalError: connection to server at \"localhost\" (127.0.0.1), port 5432 failed: Connection refused\n"
        "\tIs the server running on that host and accepting TCP/IP connections?",
        "It needs PostgreSQL at localhost:5432, and nothing answers there. Start one there.",
    ),
    (
        'could not connect to server: Connection refused\n\tIs the server running on host "127.0.0.1" and accepting\n'
        '\tTCP/IP connections on port 5433?\npsycopg2.OperationalError: Is the server running on host "pg" (10.0.0.1) and '
        "accepting TCP/IP connections on port 5433?",
        "It needs PostgreSQL at pg:5433, ",
    ),
    (
        'sqlalchemy.exc.OperationalError: (psycopg2.OperationalError) could not translate host name "db" to address: '
        "Name or service not known\n(Background on this error at: https://sqlalche.me/e/20/e3q8)",
        "It needs PostgreSQL at db:5432, ",
    ),
    ("psycopg.OperationalError: failed to resolve host 'db': [Errno -2] Name or service not known", "PostgreSQL at db"),
    (
        "asyncpg/connect_utils.py\nConnectionRefusedError: [Errno 111] Connect call failed ('127.0.0.1', 5432)",
        "It needs PostgreSQL at 127.0.0.1:5432, ",
    ),
    (
        "OSError: Multiple exceptions: [Errno 111] Connect call failed ('::1', 5432, 0, 0), [Errno 111] Connect call "
        "failed ('127.0.0.1', 5432)",
        "It needs PostgreSQL at [::1]:5432, ",
    ),
    ("  File asyncpg/x.py\nsocket.gaierror: [Errno -2] Name or service not known", "It needs PostgreSQL, "),
    ("pymongo.errors.ServerSelectionTimeoutError: localhost:27017: [Errno 111] Connection refused", "MongoDB at localhost"),
    ("MongooseServerSelectionError: connect ECONNREFUSED 127.0.0.1:27017", "It needs MongoDB at 127.0.0.1:27017, "),
    ("MongooseError: Operation `users.find()` buffering timed out after 10000ms", "It needs MongoDB, "),
    ("Error: querySrv ENOTFOUND _mongodb._tcp.cluster0.abc.mongodb.net", "MongoDB at cluster0.abc.mongodb.net:27017, "),
    ("redis.exceptions.ConnectionError: Error 111 connecting to localhost:6379. Connection refused.", "Redis at localhost"),
    ("redis.exceptions.ConnectionError: Error -2 connecting to cache:6379. Name unknown.", "Redis at cache:6379, "),
    ("Error: Redis connection to 127.0.0.1:6379 failed - connect ECONNREFUSED 127.0.0.1:6379", "Redis at 127.0.0.1:6379"),
    (
        "pymysql.err.OperationalError: (2003, \"Can't connect to MySQL server on 'localhost' ([Errno 111] refused)\")",
        "It needs MySQL at localhost:3306, ",
    ),
    (
        "MySQLdb.OperationalError: (2002, \"Can't connect to local MySQL server through socket '/run/mysqld.sock' (2)\")",
        "It needs MySQL, ",
    ),
    ("MySQLdb.OperationalError: (2005, \"Unknown MySQL server host 'db' (-2)\")", "It needs MySQL at db:3306, "),
    ("Error: P1001: Can't reach database server at `localhost:5432`", "It needs PostgreSQL at localhost:5432, "),
    ("Can't reach database server at `db`:`3306`", "It needs MySQL at db:3306, "),
    ("ConnectionRefusedError [SequelizeConnectionRefusedError]: connect ECONNREFUSED 127.0.0.1:3306", "MySQL at 127"),
    ("SequelizeHostNotFoundError: getaddrinfo ENOTFOUND postgres", "It needs PostgreSQL at postgres:5432, "),
    ("AggregateError [ECONNREFUSED]:\n    Error: connect ECONNREFUSED ::1:5432", "It needs PostgreSQL at [::1]:5432"),
    ("pika.exceptions.AMQPConnectionError", "It needs RabbitMQ, "),
    ("elastic_transport.ConnectionError: Connection error", "It needs Elasticsearch, "),
    (
        "ConnectionError: Failed to connect to localhost:1435 - Could not connect (sequence)\n"
        "  Error: connect ECONNREFUSED 127.0.0.1:1435",
        "It needs Microsoft SQL Server at localhost:1435, and nothing answers there. Previews get none of their own",
    ),
    ("nats.errors.NoServersError: nats: no servers available for connection", "It needs NATS, "),
    ("  chainedError: Error: connect ECONNREFUSED 127.0.0.1:4222", "It needs NATS at 127.0.0.1:4222, "),
    (
        '  File "/env/site-packages/paho/mqtt/client.py", line 9, in f\nConnectionRefusedError: [Errno 111] refused',
        "It needs MQTT, ",
    ),
    ("kafka.errors.NoBrokersAvailable: NoBrokersAvailable", "It needs Kafka, "),
    ("KafkaJSNumberOfRetriesExceeded: Connection error: connect ECONNREFUSED 127.0.0.1:9092", "Kafka at 127.0.0.1:9092, "),
    (
        "aiokafka.errors.KafkaConnectionError: KafkaConnectionError: Unable to bootstrap from [('localhost', 9093, 0)]",
        "It needs Kafka at localhost:9093, ",
    ),
    (
        "%3|1.0|FAIL|rdkafka#producer-1| [thrd:b:9092/bootstrap]: Connect to ipv4#127.0.0.1:9092 failed: refused",
        "It needs Kafka at 127.0.0.1:9092, ",
    ),
]  # fmt: skip


def test_a_syntax_error_of_a_script_is_told_with_its_file() -> None:
    said = (
        "/srv/p1/project/routes/index.js:6\n  res.send('index'});\n           ^^^^^^^\n\n"
        "SyntaxError: missing ) after argument list\n    at wrapSafe (node:internal/modules/cjs/loader:1464:18)"
    )
    found = diagnose(said.split("\n"))
    assert found is not None
    assert found.message == (
        "routes/index.js, line 6, is not valid JavaScript: missing ) after argument list. Correct it."
    )
    other = diagnose(said.replace("/routes/", "/node_modules/a/").split("\n"))
    assert other is None or "not valid JavaScript" not in other.message


def test_a_setting_whose_default_is_no_value_is_missing() -> None:
    said = (
        "pydantic_core._pydantic_core.ValidationError: 1 validation error for Settings\nMAIL_KEY\n"
        "  Input should be a valid string [type=string_type, input_value=None, input_type=NoneType]"
    )
    found = diagnose(said.split("\n"))
    assert found is not None
    assert found.details == {"variables": ["MAIL_KEY"]}


@pytest.mark.parametrize("host", ["undefined", "null"])
def test_a_host_without_a_value_is_not_named(host: str) -> None:
    said = f"Error: getaddrinfo ENOTFOUND {host}\n    at /app/node_modules/pg-pool/index.js:45:11"
    found, known = diagnose(said.split("\n")), diagnose(said.split("\n"), [POSTGRESQL])
    assert found is not None
    assert known is not None
    assert found.message == (
        "It connects to PostgreSQL, but the host in the address has no value. "
        "Set the variable that the program reads for it."
    )
    assert known.message.endswith(
        "PostgreSQL (setting DATABASE_URL, app/db.py:7), but the host in the address has no value. Set DATABASE_URL."
    )


@pytest.mark.parametrize(("said", "expected"), SERVICES)
def test_a_server_that_does_not_answer_is_named_with_its_address(said: str, expected: str) -> None:
    found = diagnose(["starting", *said.split("\n")])
    assert found is not None
    assert found.reason == "missing_service"
    assert expected in found.message
    assert "nothing answers there" in found.message


def test_the_setting_and_the_place_come_from_the_source() -> None:
    found = diagnose(["OSError: [Errno 111] Connect call failed ('127.0.0.1', 5432)"], [MONGODB, POSTGRESQL])
    assert found is not None
    assert found.message == (
        "It needs PostgreSQL at localhost:5432 (setting DATABASE_URL, app/db.py:7), and nothing answers there. "
        "Start one or set DATABASE_URL."
    )
    assert found.details == {
        "service": "PostgreSQL", "host": "localhost", "port": 5432, "setting": "DATABASE_URL", "where": "app/db.py:7",
    }  # fmt: skip


def test_a_port_that_is_nobodys_is_known_from_the_source() -> None:
    found = diagnose(["ConnectionRefusedError: Connect call failed ('127.0.0.1', 6380)"], [POSTGRESQL, REDIS])
    assert found is not None
    assert found.message.startswith("It needs Redis at 127.0.0.1:6380 (worker.py:2), and nothing answers")


@pytest.mark.parametrize(
    "answered",
    [
        "[PrismaService] Connected to PostgreSQL database",
        "PostgreSQL connection established",
        "postgres: connection ok",
    ],
)
def test_a_server_that_answers_is_not_the_missing_one(answered: str) -> None:
    lines = [answered, "[Minio] Failed: Error: connect ECONNREFUSED 127.0.0.1:9002"]
    own = replace(POSTGRESQL, supplied=True)
    for needs in ([own], [replace(own, address=None)]):
        assert diagnose(lines, needs) is None
    refused = ["not connected to postgres", lines[1]]
    found = diagnose(refused, [replace(POSTGRESQL, address=None)])
    assert found is not None
    assert found.message.startswith("It needs PostgreSQL at 127.0.0.1:9002")


def test_an_error_of_a_query_is_no_missing_server() -> None:
    lines = [
        "[Nest] 2 [TypeOrmModule] Unable to connect to the database. Retrying (1)... +7ms",
        "QueryFailedError: column cnst.consrc does not exist",
        "    at Query.callback (node_modules/pg/lib/query.js:131:19)",
    ]
    assert diagnose(lines, [POSTGRESQL]) is None
    assert diagnose([lines[0], "Error: connect ECONNREFUSED 127.0.0.1:5432"], [POSTGRESQL]) is not None


def test_a_refused_connection_to_nobody_known_is_not_guessed() -> None:
    assert diagnose(["ConnectionRefusedError: [Errno 111] Connection refused"]) is None


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('FATAL:  password authentication failed for user "shop"', 'password authentication failed for user "shop"'),
        (
            'asyncpg.exceptions.InvalidCatalogNameError: database "shop" does not exist',
            'database "shop" does not exist',
        ),
        ("(1045, \"Access denied for user 'root'@'localhost' (using password: NO)\")", "Access denied for user 'root'"),
    ],
)
def test_a_server_that_refuses_is_not_missing(said: str, expected: str) -> None:
    found = diagnose([said], [POSTGRESQL])
    assert found is not None
    assert found.reason == "service_refused"
    assert expected in found.message


OTHERS = [
    ("ModuleNotFoundError: No module named 'jose'", "missing_module", "'jose'"),
    ("TypeError: Missing parameter name at 1: https://git.new/pathToRegexpError", "other_version", "Express 5"),
    (
        "Error: Node Sass does not yet support your current environment: Linux 64-bit with Unsupported runtime (115)",
        "other_version",
        '"overrides": {"node-sass": "npm:sass@1"}',
    ),
    ("ModuleNotFoundError: No module named 'urlparse'", "python_version", "a module of Python 2"),
    (
        "FileNotFoundError: [Errno 2] Unable to synchronously open file (unable to open file: name = 'model.h5', errno = 2, e",
        "missing_file",
        "The file model.h5 does not exist.",
    ),
    (
        "ReferenceError: require is not defined in ES module scope, you can use import instead",
        "syntax_error",
        'package.json says "type": "module"',
    ),
    ("No module named 'etc.settings.local'", "missing_module", "'etc.settings.local'"),
    (
        "sqlalchemy.exc.NoSuchModuleError: Can't load plugin: sqlalchemy.dialects:postgresql.aiosqlite",
        "wrong_dialect",
        "no dialect 'postgresql.aiosqlite'",
    ),
    ("ImportError: cannot import name 'override' from 'typing' (/usr/lib/typing.py)", "python_version", "Python"),
    ("ImportError: cannot import name 'url_quote' from 'werkzeug.urls' (/x.py)", "missing_module", "another version"),
    ("Error: Cannot find module 'express'", "missing_module", "package.json"),
    ("Error [ERR_MODULE_NOT_FOUND]: Cannot find package 'pg' imported from /app/x.js", "missing_module", "'pg'"),
    ("Error: Cannot find module './dist/index.js'", "missing_file", "build"),
    ("Error [ERR_MODULE_NOT_FOUND]: Cannot find package '~' imported from /app/x.ts", "missing_file", "build"),
    ("Error: Cannot find module '@/lib/made'", "missing_file", "build"),
    ("Error: Cannot find module './secret.json'", "missing_file", "version control may leave it out"),
    ("KeyError: 'SECRET_KEY'", "missing_variable", "SECRET_KEY is not set"),
    ("decouple.UndefinedValueError: API_KEY not found. Declare it as envvar or define a default.", "missing_variable", "API_KEY"),
    ("django.core.exceptions.ImproperlyConfigured: Set the DEBUG environment variable", "missing_variable", "DEBUG"),
    ('environs.EnvError: Environment variable "PORT_X" not set', "missing_variable", "PORT_X"),
    ("KeyError: \"Config 'DB_URL' is missing, and has no default.\"", "missing_variable", "DB_URL"),
    ("error: Environment variable not found: DATABASE_URL.", "missing_variable", "DATABASE_URL"),
    ('Error: Config validation error: "JWT_SECRET" is required', "missing_variable", "JWT_SECRET"),
    ("Error: Missing required environment variable: STRIPE_KEY", "missing_variable", "STRIPE_KEY"),
    ("ValueError: 'SHOP_MODULE' environment variable is not set", "missing_variable", "SHOP_MODULE"),
    ("Error: JWT_SECRET environment variable required", "missing_variable", "JWT_SECRET"),
    ("FATAL ERROR: JWT_SECRET is not defined in environment variables", "missing_variable", "JWT_SECRET"),
    ("Error: listen EADDRINUSE: address already in use :::5000", "port_in_use", "port 5000"),
    ("OSError: [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): in use", "port_in_use", "PORT"),
    ("OSError: [Errno 13] error while attempting to bind on address ('0.0.0.0', 80): permission denied", "port_refused", "port 80"),
    ("Error: listen EACCES: permission denied 0.0.0.0:443", "port_refused", "port 443"),
    ("FileNotFoundError: [Errno 2] No such file or directory: 'config.yml'", "missing_file", "config.yml"),
    ("Error: ENOENT: no such file or directory, open '/app/keys.pem'", "missing_file", "/app/keys.pem"),
    ("sqlite3.OperationalError: no such table: users", "missing_table", "'users'"),
    ("sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) no such function: gen_random_uuid", "wrong_database", "gen_random_uuid"),
    ('sqlite3.OperationalError: near "ILIKE": syntax error', "wrong_database", "'ILIKE'"),
    ('sqlite3.OperationalError: unrecognized token: ":"', "wrong_database", "'::'"),
    ("CompileError: Compiler <sqlalchemy.dialects.sqlite.base.SQLiteTypeCompiler object at 0x7> can't render element of type JSONB", "wrong_database", "JSONB"),
    ("(1146, \"Table 'shop.users' doesn't exist\")", "missing_table", "'shop.users'"),
    ("The table `main.User` does not exist in the current database.", "missing_table", "'main.User'"),
    ("OSError: [Errno 38] Function not implemented", "system_call_refused", "PREVIEW_SYSCALLS_ALLOWED"),
    ("Error: ENOSYS: function not implemented, copyfile 'a'", "system_call_refused", "PREVIEW_SYSCALLS_ALLOWED"),
    (
        'ImportError: Module "core.middleware" does not define a "HeaderMiddleware" attribute/class',
        "missing_module",
        "Django's settings name 'core.middleware.HeaderMiddleware', but the module",
    ),
    (
        '  File "/srv/p1/project/app/__init__.py", line 7, in create_app\n    app.configure(configs[name])\n'
        "                  ~~~~~~~^^^^^^\nKeyError: 'preview'",
        "missing_key",
        "app/__init__.py, line 7, looks up 'preview' in configs, which does not have it. If name comes from a variable",
    ),
    ("FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory", "out_of_memory", "memory"),
]  # fmt: skip


@pytest.mark.parametrize(("said", "reason", "expected"), OTHERS)
def test_a_frequent_death_has_a_sentence(said: str, reason: str, expected: str) -> None:
    found = diagnose(["starting", *said.split("\n"), "    at somewhere"])
    assert found is not None
    assert found.reason == reason
    assert expected in found.message


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/env/site-packages/a.py", "table[name]"),
        ("/srv/p1/project/a.py", "os.environ[name]"),
        ("/srv/p1/project/a.py", "f(x)"),
        ("/srv/p1/project/a.py", "table[name] + rows[other]"),
        ("/srv/p1/project/a.py", "table[name]['preview']"),
    ],
)
def test_a_lookup_in_what_is_no_dictionary_of_the_project_is_not_told_as_one(path: str, code: str) -> None:
    found = diagnose([f'  File "{path}", line 7, in f', f"    {code}", "KeyError: 'preview'"])
    assert found is None or found.reason != "missing_key"


def test_every_setting_that_pydantic_misses_is_named() -> None:
    lines = [
        "pydantic_core._pydantic_core.ValidationError: 3 validation errors for Settings",
        "secret_key", "  Field required [type=missing, input_value={}, input_type=dict]",
        "    For further information visit https://errors.pydantic.dev/2.8/v/missing",
        "DATABASE_URL", "  Field required [type=missing, input_value={}, input_type=dict]",
        "    For further information visit https://errors.pydantic.dev/2.8/v/missing",
        "port", "  Input should be a valid integer",
    ]  # fmt: skip
    found = diagnose(lines, [POSTGRESQL])
    assert found is not None
    assert found.message.startswith(
        "The environment variables SECRET_KEY, DATABASE_URL are not set. Set them under [env]"
    )


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("type Name = str", "invalid syntax"),
        ('query = f"{(query or "").strip()}"', "f-string: unmatched '('"),
        ('name = f"{row["name"]}"', "f-string: unmatched '['"),
        ("f\"{'\\n'.join(rows)}\"", "f-string expression part cannot include a backslash"),
    ],
)
def test_syntax_of_another_python_is_told_with_its_place(code: str, said: str) -> None:
    lines = [
        '  File "/data/previews/preview_x/project/app/main.py", line 3',
        f"    {code}",
        "         ^^^^",
        f"SyntaxError: {said}",
    ]
    found = diagnose(lines)
    assert found is not None
    assert found.message.startswith(f"app/main.py, line 3, is not valid Python: {said}. Correct it, or set")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ('    print "hi"', "Missing parentheses in call to 'print'. Did you mean print(...)?"),
        ("    except ValueError, e:", "multiple exception types must be parenthesized"),
    ],
)
def test_python_2_is_named(code: str, said: str) -> None:
    found = diagnose(['  File "/x/project/a.py", line 3', code, "    ^^^^", f"SyntaxError: {said}"])
    assert found is not None
    assert found.message == "a.py, line 3, is written in Python 2. Previews run Python 3: port it first."


@pytest.mark.parametrize(
    ("said", "reason", "sentence"),
    [
        (
            "ModuleNotFoundError: No module named 'win32crypt'",
            "missing_module",
            "a.py, line 3, loads a package that needs 'win32crypt', which only Windows has. Replace the package.",
        ),
        (
            r"OSError: C:\Program Files\bin\libgdal-35.dll: cannot open shared object file: No such file or directory",
            "missing_file",
            r"a.py, line 3, loads C:\Program Files\bin\libgdal-35.dll, a file of Windows. Take its path from a variable "
            "that may be empty.",
        ),
    ],
)
def test_what_only_windows_has_is_told_with_its_place(said: str, reason: str, sentence: str) -> None:
    own = ["Traceback (most recent call last):", '  File "/x/project/a.py", line 3, in <module>', "    code"]
    found = diagnose([*own, '  File "/e/site-packages/b.py", line 1, in b', "    code", said])
    assert found is not None
    assert (found.reason, found.message) == (reason, sentence)


def test_a_module_that_only_windows_has_is_told_of_the_file_that_imports_it() -> None:
    own = ["Traceback (most recent call last):", '  File "/x/project/a.py", line 3, in <module>', "    import winreg"]
    found = diagnose([*own, "ModuleNotFoundError: No module named 'winreg'"])
    assert found is not None
    assert found.message == (
        "a.py, line 3, imports 'winreg', which only Windows has. Import it only there, or replace it."
    )


@pytest.mark.parametrize(
    "said",
    [
        "AttributeError: 'dict' object has no attribute 'iterkeys'",
        "AttributeError: 'collections.OrderedDict' object has no attribute 'has_key'",
        "NameError: name 'unicode' is not defined. Did you mean: 'unicodedata'?",
        "NameError: name 'xrange' is not defined",
    ],
)
def test_a_name_of_python_2_is_told_with_its_place(said: str) -> None:
    own = [
        "Traceback (most recent call last):",
        '  File "/x/project/a.py", line 3, in <module>',
        "    code",
        "    ^^^^",
    ]
    found = diagnose([*own, said])
    assert found is not None
    assert (found.reason, dict(found.details)) == ("python_version", {"file": "a.py", "line": 3})
    assert found.message == "a.py, line 3, is written in Python 2. Previews run Python 3: port it first."
    # A package that says so is not the project's to port.
    again = diagnose([*own, '  File "/e/site-packages/b.py", line 1, in b', "    code", said])
    assert again is None or again.reason != "python_version"


@pytest.mark.parametrize(
    "said",
    ["AttributeError: 'Shop' object has no attribute 'has_key'", "NameError: name 'unicodes' is not defined"],
)
def test_names_like_those_of_python_2_are_the_projects_own(said: str) -> None:
    found = diagnose(["Traceback (most recent call last):", '  File "/x/project/a.py", line 3, in f', "    code", said])
    assert found is None or found.reason != "python_version"


def test_a_merge_that_nobody_has_finished_is_named() -> None:
    lines = ['  File "/x/project/a.py", line 1', "    <<<<<<< HEAD", "    ^^", "SyntaxError: invalid syntax"]
    found = diagnose(lines)
    assert found is not None
    assert found.message == "a.py, line 1, is the mark of a merge conflict. Resolve the conflict there."


@pytest.mark.parametrize(
    ("code", "said", "version"),
    [
        ("    except A, B:", "multiple exception types must be parenthesized", "3.14"),
        ("    def first[T](items: list[T]) -> T:", "expected '('", "3.12"),
        ("    type Row = dict[str, int]", "invalid syntax", "3.12"),
    ],
)
def test_syntax_of_a_newer_python_is_told_with_its_version(code: str, said: str, version: str) -> None:
    found = diagnose(['  File "/x/project/a.py", line 3', code, "    ^", f"SyntaxError: {said}"])
    assert found is not None
    assert f"Python {version} or newer" in found.message


def test_the_cause_counts_and_not_what_was_raised_from_it() -> None:
    lines = [
        "ModuleNotFoundError: No module named 'pkg_resources'",
        "The above exception was the direct cause of the following exception:",
        "django.core.exceptions.ImproperlyConfigured: WSGI application 'x' could not be loaded; Error importing module.",
    ]
    found = diagnose(lines)
    assert found is not None
    assert found.reason == "missing_module"
    vague = diagnose(lines[2:])
    assert vague is not None
    assert vague.reason == "wrong_setting"


FOLDER = Path("/data/previews/p1/project")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no file /data/previews/p1/project/keys/a.pem there", "no file keys/a.pem there"),
        ("at file:///data/previews/p1/project/app.js:3", "at app.js:3"),
        ("'/data/previews/p1/project'", "'.'"),
        ("in /data/previews/p1/project/ and /data/previews/p1/project.", "in ./ and .."),
        ("/data/previews/p1/projects/a stays", "/data/previews/p1/projects/a stays"),
        ("/usr/lib/a.py stays", "/usr/lib/a.py stays"),
    ],
)
def test_a_path_of_the_copy_is_told_as_the_projects_own(text: str, expected: str) -> None:
    assert with_own_paths(text, FOLDER) == expected
    assert with_own_paths(text, None) == text


def test_a_diagnosis_names_the_projects_own_paths() -> None:
    found = diagnose([f"Error: ENOENT: no such file or directory, open '{FOLDER}/keys.pem'"])
    assert found is not None
    own = found.in_project(FOLDER)
    assert own.message.startswith("The file keys.pem does not exist.")
    assert own.details == {"file": "keys.pem"}
    above = diagnose([f"Error: ENOENT: no such file or directory, open '{FOLDER.parent}/package.json'"])
    assert above is not None
    assert above.in_project(FOLDER).message.startswith("The file ../package.json does not exist.")


@given(st.text(max_size=300))
def test_any_text_keeps_what_is_no_path(text: str) -> None:
    assert with_own_paths(text, FOLDER) == text


def test_colours_are_not_in_the_way() -> None:
    assert diagnose(["\x1b[1;31mModuleNotFoundError\x1b[0m: \x1b[35mNo module named 'jose'\x1b[0m"]) is not None


def test_a_missing_module_is_the_reason_although_a_server_is_missing_too() -> None:
    found = diagnose(["warning: connect ECONNREFUSED 127.0.0.1:6379", "ModuleNotFoundError: No module named 'jose'"])
    assert found is not None
    assert found.reason == "missing_module"


def test_the_last_error_is_told_where_nothing_more_is_known() -> None:
    lines = ["ValueError: first", "  File x", "\x1b[31mshop.errors.ShopError: closed\x1b[0m", "    at y", "Errors: 2"]
    assert last_error(lines) == "shop.errors.ShopError: closed"
    assert last_error(["up", "an Error: in the middle"]) is None


@pytest.mark.parametrize("said", ["", "INFO: Application startup complete.", "ZeroDivisionError: division by zero"])
def test_what_nobody_knows_is_not_explained(said: str) -> None:
    assert diagnose([said], [POSTGRESQL]) is None


@given(
    lines=st.lists(
        st.text(alphabet=st.sampled_from("Error connect ECONNREFUSED '\":`.0123456789()[]_Aa{}\n")), max_size=30
    )
)
def test_any_lines_are_read_without_a_crash(lines: list[str]) -> None:
    diagnose(lines, [POSTGRESQL, MONGODB, REDIS])


@pytest.mark.timed
@pytest.mark.parametrize(
    "text", ["A" * 100_000, "missing " * 20_000, "'" * 100_000, "env var " * 20_000, "1:" * 50_000]
)
def test_long_lines_cost_no_more_than_short_ones(text: str) -> None:
    started = time.perf_counter()
    diagnose([text] * 200, [POSTGRESQL])
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(
    ("error", "own"),
    [
        ("FileNotFoundError: Config file 'app/.env' not found.", True),
        ("pydantic_core._pydantic_core.ValidationError: 1 validation error for Config", True),
        ("AttributeError: module 'marshmallow' has no attribute '__version__'", True),
        ("ReferenceError: require is not defined in ES module scope", True),
        ("sqlalchemy.exc.OperationalError: (pymysql.err.OperationalError) (2003, ...)", False),
        ("ConnectionRefusedError: [Errno 111] Connect call failed", False),
        ("TimeoutError: connection timed out", False),
        (None, False),
    ],
)
def test_an_error_of_the_program_itself_blames_no_missing_server(error: str | None, own: bool) -> None:
    assert is_own_mistake(error) is own


def test_a_file_that_a_library_misses_in_its_own_words_is_named() -> None:
    found = diagnose(["FileNotFoundError: Config file '/x/project/src/.env' not found."])
    assert found is not None
    assert (found.reason, found.details["file"]) == ("missing_file", "/x/project/src/.env")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('asyncpg.exceptions.UndefinedObjectError: type "vector" does not exist', "vector"),
        ('psycopg2.errors.UndefinedObject: type "geometry" does not exist', "postgis"),
        ('psycopg2.errors.FeatureNotSupported: extension "vector" is not available', "vector"),
    ],
)
def test_a_missing_extension_of_postgresql_is_named(line: str, name: str) -> None:
    found = diagnose([line])
    assert found is not None
    assert found.details == {"extension": name}
    assert found.message.startswith(f"The PostgreSQL server has no extension '{name}' in this database. Install it")


def test_more_connections_than_a_preview_may_have_are_told() -> None:
    lines = ["asyncpg.TooManyConnectionsError: too many connections: a preview may have 20", "Exception: no pool"]
    found = diagnose(lines)
    assert found is not None
    assert (found.reason, found.details) == ("too_many_connections", {"connections": 20})
    assert "PREVIEW_DATABASE_CONNECTIONS" in found.message


@pytest.mark.parametrize(
    "line",
    [
        "ValueError: You must specify a URI or set the MONGO_URI Flask config variable",
        'MongooseError: The `uri` parameter to `openUri()` must be a string, got "undefined".',
        'MongoParseError: Invalid scheme, expected connection string to start with "mongodb://" or "mongodb+srv://"',
    ],
)
def test_a_client_of_mongodb_without_an_address_is_named(line: str) -> None:
    found = diagnose([line])
    assert found is not None
    assert found.message == (
        "It connects to MongoDB, but the address has no value. Set the variable that the program reads for it."
    )


FRAME = '  File "/data/previews/p/project/shop/app.py", line 7, in create_app'
WARM = '  File "<frozen os>", line 679, in __getitem__'


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (
            [FRAME, "    print(f'{app.config[\"SHOP_DB\"]}')", "             ~~~~~~^^^"],
            "shop/app.py, line 7, reads the key 'SHOP_DB' of Flask's configuration, which does not have it.",
        ),
        (
            [FRAME, "    return rates['SHOP_DB']"],
            "shop/app.py, line 7, reads the key 'SHOP_DB' of a dictionary, which does not have it.",
        ),
        ([FRAME, "    x = os.environ['SHOP_DB']", WARM], "The environment variable SHOP_DB is not set."),
        ([FRAME, "    x = env['SHOP_DB']"], "The environment variable SHOP_DB is not set."),
        ([FRAME, "    x = need('SHOP_DB')"], "The environment variable SHOP_DB is not set."),
        ([FRAME], "The environment variable SHOP_DB is not set."),
    ],
)
def test_a_missing_key_is_a_variable_only_if_the_environment_is_read(lines: list[str], said: str) -> None:
    found = diagnose(["Traceback (most recent call last):", *lines, "KeyError: 'SHOP_DB'"])
    assert found is not None
    assert found.message.startswith(said)
