"""Python projects keep the server that they want, if the preview gets one of its kind."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from detection_kit import FASTAPI, FLASK, MANAGE, values_of, write

from preview.core.isolation import Network
from preview.detection import Origin, Overrides, ServiceKind, StartPlan, Variable, describe_plan, detect

POSTGRESQL, MYSQL, REDIS = ServiceKind.POSTGRESQL, ServiceKind.MYSQL, ServiceKind.REDIS
ALL = frozenset({POSTGRESQL, MYSQL, REDIS})
ENGINE = "import os\nfrom sqlalchemy import create_engine\nengine = create_engine({})\n"
ASYNC = "import os\nfrom sqlalchemy.ext.asyncio import create_async_engine\nengine = create_async_engine({})\n"
REQUIRED = 'os.environ["DATABASE_URL"]'
OWN = "preview:preview@localhost:5432/preview"
MY = "preview:preview@localhost:3306/preview"
PYDANTIC = "from pydantic_settings import BaseSettings\nclass S(BaseSettings):\n"
MIGRATION = {"alembic.ini": "", "alembic/versions/1_a.py": "revision = '1'\n"}
DJANGO = 'import os\nROOT_URLCONF = "shop.urls"\n'


def supplied_plan(
    folder: Path, files: dict[str, str], kinds: frozenset[ServiceKind] = ALL, given: Overrides | None = None
) -> StartPlan:
    return detect(write(folder, files), given, None, kinds)


def django(settings: str, requirements: str = "django\n", **files: str) -> dict[str, str]:
    own = {"manage.py": MANAGE, "shop/__init__.py": "", "shop/urls.py": "urlpatterns = []\n", **files}
    return {**own, "shop/settings.py": DJANGO + settings, "requirements.txt": requirements}


def fastapi(text: str, requirements: str = "", **files: str) -> dict[str, str]:
    return {"main.py": text + FASTAPI, "requirements.txt": f"fastapi\nsqlalchemy\n{requirements}", **files}


def table(engine: str, **parts: str) -> str:
    rows = ", ".join(f'"{key}": {value}' for key, value in {"ENGINE": engine, **parts}.items())
    return f'DATABASES = {{"default": {{{rows}}}}}\n'


@dataclass(frozen=True)
class Case:
    name: str
    files: dict[str, str]
    values: dict[str, str]
    kinds: tuple[ServiceKind, ...] = (POSTGRESQL,)
    added: tuple[str, ...] = ()
    steps: tuple[str, ...] = field(default=())


CASES = [
    Case(
        "a default is kept, and its driver added",
        fastapi(ENGINE.format('os.getenv("DATABASE_URL", "postgresql+psycopg2://u:p@db:5432/x")')),
        {"DATABASE_URL": "postgresql+psycopg2://u:p@db:5432/x"},
        added=("psycopg2-binary",),
    ),
    Case(
        "SQLAlchemy's default driver from 2.1 on",
        fastapi(ENGINE.format('os.getenv("DATABASE_URL", "postgresql://u:p@db/x")'), "psycopg2-binary"),
        {"DATABASE_URL": "postgresql://u:p@db/x"},
        added=("psycopg[binary]",),
    ),
    Case(
        "SQLAlchemy's default driver before 2.1",
        fastapi(ENGINE.format('os.getenv("DATABASE_URL", "postgresql://u:p@db/x")'), "sqlalchemy==2.0.36"),
        {"DATABASE_URL": "postgresql://u:p@db/x"},
        added=("psycopg2-binary",),
    ),
    Case(
        "SQLAlchemy's default driver, whichever version is taken",
        fastapi(ENGINE.format('"postgresql://u:p@db/x"')),
        {"DATABASE_URL": f"postgresql+psycopg2://{OWN}"},
        added=("psycopg[binary]", "psycopg2-binary"),
    ),
    Case(
        "a lock file tells the version",
        fastapi(
            ENGINE.format('os.getenv("DATABASE_URL", "postgresql://u:p@db/x")'),
            **{"uv.lock": 'name = "sqlalchemy"\nversion = "2.0.40"\n'},
        ),
        {"DATABASE_URL": "postgresql://u:p@db/x"},
        added=("psycopg2-binary",),
    ),
    Case("psycopg 2", fastapi(ENGINE.format(REQUIRED), "psycopg2-binary"), {"DATABASE_URL": f"postgresql+psycopg2://{OWN}"}),
    Case("psycopg 3", fastapi(ENGINE.format(REQUIRED), "psycopg[binary]"), {"DATABASE_URL": f"postgresql+psycopg://{OWN}"}),
    Case("pg8000", fastapi(ENGINE.format(REQUIRED), "pg8000"), {"DATABASE_URL": f"postgresql+pg8000://{OWN}"}),
    Case("asyncpg", fastapi(ASYNC.format(REQUIRED), "asyncpg"), {"DATABASE_URL": f"postgresql+asyncpg://{OWN}"}),
    Case(
        "asyncpg for a type that tells no driver",
        fastapi(PYDANTIC + "    DATABASE_URL: PostgresDsn\n" + ASYNC.format("S().DATABASE_URL")),
        {"DATABASE_URL": f"postgresql+asyncpg://{OWN}"},
        added=("asyncpg",),
    ),
    Case(
        "a URL that an asyncio engine gets, beside another one that says so",
        fastapi(
            PYDANTIC + f'    LIVE_URI: str = "postgresql+asyncpg://{OWN}"\n    SQLALCHEMY_DATABASE_URI: str = None\n'
            + ASYNC.format("str(S().SQLALCHEMY_DATABASE_URI)"),
            "asyncpg",
        ),
        dict.fromkeys(("LIVE_URI", "SQLALCHEMY_DATABASE_URI", "DATABASE_URL"), f"postgresql+asyncpg://{OWN}"),
    ),
    Case(
        "a URL under the server's name, which the settings may make themselves",
        fastapi(
            PYDANTIC + "    ASYNC_POSTGRES_URI: PostgresDsn | None = None\n" + ASYNC.format("S().ASYNC_POSTGRES_URI"),
            "asyncpg",
        ),
        {"ASYNC_POSTGRES_URI": f"postgresql+asyncpg://{OWN}", "DATABASE_URL": f"postgresql+asyncpg://{OWN}"},
    ),
    Case(
        "a field that is a model of its own, not a database's name",
        fastapi(
            "from pydantic import BaseModel, Field\nclass D(BaseModel):\n    url: str = 'memory://'\n" + PYDANTIC
            + "    database: D = Field(default_factory=D)\n" + ASYNC.format(REQUIRED),
            "asyncpg",
        ),
        {"DATABASE_URL": f"postgresql+asyncpg://{OWN}"},
    ),
    Case(
        "a scheme that the source converts",
        fastapi(ASYNC.format(REQUIRED + '.replace("postgresql://", "postgresql+asyncpg://")'), "asyncpg"),
        {"DATABASE_URL": f"postgresql://{OWN}"},
    ),
    Case("PyMySQL", fastapi(ENGINE.format(REQUIRED), "pymysql"), {"DATABASE_URL": f"mysql+pymysql://{MY}"}, (MYSQL,)),
    Case("aiomysql", fastapi(ASYNC.format(REQUIRED), "aiomysql"), {"DATABASE_URL": f"mysql+aiomysql://{MY}"}, (MYSQL,)),
    Case(
        "MySQL without a driver",
        fastapi(ENGINE.format('os.getenv("DB_URL", "mysql://root:x@mysql/app")')),
        {"DB_URL": "mysql://root:x@mysql/app", "DATABASE_URL": f"mysql+pymysql://{MY}"},
        (MYSQL,),
        added=("pymysql",),
    ),
    Case(
        "a foreign host and TLS in .env",
        fastapi(ENGINE.format(REQUIRED), "psycopg2", **{".env": "DATABASE_URL=postgres://a:b@x.neon.tech/n?sslmode=require\n"}),
        {"DATABASE_URL": "postgres://a:b@localhost/n"},
        added=("psycopg[binary]",),
    ),
    Case(
        "an example with placeholders",
        fastapi(
            ENGINE.format(REQUIRED), "psycopg2",
            **{".env.example": "DATABASE_URL=postgresql+psycopg2://<user>:<password>@<host>:<port>/<name>\n"},
        ),
        {"DATABASE_URL": f"postgresql+psycopg2://{OWN}"},
    ),
    Case(
        "a compose file",
        fastapi(
            ENGINE.format(REQUIRED), "psycopg2",
            **{"compose.yaml": "services:\n  api:\n    environment:\n      - DATABASE_URL=postgresql+psycopg2://u:${PW:-p}@db/x\n"},
        ),
        {"DATABASE_URL": "postgresql+psycopg2://u:p@db/x"},
    ),
    Case(
        "a scheme in a variable",
        fastapi(
            PYDANTIC + "    db_driver: str\n    db_host: str\ns = S()\n"
            + ENGINE.format('f"{s.db_driver}://u:p@{s.db_host}/x"'), "psycopg",
        ),
        {"DB_DRIVER": "postgresql+psycopg", "DB_HOST": "localhost", "DATABASE_URL": f"postgresql+psycopg://{OWN}"},
    ),
    Case(
        "a prefix of all names that begins like PostgreSQL's",
        fastapi(
            "from pydantic import HttpUrl\n" + PYDANTIC + "    model_config = {'env_prefix': 'PG_ATLAS_'}\n"
            "    DATABASE_URL: str\n    GATEWAY_URL: HttpUrl | None = None\n"
            "    DB_SCHEMA_NAME: str | None = None\ns = S()\n"
            + ENGINE.format("s.DATABASE_URL"),
            "psycopg2",
        ),
        {"PG_ATLAS_DATABASE_URL": f"postgresql+psycopg2://{OWN}", "DATABASE_URL": f"postgresql+psycopg2://{OWN}"},
    ),
    Case(
        "the URL of another account, which may be empty",
        fastapi(
            PYDANTIC + "    database_url: str = 'postgresql+asyncpg://u:p@db/x'\n"
            "    app_database_url: str = ''\ns = S()\n" + ASYNC.format("s.app_database_url or s.database_url"),
            "asyncpg",
        ),
        {"DATABASE_URL": "postgresql+asyncpg://u:p@db/x"},
    ),
    Case(
        "a scheme in a variable with a default",
        fastapi(
            "import os\nDRIVER = os.getenv('DB_DRIVER', 'mysql+pymysql')\n"
            + ENGINE.format('f"{DRIVER}://u:p@localhost/x"'), "pymysql\npsycopg2",
        ),
        {"DATABASE_URL": f"mysql+pymysql://{MY}"}, (ServiceKind.MYSQL,),
    ),
    Case(
        "a compose file's URL of Redis, with its password",
        fastapi(
            "import os, redis\nURL = os.getenv('REDIS_URL')\nredis.from_url(URL)\n", "redis",
            **{"compose.yaml": "services:\n  api:\n    environment:\n      REDIS_URL: ${REDIS_URL:-redis://:secret@cache:6379/1}\n"},
        ),
        {"REDIS_URL": "redis://:secret@cache:6379/1"}, (ServiceKind.REDIS,),
    ),
    Case(
        "parts, with an asynchronous migration",
        fastapi(
            PYDANTIC + "    db_host: str\n    db_port: int\n    db_user: str\ns = S()\n"
            + ASYNC.format('f"postgresql+asyncpg://{s.db_user}:x@{s.db_host}:{s.db_port}/x"'), "asyncpg",
            **MIGRATION, **{"alembic/env.py": "async_engine_from_config()\n"},
        ),
        {"DB_HOST": "localhost", "DB_PORT": "5432", "DB_USER": "postgres", "DATABASE_URL": f"postgresql+asyncpg://{OWN}"},
        steps=("migrations",),
    ),
    Case(
        "a host in a variable named like a URL",
        fastapi(
            "import os\nPOSTGRES_URL, POSTGRES_PORT = os.getenv('POSTGRES_URL'), os.getenv('POSTGRES_PORT')\n"
            + ASYNC.format('f"postgresql+asyncpg://u:p@{POSTGRES_URL}:{POSTGRES_PORT}/x"'), "asyncpg",
        ),
        {"POSTGRES_URL": "localhost", "POSTGRES_PORT": "5432", "DATABASE_URL": f"postgresql+asyncpg://{OWN}"},
    ),
    Case(
        "a part with a foreign host, one without a value, one with a default of the compose file",
        fastapi(
            "import os, psycopg2\npsycopg2.connect(host=os.getenv('POSTGRES_HOST', 'pg.example'),"
            "user=os.getenv('POSTGRES_USER'), port=os.getenv('POSTGRES_PORT', 5433),"
            "sslmode=os.getenv('PGSSLMODE', 'require'))\n"
        ),
        {"POSTGRES_HOST": "localhost", "POSTGRES_USER": "preview", "PGSSLMODE": "disable",
         "DATABASE_URL": f"postgresql://{OWN}"},
    ),
    Case(
        "databases",
        fastapi(f"import os\nfrom databases import Database\ndatabase = Database({REQUIRED})\n", "databases[asyncpg]"),
        {"DATABASE_URL": f"postgresql://{OWN}"},
    ),
    Case(
        "Tortoise",
        fastapi(
            "import os\nfrom tortoise.contrib.fastapi import register_tortoise\n"
            'register_tortoise(None, db_url=os.getenv("DB_URL", "postgres://u:p@db:5432/x"))\n'
        ),
        {"DB_URL": "postgres://u:p@db:5432/x", "DATABASE_URL": f"postgres://{OWN}"},
        added=("asyncpg",),
    ),
    Case(
        "Tortoise with a table",
        fastapi(
            "from tortoise.contrib.fastapi import register_tortoise\n"
            'register_tortoise(None, config={"connections": {"default": {"engine": "tortoise.backends.asyncpg"}}})\n',
            "tortoise-orm[asyncpg]",
        ),
        {"DATABASE_URL": f"postgres://{OWN}"},
    ),
    Case(
        "asyncpg by itself, a hard-coded address, and Redis",
        fastapi('import asyncpg, redis\nredis.from_url("redis://redis:6379/0")\nasyncpg.create_pool("postgresql://a:b@db/c")\n'),
        {"DATABASE_URL": f"postgresql://{OWN}"},
        (POSTGRESQL, REDIS),
    ),
    Case(
        "Celery's broker and an optional cache",
        fastapi(
            "import os\nfrom celery import Celery\n"
            'app = Celery("a", broker=os.environ["CELERY_BROKER_URL"], backend=os.getenv("REDIS_URL"))\n',
            "celery[redis]",
        ),
        {"CELERY_BROKER_URL": "redis://localhost:6379/0", "REDIS_URL": "redis://localhost:6379/0"},
        (REDIS,),
    ),
    Case(
        "Redis with TLS elsewhere, in parts",
        fastapi(
            "import os, redis\nredis.Redis(host=os.getenv('REDIS_HOST', 'x.upstash.io'),"
            "port=int(os.getenv('REDIS_PORT', 6380)), ssl=os.getenv('REDIS_SSL', 'true') == 'true')\n"
        ),
        {"REDIS_HOST": "localhost", "REDIS_SSL": "false"},
        (REDIS,),
    ),
    Case(
        "Flask-SQLAlchemy: tables of models",
        {
            "app.py": "import os\nfrom flask_sqlalchemy import SQLAlchemy\n" + FLASK
            + f'app.config["SQLALCHEMY_DATABASE_URI"] = {REQUIRED}\ndb = SQLAlchemy(app)\n',
            "requirements.txt": "flask-sqlalchemy\npymysql\n",
        },
        {"DATABASE_URL": f"mysql+pymysql://{MY}"},
        (MYSQL,),
        steps=("tables",),
    ),
    Case(
        "Flask-Migrate and a command that fills the tables",
        {
            "app.py": "import os\nfrom flask_sqlalchemy import SQLAlchemy\nfrom flask_migrate import Migrate\n" + FLASK
            + 'app.config["SQLALCHEMY_DATABASE_URI"] = "postgresql://postgres:secret@db:5432/shop"\n'
            "db = SQLAlchemy(app)\nMigrate(app, db)\n",
            "seed.py": "print(1)\n", "README.md": "```\npython seed.py\n```\n", "migrations/env.py": "",
            "migrations/versions/1.py": "revision = '1'",
            "requirements.txt": "flask-sqlalchemy\npsycopg2-binary\nSQLAlchemy<2.1\n",
        },
        {"DATABASE_URL": f"postgresql+psycopg2://{OWN}"},
        steps=("migrations", "seed"),
    ),
    Case(
        "Django's table, without a host",
        django(table("'django.db.backends.postgresql'", NAME="'x'", USER="os.environ['DB_USER']")),
        {"DB_USER": "postgres", "DATABASE_URL": f"postgresql://{OWN}", "PGHOST": "localhost", "PGUSER": "preview"},
        added=("psycopg2-binary",),
        steps=("migrations",),
    ),
    Case(
        "Django's engine in a variable",
        django(
            table("os.environ['DB_ENGINE']", NAME="os.getenv('DB_NAME')", PORT="os.environ['DB_PORT']"), "mysqlclient"
        ),
        {"DB_ENGINE": "django.db.backends.mysql", "DB_NAME": "preview", "DB_PORT": "3306",
         "DATABASE_URL": f"mysql://{MY}"},
        (MYSQL,),
        steps=("migrations",),
    ),
    Case(
        "dj-database-url without a name, and channels",
        django(
            "import dj_database_url\nDATABASES = {'default': dj_database_url.config(conn_max_age=60)}\n"
            'CHANNEL_LAYERS = {"default": {"CONFIG": {"hosts": ["redis://redis:6379"]}}}\n', "psycopg2\n",
        ),
        {"DATABASE_URL": f"postgresql://{OWN}"},
        (POSTGRESQL, REDIS),
        steps=("migrations",),
    ),
    Case(
        "an option of PostgreSQL's in each branch, and SQLite in a comment",
        django(
            'import dj_database_url\n"""\n' + table("'django.db.backends.sqlite3'") + '"""\n'
            'db_url = os.getenv("DATABASE_URL")\n'
            'if db_url and "sslmode=disable" in db_url:\n'
            "    DATABASES = {'default': dj_database_url.parse(db_url, conn_max_age=600, ssl_require=False)}\n"
            "else:\n    DATABASES = {'default': dj_database_url.parse(db_url, conn_max_age=600, ssl_require=True)}\n",
        ),
        {"DATABASE_URL": f"postgresql://{OWN}"},
        added=("psycopg2-binary",),
        steps=("migrations",),
    ),
    Case(
        "an option of PostgreSQL's beside SQLite, in a name of its own",
        django(
            'import dj_database_url\nurl = os.getenv("DATABASE_URL", "").strip()\n'
            "if url:\n    db = dj_database_url.parse(url, ssl_require=True)\n    DATABASES = {'default': db}\n"
            "else:\n    " + table("'django.db.backends.sqlite3'"), "psycopg2-binary\n",
        ),
        {"DATABASE_URL": f"postgresql://{OWN}"},
        steps=("migrations",),
    ),
    Case(
        "django-environ with an example, and options after it",
        django(
            "import environ\nenv = environ.Env()\nDATABASES = {'default': env.db('DATABASE_URL')}\n"
            'DATABASES["default"]["ATOMIC_REQUESTS"] = True\n', "psycopg[c]\n",
            **{".env.example": "DATABASE_URL=postgres://a:b@postgres:5432/c\n"},
        ),
        {"DATABASE_URL": "postgres://a:b@postgres:5432/c"},
        steps=("migrations",),
    ),
    Case(
        "django-environ, whose default is a server",
        django(
            "import environ\nenv = environ.Env()\n"
            "DATABASES = {'default': env.db('DATABASE_URL', default='mysql://a:b@far.example:3307/c')}\n"
        ),
        {"DATABASE_URL": "mysql://a:b@localhost:3307/c"},
        (MYSQL,),
        added=("pymysql",),
        steps=("migrations",),
    ),
    Case(
        "a flag that is off by default",
        django(
            "if os.getenv('USE_SQLITE', 'False') == 'True':\n    " + table("'django.db.backends.sqlite3'")
            + "else:\n    " + table("'django.db.backends.postgresql'", HOST="os.getenv('DB_HOST', 'db')"), "psycopg\n",
        ),
        {"DATABASE_URL": f"postgresql://{OWN}"},
        steps=("migrations",),
    ),
]  # fmt: skip


INI = "[alembic]\n# sqlalchemy.url = postgresql://a:b@localhost/no\nsqlalchemy.url = {}\n"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://me:secret@localhost/shop", "postgresql+psycopg2://me:secret@localhost/shop"),
        ("postgresql+asyncpg://me:a%%40b@db:5433/shop?ssl=off", "postgresql+psycopg2://me:a%40b@db:5433/shop"),
        ("driver://user:pass@localhost/dbname", f"postgresql+psycopg2://{OWN}"),
        ("mysql://me@localhost/shop", f"postgresql+psycopg2://{OWN}"),
        ("postgresql://%(DB_USER)s:secret@localhost/shop", f"postgresql+psycopg2://{OWN}"),
        ("postgresql://me:secret@localhost:99999/shop", f"postgresql+psycopg2://{OWN}"),
        ("", f"postgresql+psycopg2://{OWN}"),
        # It names no database.
        ("postgresql://localhost/", f"postgresql+psycopg2://{OWN}"),
    ],
)
def test_a_made_up_address_is_that_of_the_migrations(tmp_path: Path, url: str, expected: str) -> None:
    files = fastapi(ENGINE.format(REQUIRED), "psycopg2-binary", **{"alembic.ini": INI.format(url)})
    assert values_of(supplied_plan(tmp_path, files))["DATABASE_URL"] == expected


@pytest.mark.parametrize(("folder", "database"), [("b", "own"), (".", "preview")])
def test_the_migrations_of_another_service_name_no_database(tmp_path: Path, folder: str, database: str) -> None:
    files = fastapi(ENGINE.format(REQUIRED), "psycopg2-binary")
    files = {f"{folder}/{name}": text for name, text in files.items()}
    urls = {"a": "other", "b": "own"} if folder == "b" else {"a": "other", "c": "another"}
    ini = {f"{place}/alembic.ini": INI.format(f"postgresql://me:x@localhost/{name}") for place, name in urls.items()}
    value = values_of(supplied_plan(tmp_path, files | ini))["DATABASE_URL"]
    assert value.rpartition("/")[2] == database


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_project_keeps_the_server_that_it_wants(tmp_path: Path, case: Case) -> None:
    plan = supplied_plan(tmp_path, case.files)
    values = values_of(plan)
    if "PGHOST" not in case.values:
        assert (values.pop("PGHOST", None), values.pop("PGUSER", None)) in {("localhost", "preview"), (None, None)}
    assert values == case.values
    assert {need.kind for need in plan.services if need.supplied} == set(case.kinds)
    assert tuple(one for one in plan.extra_requirements if one != "alembic") == case.added
    assert tuple(step.name for step in plan.steps) == case.steps
    for kind in case.kinds:
        assert any(sentence.startswith(f"{kind}: the preview gets a ") for sentence in plan.decisions)
    assert not [sentence for sentence in (*plan.decisions, *plan.warnings) if "SQLite" in sentence]
    origin = plan.variables["DATABASE_URL"].origin if "DATABASE_URL" in values else Origin.SUPPLIED
    assert origin is Origin.SUPPLIED


KEPT = [
    fastapi(ENGINE.format('os.getenv("DATABASE_URL", "sqlite:///./a.db")'), "psycopg2"),
    fastapi('import os\nURL = os.getenv("DATABASE_URL")\n' + ENGINE.format('URL or "sqlite:///a.db"'), "asyncpg"),
    fastapi(ENGINE.format(REQUIRED), **{".env": "DATABASE_URL=sqlite:///./a.db\n"}),
    fastapi(ENGINE.format(REQUIRED)),
    fastapi(ENGINE.format('"sqlite://"'), "psycopg2"),
    fastapi(f"import os\nfrom pymongo import MongoClient\nMongoClient({REQUIRED})\n"),
    django(table("'django.db.backends.sqlite3'", NAME="'a'"), "psycopg2\n"),
    django("import dj_database_url as d\nDATABASES = {'default': d.config(default='sqlite:///a')}\n", "psycopg2\n"),
    django("import environ\nenv = environ.Env()\nDATABASES = {'default': env.db(default='sqlite:///')}\n", "psycopg\n"),
    django(
        "import dj_database_url\nDATABASES = {}\n"
        + table("'django.db.backends.sqlite3'")
        + "if os.getenv('DATABASE_URL'):\n  DATABASES['default'] = dj_database_url.parse(os.getenv('DATABASE_URL'))\n",
        "psycopg2\n",
    ),
    django(table("os.getenv('DB_ENGINE', 'django.db.backends.sqlite3')"), "psycopg2\n"),
]


SEARCH = "from django.contrib.postgres.search import SearchVector\n"
BY_DEFAULT = "import environ\nenv = environ.Env()\nDATABASES = {'default': env.db(default='sqlite:///a')}\n"


@pytest.mark.parametrize(
    ("search", "requirements", "more", "gets"),
    [
        (SEARCH, "psycopg\n", {}, True),
        (SEARCH, "", {}, False),
        ("", "psycopg\n", {}, False),
        (SEARCH, "psycopg\n", {".env": "DATABASE_URL=sqlite:///own.db\n"}, False),
    ],
)
def test_what_only_postgresql_has_gets_postgresql_in_place_of_a_default(
    tmp_path: Path, search: str, requirements: str, more: dict[str, str], gets: bool
) -> None:
    plan = supplied_plan(tmp_path, {**django(f"{search}{BY_DEFAULT}", requirements), **more})
    assert (ServiceKind.POSTGRESQL in {one.kind for one in plan.services}) is gets


@pytest.mark.parametrize("files", KEPT)
def test_a_project_whose_own_choice_is_another_keeps_it(tmp_path: Path, files: dict[str, str]) -> None:
    assert supplied_plan(tmp_path, files) == supplied_plan(tmp_path, files, frozenset())


FALLBACK = ENGINE.format('os.getenv("DATABASE_URL") or "sqlite:///a.db"')
EXAMPLE = "DATABASE_URL=postgresql://a:b@localhost:5432/shop\n"
VERSION = "from alembic import op\ndef upgrade():\n    {}\ndef downgrade():\n    op.drop_constraint('a', 'b')\n"


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ("op.create_foreign_key(None, 'a', 'b', ['x'], ['id'])", {POSTGRESQL}),
        ("op.add_column('a', sa.Column('x', postgresql.JSONB()))", {POSTGRESQL}),
        ("op.create_table('a', sa.Column('x', server_default=sa.text('now()')))", {POSTGRESQL}),
        # On SQLite, these work.
        ("op.add_column('a', sa.Column('x', sa.Integer()))", set()),
        ("with op.batch_alter_table('a') as one:\n        one.create_foreign_key(None, 'b', ['x'], ['id'])", set()),
        ("if op.get_bind().dialect.name != 'sqlite':\n        op.drop_constraint('a', 'b')", set()),
        ("op.add_column('a', sa.Column('x', sa.JSON().with_variant(postgresql.JSONB(), 'postgresql')))", set()),
    ],
)
def test_a_default_of_sqlite_that_the_migrations_refuse_yields_to_the_example_s_server(
    tmp_path: Path, change: str, kinds: set[ServiceKind]
) -> None:
    migration = {"alembic.ini": "", "alembic/env.py": "", "alembic/versions/1_a.py": VERSION.format(change)}
    files = fastapi(FALLBACK, "psycopg2", **migration, **{".env.example": EXAMPLE})
    plan = supplied_plan(tmp_path, files)
    assert {need.kind for need in plan.services if need.supplied} == kinds
    assert values_of(plan).get("DATABASE_URL", "").startswith("postgresql://a:b@") == bool(kinds)
    unnamed = supplied_plan(tmp_path / "other", {**files, ".env.example": "DATABASE_URL=\n"})
    assert not unnamed.services
    # Without a value, the name tells: that of a variable which another class of settings demands.
    main = (
        files["main.py"].replace("DATABASE_URL", "POSTGRES_URL") + 'class Live:\n    url = os.environ["POSTGRES_URL"]\n'
    )
    named = {**files, ".env.example": "", "main.py": main}
    assert {need.kind for need in supplied_plan(tmp_path / "named", named).services} == kinds


def test_an_example_of_sqlite_that_the_migrations_refuse_yields_to_the_compose_file_s_server(tmp_path: Path) -> None:
    migration = VERSION.format("op.add_column('a', sa.Column('x', server_default=sa.text('now()')))")
    compose = "services:\n  web:\n    environment:\n      DATABASE_URL: postgresql://a:b@db:5432/shop\n"
    files = fastapi(
        FALLBACK, "psycopg2",
        **{"alembic.ini": "", "alembic/env.py": "", "alembic/versions/1_a.py": migration, "compose.yaml": compose},
    )  # fmt: skip
    example = {".env.example": "DATABASE_URL=sqlite:///./app.db\n"}
    plan = supplied_plan(tmp_path, {**files, **example})
    assert values_of(plan)["DATABASE_URL"].startswith("postgresql://a:b@")
    # Its own file decides.
    own = supplied_plan(tmp_path / "own", {**files, ".env": example[".env.example"]})
    assert not own.services


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_without_supplied_kinds_nothing_is_marked(tmp_path: Path, case: Case) -> None:
    plan = supplied_plan(tmp_path, case.files, frozenset())
    assert not any(need.supplied for need in plan.services)
    assert "PGHOST" not in plan.variables


def test_a_server_of_another_kind_is_no_help(tmp_path: Path) -> None:
    files = fastapi(ENGINE.format(REQUIRED), "pymysql")
    assert supplied_plan(tmp_path, files, frozenset({POSTGRESQL})) == supplied_plan(tmp_path, files, frozenset())


def test_the_hosts_network_has_no_supplied_server(tmp_path: Path) -> None:
    files = fastapi(ENGINE.format(REQUIRED), "psycopg2")
    given = Overrides(network=Network.HOST)
    assert supplied_plan(tmp_path, files, ALL, given) == supplied_plan(tmp_path, files, frozenset(), given)
    toml = {**files, "preview.toml": '[start]\nnetwork = "host"\n'}
    assert supplied_plan(tmp_path, toml) == supplied_plan(tmp_path, toml, frozenset())


def test_given_values_are_never_changed(tmp_path: Path) -> None:
    mine = "postgresql://a:b@far.example/c?sslmode=require"
    given = Overrides(variables={"DATABASE_URL": Variable("DATABASE_URL", mine, Origin.REQUEST)})
    plan = supplied_plan(tmp_path, fastapi(ENGINE.format(REQUIRED), "psycopg2"), ALL, given)
    assert values_of(plan)["DATABASE_URL"] == mine


def test_the_contract_says_that_a_server_is_supplied(tmp_path: Path) -> None:
    plan = supplied_plan(tmp_path, fastapi(ENGINE.format(REQUIRED), "psycopg2"))
    assert describe_plan(plan)["services"] == [
        {"kind": "PostgreSQL", "setting": "DATABASE_URL", "where": "main.py:3", "at_startup": False,
         "address": "localhost:5432", "supplied": True}
    ]  # fmt: skip
    assert "PostgreSQL: the preview gets a database of its own (DATABASE_URL, main.py:3)" in plan.decisions


@pytest.mark.parametrize(
    ("env", "given", "added"),
    [
        ("from sqlalchemy import engine_from_config\n", f"postgresql+psycopg2://{OWN}", ("psycopg2-binary",)),
        ("url = os.environ['DATABASE_URL'].replace('+asyncpg', '')\n", None, ()),
        ("async_engine_from_config()\n", None, ()),
    ],
)
def test_a_synchronous_migration_gets_a_synchronous_driver(
    tmp_path: Path, env: str, given: str | None, added: tuple[str, ...]
) -> None:
    plan = supplied_plan(tmp_path, fastapi(ASYNC.format(REQUIRED), "asyncpg", **MIGRATION, **{"alembic/env.py": env}))
    assert plan.steps[0].variables == ({"DATABASE_URL": given} if given else None)
    assert plan.extra_requirements == (*added, "alembic")


def test_a_fixed_host_of_djangos_table_is_told(tmp_path: Path) -> None:
    plan = supplied_plan(tmp_path, django(table("'django.db.backends.mysql'", HOST="'10.2.3.4'"), "pymysql\n"))
    assert [one for one in plan.warnings if one.startswith("shop/settings.py:3 connects to 10.2.3.4")]


def test_a_fixed_host_of_a_driver_is_told(tmp_path: Path) -> None:
    plan = supplied_plan(tmp_path, fastapi("import redis\nredis.Redis(host='cache.example')\n"))
    assert [one for one in plan.warnings if one.startswith("main.py:2 connects to cache.example")]


def test_a_main_block_makes_tables_though_the_tests_have_a_database_in_memory(tmp_path: Path) -> None:
    text = 'import os\nfrom flask_sqlalchemy import SQLAlchemy\nTEST = "sqlite:///:memory:"\n' + FLASK
    text += f"db = SQLAlchemy(app)\nURL = {REQUIRED}\nif __name__ == '__main__':\n    db.create_all()\n    app.run()\n"
    plan = supplied_plan(tmp_path, {"app.py": text, "requirements.txt": "flask-sqlalchemy\npymysql\n"})
    assert [step.name for step in plan.steps] == ["tables"]
    assert plan.warnings == ()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('"postgresql://a:b@db/c?sslmode=require"', "main.py:3 requires TLS"),
        ('"postgresql://a:b@x.rds.example/c"', "main.py:3 connects to x.rds.example"),
        ('"postgresql://a:b@db/c", connect_args={"sslmode": "require"}', "main.py:3 requires TLS"),
        ('"postgresql://a:b@db/c", connect_args={"ssl": ssl.create_default_context()}', "main.py:3 requires TLS"),
    ],
)
def test_what_is_hard_coded_and_cannot_work_is_told_with_its_place(tmp_path: Path, text: str, sentence: str) -> None:
    assert [one for one in supplied_plan(tmp_path, fastapi(ENGINE.format(text))).warnings if one.startswith(sentence)]


@pytest.mark.parametrize(
    ("call", "insists"),
    [
        ('SimpleConnectionPool(1, 9, host=os.getenv("H"), sslmode="require")', True),
        ('SimpleConnectionPool(1, 9, host=os.getenv("H"), sslmode="disable")', False),
        ('SimpleConnectionPool(1, 9, host=os.getenv("H"), sslmode="require" if os.getenv("H") else None)', True),
        ('other(host=os.getenv("H"), ssl=True)', False),
    ],
)
def test_a_driver_s_option_in_any_call_demands_encryption(tmp_path: Path, call: str, insists: bool) -> None:
    files = fastapi(f"import os, psycopg2\nfrom psycopg2.pool import SimpleConnectionPool\n{call}\n", "psycopg2")
    assert [need.insists_on_tls for need in supplied_plan(tmp_path, files).services] == [insists]


def test_sql_of_postgresql_is_not_told_where_postgresql_runs(tmp_path: Path) -> None:
    files = fastapi('Q = "SELECT a::text FROM b"\n' + ENGINE.format(REQUIRED), "psycopg2")
    assert supplied_plan(tmp_path, files).warnings == ()
    assert supplied_plan(tmp_path, files, frozenset()).warnings != ()


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://" + "a" * 900_000,
        "postgresql://a:b@db:99999999999999999999/c",
        "postgresql://[/",
        "postgresql://\udcff",
    ],
)
def test_absurd_values_are_replaced(tmp_path: Path, value: str) -> None:
    files = fastapi(ENGINE.format(f'os.getenv("DATABASE_URL", {value!a})'), "psycopg2")
    plan = supplied_plan(tmp_path, {**files, "compose.yml": f"  DB_HOST: {'h' * 90_000}\n"})
    assert plan.variables["DATABASE_URL"].value == f"postgresql+psycopg2://{OWN}"
    assert plan.services[0].address == ("localhost", 5432)


@pytest.mark.parametrize(
    ("port", "number"), [("5433", 5433), ("'5434'", 5434), ("0", 5432), ("'x'", 5432), ("1e9", 5432), ("True", 5432)]
)
def test_the_port_in_djangos_settings_is_the_one_that_is_reached(tmp_path: Path, port: str, number: int) -> None:
    files = django(table("'django.db.backends.postgresql'", PORT=port), "psycopg2\n")
    [need] = detect(write(tmp_path, files), supplied=ALL).services
    assert need.address == ("localhost", number)


@pytest.mark.parametrize(("call", "insists"), [("locals()", True), ("locals(), databases=False", False)])
def test_a_helper_of_a_platform_demands_encryption(tmp_path: Path, call: str, *, insists: bool) -> None:
    settings = table("django.db.backends.postgresql", NAME='"shop"', HOST='"localhost"')
    files = django(f"{settings}import django_heroku\ndjango_heroku.settings({call})\n", "django\npsycopg2-binary\n")
    plan = supplied_plan(tmp_path, files)
    assert any("shop/settings.py:5 requires TLS" in line for line in plan.warnings) is insists


@pytest.mark.parametrize(
    ("packages", "is_there"), [("slowapi", False), ("slowapi\nredis", True), ("celery[redis]", True)]
)
def test_without_a_client_of_redis_a_default_without_it_stays(tmp_path: Path, packages: str, *, is_there: bool) -> None:
    files = fastapi(f"{PYDANTIC}    redis_url: str | None = None\ns = S()\n", packages)
    plan = supplied_plan(tmp_path, {**files, ".env.production.example": "REDIS_URL=redis://localhost:6379/0\n"})
    assert ("REDIS_URL" in plan.variables) is is_there
    assert any(need.supplied for need in plan.services) is is_there


@pytest.mark.parametrize(("call", "kinds"), [("locals()", [POSTGRESQL]), ("locals(), databases=False", [])])
def test_a_helper_of_a_platform_replaces_sqlite(tmp_path: Path, call: str, kinds: list[ServiceKind]) -> None:
    settings = table('"django.db.backends.sqlite3"', NAME='"db.sqlite3"')
    files = django(
        f"{settings}import django_on_heroku\ndjango_on_heroku.settings({call})\n", "django\npsycopg2-binary\n"
    )
    assert [need.kind for need in supplied_plan(tmp_path, files).services if need.supplied] == kinds


@pytest.mark.parametrize(
    "windows",
    [
        'os.name == "nt"',
        'not os.name == "posix"',
        'sys.platform.startswith("win")',
        'platform.system().lower() in ("windows", "darwin")',
    ],
)
def test_what_is_for_another_operating_system_is_not_read(tmp_path: Path, windows: str) -> None:
    server, file = f'"mysql+pymysql://{MY}"', '"sqlite:///notes.db"'
    choice = f"import os, platform, sys\ndef url():\n  if {windows}:\n    return {file}\n  else:\n    return {server}\n"
    written = fastapi(choice + ENGINE.format("url()"), "pymysql")
    assert {one.kind for one in supplied_plan(tmp_path / "a", written).services if one.supplied} == {MYSQL}
    written = fastapi(f"import os, platform, sys\n{ENGINE.format(f'{file} if {windows} else {server}')}", "pymysql")
    assert {one.kind for one in supplied_plan(tmp_path / "b", written).services if one.supplied} == {MYSQL}
    turned = fastapi(f"import os, platform, sys\n{ENGINE.format(f'{server} if {windows} else {file}')}", "pymysql")
    assert not [one for one in supplied_plan(tmp_path / "c", turned).services if one.supplied]


@pytest.mark.parametrize("test", ['os.name == "nt"', 'sys.platform == "win32"'])
def test_djangos_database_for_another_operating_system_is_not_read(tmp_path: Path, test: str) -> None:
    sqlite, mysql = table("'django.db.backends.sqlite3'", NAME="'a'"), table("'django.db.backends.mysql'", NAME="'a'")
    written = django(f"import sys\nif {test}:\n  {sqlite}else:\n  {mysql}", "mysqlclient\n")
    assert {one.kind for one in supplied_plan(tmp_path, written).services if one.supplied} == {MYSQL}


@pytest.mark.parametrize(("name", "kinds"), [("TEST_DATABASE_URL", {MYSQL}), ("LOCAL_DATABASE_URL", set())])
def test_a_sqlite_file_for_tests_is_not_the_database(tmp_path: Path, name: str, kinds: set[ServiceKind]) -> None:
    parts = "".join(f'    MYSQL_{part}: str = "x"\n' for part in ("USER", "PASSWORD", "HOST", "DB"))
    url = "mysql+aiomysql://{self.MYSQL_USER}:{self.MYSQL_PASSWORD}@{self.MYSQL_HOST}:3306/{self.MYSQL_DB}"
    made = f'    @property\n    def url(self): return f"{url}"\n'
    text = f'{PYDANTIC}{parts}{made}    {name}: str = "sqlite:///./t.db"\ns = S()\n'
    written = fastapi(text + ASYNC.format("s.url"), "aiomysql")
    assert {one.kind for one in supplied_plan(tmp_path, written).services if one.supplied} == kinds


@pytest.mark.parametrize(
    "call", ["MultiHostUrl.build(scheme=", "PostgresDsn.build(scheme=", "URL.create(drivername=", "URL.create("]
)
def test_a_scheme_in_a_variable_is_that_of_the_driver(tmp_path: Path, call: str) -> None:
    parts = "".join(f"    DB_{part}: str\n" for part in ("SCHEME", "HOST", "USER", "PASSWORD", "NAME"))
    given = "self.DB_SCHEME, username=self.DB_USER, password=self.DB_PASSWORD, host=self.DB_HOST"
    text = f"{PYDANTIC}{parts}    @property\n    def url(self): return {call}{given}, path=self.DB_NAME)\ns = S()\n"
    head = "from sqlalchemy import URL\nfrom pydantic_core import MultiHostUrl\nfrom pydantic import PostgresDsn\n"
    plan = supplied_plan(tmp_path, fastapi(head + text + ENGINE.format("str(s.url)"), "psycopg"))
    assert plan.variables["DB_SCHEME"].value == "postgresql+psycopg"
    assert plan.variables["DB_HOST"].value == "localhost"


@pytest.mark.parametrize(("options", "kinds"), [('{"sslmode": "disable"}', {POSTGRESQL}), ('{"timeout": 5}', set())])
def test_an_option_that_sqlite_refuses_tells_the_server(tmp_path: Path, options: str, kinds: set[ServiceKind]) -> None:
    engine = 'os.getenv("DB_ENGINE", "django.db.backends.sqlite3")'
    settings = table(engine, NAME='os.getenv("DB_NAME", "db.sqlite3")', OPTIONS=options)
    plan = supplied_plan(tmp_path, django(settings, "django\npsycopg2-binary\n"))
    assert {one.kind for one in plan.services if one.supplied} == kinds
    assert ("DB_ENGINE" in plan.variables) is bool(kinds)


@pytest.mark.parametrize(
    ("test", "kinds"),
    [
        ("IS_TEST", {MYSQL}),
        ('os.getenv("TESTING") == "1"', {MYSQL}),
        ('os.getenv("APP_ENV") == "testing"', {MYSQL}),
        ('os.getenv("APP_ENV", "dev").lower() == "test"', {MYSQL}),
        ('"pytest" in sys.modules', {MYSQL}),
        ("settings.testing is True", {MYSQL}),
        # Another condition is not known, so the file is there for something.
        ("IS_LOCAL", set()),
        ("LATEST", set()),
        ('os.getenv("APP_ENV") == "local"', set()),
    ],
)
def test_what_only_tests_use_is_not_the_database(tmp_path: Path, test: str, kinds: set[ServiceKind]) -> None:
    head = "import os, sys\nIS_TEST = IS_LOCAL = LATEST = False\n"
    url = f'"sqlite:///notes.db" if {test} else "mysql+pymysql://{MY}"'
    written = fastapi(head + ENGINE.format(url), "pymysql")
    assert {one.kind for one in supplied_plan(tmp_path / "a", written).services if one.supplied} == kinds
    turned = f'"mysql+pymysql://{MY}" if not ({test}) else "sqlite:///notes.db"'
    written = fastapi(head + ENGINE.format(turned), "pymysql")
    assert {one.kind for one in supplied_plan(tmp_path / "b", written).services if one.supplied} == kinds


def test_a_driver_that_the_source_adds_to_any_scheme_is_not_there_before(tmp_path: Path) -> None:
    url = (
        'os.environ.get("DATABASE_URL", "").replace("postgres://", "postgresql://", 1).replace("://", "+asyncpg://", 1)'
    )
    plan = supplied_plan(tmp_path, fastapi(ASYNC.format(url), "asyncpg"))
    assert plan.variables["DATABASE_URL"].value == f"postgresql://{OWN}"
