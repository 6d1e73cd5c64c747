"""SQLite where it can stand in for a server, else the server that is needed; migrations."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from detection_kit import FASTAPI, FLASK, MANAGE, plan_of, values_of
from hypothesis import given
from hypothesis import strategies as st

from preview.detection import Origin, ServiceKind, ServiceNeed, StartPlan, detect
from preview.detection.databases.branches import Branches

ENGINE = "import os\nfrom sqlalchemy import create_engine\nengine = create_engine({})\n"
ASYNC = "import os\nfrom sqlalchemy.ext.asyncio import create_async_engine\nengine = create_async_engine({})\n"
URL = 'os.getenv("DATABASE_URL", "postgresql://u:p@db:5432/x")'
SQLITE, AIOSQLITE = "sqlite:///{database_path}", "sqlite+aiosqlite:///{database_path}"
MIGRATION = {"alembic.ini": "", "alembic/env.py": "", "alembic/versions/1_a.py": "revision = '1'\n"}


def need(plan: StartPlan, kind: ServiceKind) -> ServiceNeed:
    return next(one for one in plan.services if one.kind is kind)


def fastapi(folder: Path, text: str, **files: str) -> StartPlan:
    return plan_of(folder, {"main.py": text + FASTAPI, **files})


def test_a_url_that_can_be_set_becomes_sqlite(tmp_path: Path) -> None:
    plan = fastapi(tmp_path, ENGINE.format(URL))
    assert values_of(plan) == {"DATABASE_URL": SQLITE}
    assert plan.services == ()
    assert "SQLite instead of PostgreSQL: DATABASE_URL can be set (main.py:3)" in plan.decisions


def test_an_asynchronous_engine_gets_its_driver(tmp_path: Path) -> None:
    plan = fastapi(tmp_path, ASYNC.format(URL))
    assert (values_of(plan), plan.extra_requirements) == ({"DATABASE_URL": AIOSQLITE}, ("aiosqlite",))


def test_a_library_with_urls_of_its_own_gets_them(tmp_path: Path) -> None:
    text = 'import os\nfrom databases import Database\ndatabase = Database(os.environ["DATABASE_URL"])\n'
    plan = fastapi(tmp_path, text)
    assert (values_of(plan), plan.extra_requirements) == ({"DATABASE_URL": SQLITE}, ("aiosqlite",))


def test_tortoise_gets_its_own_form(tmp_path: Path) -> None:
    text = "import os\nfrom tortoise.contrib.fastapi import register_tortoise\n"
    text += 'register_tortoise(None, db_url=os.environ["DB_URL"])\n'
    assert values_of(fastapi(tmp_path, text)) == {"DB_URL": "sqlite://{database_path}"}


def test_a_sqlite_default_of_another_name_is_kept(tmp_path: Path) -> None:
    assert values_of(fastapi(tmp_path, ENGINE.format('os.getenv("DB_URL", "sqlite:///./a.db")'))) == {}


def test_one_part_of_a_url_is_not_the_url(tmp_path: Path) -> None:
    text = 'import os\nPOSTGRES_URI = os.getenv("POSTGRES_URI", None)\n' + ENGINE.format(
        'f"postgresql://{POSTGRES_URI}"'
    )
    assert values_of(fastapi(tmp_path, text)) == {}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "from sqlalchemy.dialects.postgresql import JSONB\n"
            + ENGINE.format(URL)
            + "Base.metadata.create_all(engine)\n",
            "JSONB",
        ),
        (ENGINE.format(URL + ', connect_args={"sslmode": "require"}'), "sslmode"),
        (
            "from pydantic_settings import BaseSettings\nfrom pydantic import PostgresDsn\n"
            "class S(BaseSettings):\n    DATABASE_URL: PostgresDsn\n" + ENGINE.format("S().DATABASE_URL"),
            "PostgresDsn",
        ),
    ],
)
def test_what_sqlite_cannot_do_keeps_the_server(tmp_path: Path, text: str, reason: str) -> None:
    plan = fastapi(tmp_path, text)
    assert values_of(plan)["DATABASE_URL"].startswith("postgresql://")
    assert need(plan, ServiceKind.POSTGRESQL).address == ("localhost", 5432)
    assert any(reason in sentence for sentence in plan.decisions)


def test_types_of_a_server_do_not_matter_where_no_tables_are_made_at_the_start(tmp_path: Path) -> None:
    text = "from sqlalchemy.dialects.postgresql import JSONB\n" + ENGINE.format(URL)
    assert values_of(fastapi(tmp_path, text)) == {"DATABASE_URL": SQLITE}


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ('Q = """\nSELECT id\nFROM a WHERE b::text = 1"""\n', "::text (main.py:3)"),
        ('Q = "SELECT gen_random_uuid()"\n', "gen_random_uuid (main.py:1)"),
        ('Q = "select * from a where b ilike :x"\n', "ilike (main.py:1)"),
        ('Q = "CREATE TABLE a (id SERIAL)"\n', "SERIAL (main.py:1)"),
        ('Q = f"CREATE EXTENSION IF NOT EXISTS {1}"\n', "CREATE EXTENSION (main.py:1)"),
        ("from sqlalchemy.dialects.postgresql import JSONB\n", "the type JSONB (main.py:1)"),
    ],
)
def test_sql_that_sqlite_does_not_know_is_told_with_its_place(tmp_path: Path, text: str, what: str) -> None:
    plan = fastapi(tmp_path, text + ENGINE.format(URL))
    assert plan.warnings == (
        f"The database is SQLite here, which does not support {what}: anything that needs it will fail",
    )


@pytest.mark.parametrize(
    "text",
    [
        'Q = "INSERT INTO a VALUES (1) ON CONFLICT DO NOTHING RETURNING id"\n',
        'Q = "a::text and ILIKE"\n',
        'Q = "Select"\n',
    ],
)
def test_sql_that_sqlite_knows_is_not_told(tmp_path: Path, text: str) -> None:
    assert fastapi(tmp_path, text + ENGINE.format(URL)).warnings == ()


def test_a_flag_that_chooses_sqlite_is_set_to_the_word_that_it_is_compared_with(tmp_path: Path) -> None:
    text = 'import os\nUSE_SQLITE = os.getenv("USE_SQLITE")\nif USE_SQLITE == "True":\n    pass\n'
    assert values_of(fastapi(tmp_path, text + ENGINE.format('f"postgresql://{x}"'))) == {"USE_SQLITE": "True"}


def test_a_kind_of_database_that_can_be_chosen_is(tmp_path: Path) -> None:
    text = 'import os\nDB_TYPE = os.getenv("DB_TYPE", "postgres")\nif DB_TYPE == "sqlite":\n    pass\n'
    assert values_of(fastapi(tmp_path, text + ENGINE.format('f"postgresql://{x}"'))) == {"DB_TYPE": "sqlite"}


def test_a_url_of_parts_names_its_host(tmp_path: Path) -> None:
    text = "from pydantic_settings import BaseSettings\nclass S(BaseSettings):\n"
    text += "    db_host: str\n    db_port: int\ns = S()\n"
    plan = fastapi(tmp_path, text + ENGINE.format('f"postgresql://u:p@{s.db_host}:{s.db_port}/x"'))
    one = need(plan, ServiceKind.POSTGRESQL)
    assert (one.setting, one.address, one.at_startup) == ("DB_HOST", ("localhost", 5432), False)


def test_a_fixed_address_is_named_with_its_place(tmp_path: Path) -> None:
    plan = fastapi(
        tmp_path, ENGINE.format('"mysql+pymysql://u:p@dbhost:3307/x"') + "Base.metadata.create_all(engine)\n"
    )
    one = need(plan, ServiceKind.MYSQL)
    assert (one.setting, one.address, one.where, one.at_startup) == (None, ("dbhost", 3307), "main.py:3", True)


@pytest.mark.parametrize(
    ("text", "kind", "at_startup"),
    [
        ("import psycopg2\nc = psycopg2.connect(host='localhost')\n", ServiceKind.POSTGRESQL, True),
        ("import psycopg2\ndef get():\n    return psycopg2.connect()\n", ServiceKind.POSTGRESQL, False),
        ("import redis\nr = redis.Redis()\n", ServiceKind.REDIS, False),
        ("import redis\nr = redis.Redis()\nr.ping()\n", ServiceKind.REDIS, True),
        (
            "import redis\nr = redis.Redis()\ntry:\n    r.ping()\nexcept Exception:\n    r = None\n",
            ServiceKind.REDIS,
            False,
        ),
        ("from pymongo import MongoClient\nc = MongoClient('mongodb://localhost')\n", ServiceKind.MONGODB, False),
        ("import pika\nc = pika.BlockingConnection()\n", ServiceKind.RABBITMQ, True),
        ("from elasticsearch import Elasticsearch\ne = Elasticsearch()\n", ServiceKind.ELASTICSEARCH, False),
        ("import nats\nasync def get():\n    return await nats.connect()\n", ServiceKind.NATS, False),
        ("import paho.mqtt.client as mqtt\nc = mqtt.Client()\n", ServiceKind.MQTT, False),
    ],
)
def test_servers_that_the_code_connects_to_are_needed(
    tmp_path: Path, text: str, kind: ServiceKind, at_startup: bool
) -> None:
    assert need(fastapi(tmp_path, text), kind).at_startup is at_startup


@pytest.mark.parametrize(
    "wiring",
    [
        "@app.on_event('startup')\nasync def begin():\n    await connect()\n",
        "app.add_event_handler('startup', connect)\n",
        "@asynccontextmanager\nasync def lifespan(app):\n    await connect()\n    yield\n",
    ],
)
def test_a_server_that_the_start_connects_to_is_needed_at_once(tmp_path: Path, wiring: str) -> None:
    text = "import asyncpg\nasync def connect():\n    await asyncpg.create_pool('postgresql://localhost')\n"
    assert need(plan_of(tmp_path, {"main.py": FASTAPI + text + wiring}), ServiceKind.POSTGRESQL).at_startup


def test_a_url_of_mongodb_is_no_sqlite(tmp_path: Path) -> None:
    text = "import os\nfrom motor.motor_asyncio import AsyncIOMotorClient\n"
    text += 'c = AsyncIOMotorClient(os.environ["DATABASE_URL"])\n'
    plan = fastapi(tmp_path, text, **{".env.sample": "DATABASE_URL=mongodb://mongo:27017/x\n"})
    assert values_of(plan)["DATABASE_URL"] == "mongodb://localhost:27017/preview"
    # Every preview has this variable, and without this origin the one of an SQLite file would be it.
    assert plan.variables["DATABASE_URL"].origin is Origin.SUPPLIED
    own = fastapi(tmp_path, text, **{".env": "DATABASE_URL=mongodb://shop:27017/x\n"})
    assert values_of(own)["DATABASE_URL"] == "mongodb://shop:27017/x"
    assert need(plan, ServiceKind.MONGODB).setting == "DATABASE_URL"


# Django


def django(folder: Path, databases: str) -> StartPlan:
    settings = f'import os\nimport environ\nenv = environ.Env()\nROOT_URLCONF = "shop.urls"\nDATABASES = {databases}\n'
    files = {
        "manage.py": MANAGE,
        "shop/__init__.py": "",
        "shop/urls.py": "urlpatterns = []\n",
        "shop/settings.py": settings,
    }
    return plan_of(folder, files)


def test_a_django_engine_that_is_a_variable_becomes_sqlite(tmp_path: Path) -> None:
    plan = django(tmp_path, '{"default": {"ENGINE": os.getenv("DB_ENGINE"), "NAME": os.getenv("DB_NAME")}}')
    assert values_of(plan) == {"DB_ENGINE": "django.db.backends.sqlite3", "DB_NAME": "{database_path}"}


def test_a_django_url_becomes_sqlite(tmp_path: Path) -> None:
    assert values_of(django(tmp_path, '{"default": env.db("DATABASE_URL")}')) == {"DATABASE_URL": SQLITE}


PG = '{"default": {"ENGINE": "django.db.backends.postgresql", "HOST": "db"}}'
LITE = '{"default": {"ENGINE": "django.db.backends.sqlite3"}}'


@pytest.mark.parametrize(
    "test",
    [
        'os.environ.get("GITHUB_WORKFLOW")',
        'os.getenv("CI") == "true"',
        '"CI" in os.environ',
        'os.environ.get("CI", "").lower() in ("1", "true")',
        'env.bool("USE_POSTGRES", default=False)',
        '"test" in sys.argv',
        'not True and os.path.exists("x")',
        "CI",
        "unknown_function()",
    ],
)
def test_a_branch_that_a_preview_does_not_take_names_no_server(tmp_path: Path, test: str) -> None:
    more = f'CI = os.getenv("CI") is not None\nif {test}:\n    DATABASES = {PG}\n'
    plan = django(tmp_path, f'{{"default": env.db("DATABASE_URL", default="sqlite:///db")}}\n{more}')
    assert plan.services == ()
    assert values_of(plan) == {"DATABASE_URL": SQLITE}


@pytest.mark.parametrize(
    ("databases", "server"),
    [
        (f'{PG} if os.getenv("ENV", "dev") == "prod" else {LITE}', False),
        (f'{LITE}\nif os.getenv("ENV", "prod") == "prod":\n    DATABASES = {PG}', True),
        (f'{LITE}\nif os.getenv("ENV", "prod") == "dev":\n    pass\nelse:\n    DATABASES = {PG}', True),
        (f"{LITE}\nif unknown():\n    DATABASES = {PG}", False),
        (f"{PG}\nDATABASES = {LITE}", False),
        (f"{LITE}\nDATABASES = {PG}", True),
        (f'{LITE}\nDATABASES["default"] = {PG}["default"]', True),
        (f'{PG}\nDATABASES["default"].update(dj_database_url.config(default=os.getenv("DATABASE_URL")))', False),
        (f"{PG}\ntry:\n    from .local import *\nexcept ImportError:\n    pass", True),
        (f'{PG}\nif os.environ.get("USE_SQLITE"):\n    DATABASES = {LITE}', False),
    ],
)
def test_the_database_is_that_of_the_branch_that_is_taken(tmp_path: Path, databases: str, server: bool) -> None:
    plan = django(tmp_path, databases)
    assert [one.kind for one in plan.services] == ([ServiceKind.POSTGRESQL] if server else [])


@given(st.text(alphabet="()[]notandorif elseCI=\"'.,:<>x1", max_size=60))
def test_any_condition_is_true_false_or_unknown(text: str) -> None:
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, MemoryError):
        return
    assert Branches(ast.parse(""), {"CI": "1"}).is_true(tree) in (True, False, None)


def test_several_django_urls_become_sqlite_all(tmp_path: Path) -> None:
    plan = django(tmp_path, '{"default": env.db("DATABASE_URL"), "b": env.db("SQLITE_DATABASE_URL")}')
    assert set(values_of(plan).values()) == {SQLITE}


def test_a_fixed_django_engine_is_needed_once_it_is_used(tmp_path: Path) -> None:
    plan = django(tmp_path, '{"default": {"ENGINE": "django.db.backends.postgresql", "HOST": os.environ["DB_HOST"]}}')
    one = need(plan, ServiceKind.POSTGRESQL)
    assert (one.setting, one.address, one.at_startup) == ("DB_HOST", ("localhost", 5432), False)


def test_djangos_own_sqlite_is_left_alone(tmp_path: Path) -> None:
    plan = django(tmp_path, '{"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3"}}')
    assert (values_of(plan), plan.services) == ({}, ())


# Migrations


def test_alembic_upgrades_before_the_start(tmp_path: Path) -> None:
    plan = fastapi(tmp_path, "", **MIGRATION)
    assert [(step.name, step.argv, step.required) for step in plan.steps] == [
        ("migrations", ("alembic", "upgrade", "head"), False)
    ]
    assert plan.extra_requirements == ("alembic",), "it may be named for development alone"


@pytest.mark.parametrize(("ini", "variables"), [("prepend_sys_path = .\n", {"PYTHONPATH": ""}), ("", None)])
def test_a_folder_of_migrations_that_is_a_package_does_not_hide_alembic(
    tmp_path: Path, ini: str, variables: dict[str, str] | None
) -> None:
    files = {**MIGRATION, "alembic/__init__.py": "", "alembic.ini": ini}
    assert fastapi(tmp_path, "", **files).steps[0].variables == variables


@pytest.mark.parametrize(
    ("ini", "argv"),
    [
        ("[alembic]\nscript_location = migrations\n", ("alembic", "upgrade", "head")),
        (
            "[alembic]\n[dev]\nscript_location = m\n[test]\nscript_location=m\n",
            ("alembic", "--name", "dev", "upgrade", "head"),
        ),
        ("[alembic]\n[loggers]\nkeys = root\n", ("alembic", "upgrade", "head")),
    ],
)
def test_the_section_of_alembic_s_file_that_has_the_migrations_is_named(
    tmp_path: Path, ini: str, argv: tuple[str, ...]
) -> None:
    assert fastapi(tmp_path, "", **{**MIGRATION, "alembic.ini": ini}).steps[0].argv == argv


def test_migrations_that_are_a_package_find_the_modules_of_src(tmp_path: Path) -> None:
    files = {**MIGRATION, "alembic/__init__.py": "", "alembic.ini": "prepend_sys_path = .\n"}
    files |= {"src/shop/__init__.py": "", "src/shop/main.py": FASTAPI + "from shop import db\n", "src/shop/db.py": ""}
    assert plan_of(tmp_path, files).steps[0].variables == {"PYTHONPATH": "src"}


AERICH = (
    '[tool.aerich]\ntortoise_orm = "main.ORM"\nlocation = "./{}"\nsrc_folder = "./."\n\n[tool.other]\nlocation = "x"\n'
)
UPGRADE = "async def upgrade(db):\n    return 'CREATE TABLE a (b INT)'\n"


def test_aerich_upgrades_before_the_start(tmp_path: Path) -> None:
    files = {"pyproject.toml": AERICH.format("kept"), "kept/models/0_20240101_init.py": UPGRADE}
    plan = fastapi(tmp_path, "", **files)
    assert [(step.name, step.argv, step.why) for step in plan.steps] == [
        ("migrations", ("aerich", "upgrade"), "Aerich, with pyproject.toml")
    ]
    assert plan.extra_requirements == ("aerich[toml]",)


@pytest.mark.parametrize(
    "files",
    [
        {"pyproject.toml": AERICH.format("kept")},
        {"pyproject.toml": AERICH.format("kept"), "migrations/models/0_init.py": UPGRADE},
        {"pyproject.toml": AERICH.format("../../kept"), "kept/models/0_init.py": UPGRADE},
        {"pyproject.toml": "[tool.other]\n", "migrations/models/0_init.py": UPGRADE},
        {"pyproject.toml": "[tool.aerich", "migrations/models/0_init.py": UPGRADE},
        {"pyproject.toml": "tool = 'aerich'\n", "migrations/models/0_init.py": UPGRADE},
        {"pyproject.toml": f"aerich = {'[' * 60_000}", "migrations/models/0_init.py": UPGRADE},
    ],
)
def test_aerich_without_a_migration_does_not(tmp_path: Path, files: dict[str, str]) -> None:
    assert fastapi(tmp_path, "", **files).steps == ()


def test_alembic_without_a_migration_does_not(tmp_path: Path) -> None:
    assert fastapi(tmp_path, "", **{"alembic.ini": "", "alembic/env.py": ""}).steps == ()


def test_an_application_that_upgrades_by_itself_does_not(tmp_path: Path) -> None:
    text = "from alembic import command\ncommand.upgrade(None, 'head')\n"
    assert fastapi(tmp_path, text, **MIGRATION).steps == ()


@pytest.mark.parametrize("env", ["", "from sqlalchemy import engine_from_config, pool\n"])
def test_a_synchronous_migration_gets_a_url_without_the_driver_for_asyncio(tmp_path: Path, env: str) -> None:
    step = fastapi(tmp_path, ASYNC.format(URL), **{**MIGRATION, "alembic/env.py": env}).steps[0]
    assert step.variables == {"DATABASE_URL": SQLITE}


MIGRATIONS = {"migrations/env.py": "", "migrations/versions/1_shop.py": 'revision = "1"\n'}


def test_an_alembic_file_beside_its_migrations_is_used(tmp_path: Path) -> None:
    own = {name: text for name, text in MIGRATION.items() if name != "alembic.ini"}
    here = {"alembic/alembic.ini": "[alembic]\nscript_location = %(here)s\n"}
    step = fastapi(tmp_path, ASYNC.format(URL), **own, **here).steps[0]
    assert (step.argv, step.directory) == (("alembic", "--config", "alembic/alembic.ini", "upgrade", "head"), ".")
    (tmp_path / "alembic" / "alembic.ini").write_text("[alembic]\nscript_location = other\n")
    assert "migrations" not in [step.name for step in detect(tmp_path).steps]


def test_flask_migrate_upgrades_where_there_is_a_migrations_folder(tmp_path: Path) -> None:
    text = "from flask_migrate import Migrate\n" + FLASK + "Migrate(app, None)\n"
    step = plan_of(tmp_path, {"app.py": text, **MIGRATIONS}).steps[0]
    # Flask before 2.2 knows no `--app`, and every version reads the variable.
    assert step.argv == ("flask", "db", "upgrade", "--directory", "migrations")
    assert step.variables == {"FLASK_APP": "app:app"}


def test_flask_migrate_has_the_command_that_the_project_names(tmp_path: Path) -> None:
    text = "from flask_migrate import Migrate\n" + FLASK + 'Migrate(app, None, command="tables")\n'
    step = plan_of(tmp_path, {"app.py": text, **MIGRATIONS}).steps[0]
    assert step.argv == ("flask", "tables", "upgrade", "--directory", "migrations")


def test_flask_migrate_without_a_revision_leaves_the_tables_to_the_models(tmp_path: Path) -> None:
    text = f"from flask_migrate import Migrate\nfrom flask_sqlalchemy import SQLAlchemy\n{FLASK}"
    text += 'app.config["SQLALCHEMY_DATABASE_URI"] = "sqlite:///shop.db"\ndb = SQLAlchemy(app)\nMigrate(app, db)\n'
    plan = plan_of(tmp_path, {"app.py": text, "migrations/env.py": "", "migrations/README": "revision"})
    assert [step.name for step in plan.steps] == ["tables"]


def test_flask_migrate_without_the_folder_does_nothing(tmp_path: Path) -> None:
    text = "from flask_migrate import Migrate\n" + FLASK + "Migrate(app, None)\n"
    assert plan_of(tmp_path, {"app.py": text}).steps == ()


def test_settings_that_demand_tls_of_a_url_use_their_own_sqlite(tmp_path: Path) -> None:
    settings = (
        "import os, dj_database_url\nROOT_URLCONF = 'shop.urls'\nDATABASE_URL = os.getenv('DATABASE_URL')\n"
        "if DATABASE_URL:\n    DATABASES = {'default': dj_database_url.parse(\n        DATABASE_URL,\n"
        "        ssl_require=True,\n    )}\n"
        "else:\n    DATABASES = {'default': {\n        'ENGINE': 'django.db.backends.sqlite3', 'NAME': 'db.sqlite3'}}\n"
    )
    files = {"manage.py": MANAGE, "shop/__init__.py": "", "shop/urls.py": "urlpatterns = []\n"}
    chosen = plan_of(tmp_path, {**files, "shop/settings.py": settings}).variables["DATABASE_URL"]
    assert (chosen.value, chosen.origin) == ("", Origin.SUPPLIED)
    without = settings.replace("ssl_require=True", "conn_max_age=600")
    assert plan_of(tmp_path / "b", {**files, "shop/settings.py": without}).variables["DATABASE_URL"].value != ""


def test_settings_that_demand_tls_of_every_url_want_postgresql(tmp_path: Path) -> None:
    settings = (
        "import os, dj_database_url\nROOT_URLCONF = 'shop.urls'\n"
        "DATABASES = {'default': dj_database_url.parse(os.getenv('DATABASE_URL'), ssl_require=True)}\n"
    )
    files = {"manage.py": MANAGE, "shop/__init__.py": "", "shop/urls.py": "urlpatterns = []\n"}
    plan = plan_of(tmp_path, {**files, "shop/settings.py": settings})
    assert [need.kind for need in plan.services] == [ServiceKind.POSTGRESQL]
    assert "DATABASE_URL" not in plan.variables
    without = settings.replace("ssl_require=True", "ssl_require=False")
    assert "sqlite" in plan_of(tmp_path / "b", {**files, "shop/settings.py": without}).variables["DATABASE_URL"].value


@pytest.mark.parametrize("target", ["SQLALCHEMY_DATABASE_URI", "app.config['SQLALCHEMY_DATABASE_URI']"])
def test_a_variable_is_a_database_s_by_the_setting_that_it_fills(tmp_path: Path, target: str) -> None:
    text = f"import os\nfrom flask_sqlalchemy import SQLAlchemy\n{FLASK}{target} = os.environ.get('DEV_URI')\n"
    variables = values_of(plan_of(tmp_path, {"app.py": text + "db = SQLAlchemy(app)\n"}))
    assert variables["DEV_URI"] == "sqlite:///{database_path}"


def test_gaps_of_a_formatted_address_are_no_host(tmp_path: Path) -> None:
    text = "from sqlalchemy import create_engine\nengine = create_engine('mysql://{u}:x@{h}/shop'.format(u=a, h=b))\n"
    plan = plan_of(tmp_path, {"main.py": text + FASTAPI})
    assert not any("{" in str(need.address) for need in plan.services)
