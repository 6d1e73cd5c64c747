"""What single lines of source come to: variables, databases, addresses, folders, applications."""

from __future__ import annotations

from pathlib import Path

import pytest
from detection_kit import FASTAPI, FLASK, MANAGE, plan_of, values_of, write

from preview.detection import Origin, Overrides, ServiceKind, describe_plan, detect, read_endpoints
from preview.detection.facts import Facts, read_facts
from preview.detection.plan import Variable
from preview.detection.project_imports import Nodes
from preview.detection.settings import Kind, Need, SettingRead, collect, make_up
from preview.sources import Sources

PYDANTIC = "from pydantic_settings import BaseSettings, SettingsConfigDict\n"
ENGINE = "import os\nfrom sqlalchemy import create_engine, text, Column\nengine = create_engine({})\n"
PG = "postgresql://postgres:postgres@localhost:5432/"

NESTED = (
    "class D(BaseModel):\n  url: str\n  n: int = 1\nclass S(BaseSettings):\n  db: D\n"
    '  model_config = SettingsConfigDict(env_nested_delimiter="__")'
)
FLAGGED = (
    '{"default": {"ENGINE": "django.db.backends.sqlite3"} if os.getenv("USE_SQLITE") == "1" else '
    '{"ENGINE": "django.db.backends.postgresql"}}'
)
LEVEL = 'URL, isolation_level="REPEATABLE READ")\n#'
LITESTAR = "from litestar import Litestar\ndef create_app():\n  return Litestar([])"
BOTTLE = "import bottle\nb = bottle.Bottle()"
FALCON = "from falcon import App\nx = 1\napp = App()"
MYSQL = "mysql://root:root@localhost:3306/preview"


def read(folder: Path, text: str) -> list[SettingRead]:
    sources = Sources(write(folder, {"main.py": text}))
    return list(collect(Nodes(sources), ["main.py"], ["."]).reads.values())


def facts_of(folder: Path, text: str) -> Facts:
    return read_facts(Sources(write(folder, {"main.py": text})), ["main.py"])


@pytest.mark.parametrize(
    ("text", "need", "kind"),
    [
        ('def other(a):\n    pass\ndef get_env(n):\n    return os.environ[n]\nget_env("X")', "required", "text"),
        ('def get_env(n, d):\n    return os.getenv(n)\nget_env("X", "a")', "defaulted", "text"),
        ('from decouple import config\nconfig("X", "a")', "defaulted", "text"),
        ('from decouple import config\nconfig()\nconfig("X", cast=int)', "required", "integer"),
        ('from starlette.config import Config\nc = Config()\nc("X", bool)', "required", "boolean"),
        ('import environ\nenv = environ.Env(X=bool)\nenv("X")', "required", "boolean"),
        ('import environ\nenv = environ.Env(X=(int, 1))\nenv("X")', "defaulted", "integer"),
        ('timedelta(minutes=os.getenv("X"))', "required", "integer"),
        ('os.getenv("X") in ("a", "b")', "optional", "boolean"),
        ('os.environ["X"] = "1"\nos.environ["X"]', "defaulted", "text"),
        ('os.environ.setdefault("X", "1")\nos.environ["X"]', "defaulted", "text"),
        ('if "X" in os.environ:\n    os.environ["X"]', "defaulted", "text"),
        ('try:\n    os.environ["X"]\nexcept KeyError:\n    pass', "defaulted", "text"),
        ('try:\n    os.environ["X"]\nexcept KeyError:\n    sys.exit(1)', "required", "text"),
        ('class A:\n    x = os.environ["X"]', "required", "text"),
        ('os.getenv("X", None)', "defaulted", "text"),
        ('os.getenv("X")', "optional", "text"),
        ('os.getenv("X") or "a"', "defaulted", "text"),
        ('A: str = os.getenv("X")\nif not A:\n    raise ValueError', "required", "text"),
        ('A = os.getenv("X")\nassert A', "required", "text"),
        ('A = os.getenv("X")\nassert A is not None', "required", "text"),
        ('A = os.getenv("X")\nassert A and True', "required", "text"),
        ('A = os.getenv("X")\nif A is None:\n    sys.exit(1)', "required", "text"),
        ('A = os.getenv("X")\nif B or len(A) < 32:\n    raise ValueError', "required", "text"),
        ('A = os.getenv("X")\nif not all([A, B]):\n    raise ValueError', "required", "text"),
        ('A = os.getenv("X")\nif A:\n    raise ValueError', "optional", "text"),
        ('A = os.getenv("X")\nif not A:\n    print()', "optional", "text"),
    ],
)
def test_a_read_is_needed_or_not_as_its_surroundings_say(tmp_path: Path, text: str, need: str, kind: str) -> None:
    (found,) = read(tmp_path, f"import os, sys\n{text}\n")
    assert (found.name, str(found.need), str(found.kind)) == ("X", need, kind)


@pytest.mark.parametrize(
    ("default", "text"),
    [
        ("5", "5"),
        ('f"a{b}c"', "a*c"),
        ('"a" + b', "a*"),
        ('"{}/x".format(1)', "*/x"),
        ("b()", None),
    ],
)
def test_a_default_is_kept_as_far_as_it_is_written_down(tmp_path: Path, default: str, text: str | None) -> None:
    assert read(tmp_path, f'import os\nos.getenv("X", {default})\n')[0].default == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("try:\n  class S(BaseSettings):\n    x: int\nexcept ImportError:\n  pass", [("X", "required", "integer")]),
        ("import pydantic\nclass S(BaseSettings):\n  x: pydantic.EmailStr", [("X", "required", "email")]),
        ('class S(BaseSettings):\n  model_config = {"env_prefix": "A_"}\n  x: str', [("A_X", "required", "text")]),
        (
            NESTED,
            [("DB__URL", "required", "text"), ("DB__N", "defaulted", "integer")],
        ),
        ("class D(BaseSettings):\n  a: str\nclass S(BaseSettings):\n  d: D", [("A", "required", "text")]),
        ('class S(BaseSettings):\n  x: "int |"', [("X", "required", "text")]),
        ('class S(BaseSettings):\n  x: "int | None"', [("X", "required", "integer")]),
        ("class S(BaseSettings):\n  x: Optional[int] = None", [("X", "defaulted", "integer")]),
        ('class S(BaseSettings):\n  x: str = Field(env=["A", "B"])', [("A", "required", "text")]),
        ('class S(BaseSettings):\n  x: str = Field(alias=AliasChoices("A", "B"))', [("A", "required", "text")]),
        ('class S(BaseSettings):\n  x: Annotated[bool, Field(alias="A")]', [("A", "required", "boolean")]),
        ('class S(BaseSettings):\n  class Config:\n    env_prefix = "A_"\n  x: str', [("A_X", "required", "text")]),
    ],
)
def test_fields_of_settings_are_read(tmp_path: Path, text: str, found: list[tuple[str, str, str]]) -> None:
    reads = read(tmp_path, f"{PYDANTIC}{text}\n")
    assert [(one.name, str(one.need), str(one.kind)) for one in reads] == found


def test_a_field_knows_its_choices_its_least_and_its_default(tmp_path: Path) -> None:
    text = (
        'class E(str, Enum):\n  a = "one"\n  b = "two"\nclass S(BaseSettings):\n  e: E\n  n: int = Field(gt=3)\n'
        '  t: str = f"a{b}"\n  l: Literal["x", "y"]\n'
    )
    e, n, t, one = read(tmp_path, PYDANTIC + text)
    assert (e.choices, n.least, t.default, one.choices) == (("one", "two"), 4, "a*", ("x", "y"))


@pytest.mark.parametrize(
    ("name", "kind", "choices", "annotation", "value"),
    [
        ("POSTGRES_USER", "text", (), "", "postgres"),
        ("POSTGRES_PASSWORD", "text", (), "", "postgres"),
        ("POSTGRES_DB", "text", (), "", "preview"),
        ("POSTGRES_HOST", "text", (), "", "localhost"),
        ("POSTGRES_PORT", "text", (), "", "5432"),
        ("POSTGRES_X", "text", (), "", "preview"),
        ("POSTGRES_URL", "text", (), "", "postgresql://postgres:postgres@localhost:5432/preview"),
        ("MYSQL_USER", "text", (), "", "root"),
        ("MYSQL_PASSWORD", "text", (), "", "root"),
        ("X", "database", (), "MySQLDsn", "mysql://root:root@localhost:3306/preview"),
        ("X", "database", (), "PostgresDsn", "postgresql://postgres:postgres@localhost:5432/preview"),
        ("X", "url", (), "AmqpDsn", "amqp://guest:guest@localhost:5672//"),
        ("REDIS_URL", "url", (), "", "redis://localhost:6379/0"),
        ("NATS_URL", "text", (), "", "nats://localhost:4222"),
        ("MQTT_PORT", "integer", (), "", "1883"),
        ("MQTT_BROKER", "text", (), "", "localhost"),
        ("MQTT_BROKER_URL", "text", (), "", "mqtt://localhost:1883"),
        ("API_DOMAIN", "text", (), "", "localhost"),
        ("SENT_FROM", "text", (), "", "preview@example.com"),
        ("USE_SQLITE", "boolean", ("0", "1"), "", "1"),
        ("X", "boolean", ("a",), "", "False"),
        ("X", "text", ("b", "sqlite"), "", "sqlite"),
    ],
)
def test_a_made_up_value_follows_name_and_type(
    name: str, kind: str, choices: tuple[str, ...], annotation: str, value: str
) -> None:
    one = SettingRead(name, "a.py", 1, Need.REQUIRED, Kind(kind), choices=choices, annotation=annotation)
    assert make_up(one) == value


@pytest.mark.parametrize(
    ("annotation", "example", "value"),
    [
        ("int", "-5", "-5"),
        ("int", "many", "10"),
        ("float", "1.5", "1.5"),
        ("float", "x", "10"),
        ("dict", '{"a": 1}', '{"a": 1}'),
        ("dict", "none", "{}"),
        ("HttpUrl", "https://a.test", "https://a.test"),
        ("EmailStr", "a@b.test", "a@b.test"),
        ("EmailStr", "nobody", "preview@example.com"),
        ('Literal["a", "b"]', "b", "b"),
        ('Literal["a", "b"]', "c", "a"),
    ],
)
def test_an_example_is_taken_where_it_fits_the_type(tmp_path: Path, annotation: str, example: str, value: str) -> None:
    text = f"{PYDANTIC}from typing import *\nfrom pydantic import *\nclass S(BaseSettings):\n  thing: {annotation}\n"
    plan = plan_of(tmp_path, {"main.py": text + FASTAPI, ".env.example": f"THING='{example}'\n"})
    assert values_of(plan) == {"THING": value}


@pytest.mark.parametrize(
    ("text", "address", "host", "port"),
    [
        ('from sqlalchemy import URL\nURL.create("postgresql+asyncpg")', "postgresql+asyncpg://*", "", ""),
        ('from sqlalchemy import URL\nURL.create(drivername="mysql")', "mysql://*", "", ""),
        ("f\"redis://u@{os.getenv('H')}:{os.environ['P']}/0\"", "redis://u@*:*/0", "H", "P"),
        ('f"redis://u@{settings.h}:{p}/0"', "redis://u@*:*/0", "h", "p"),
        ('f"redis://u@{h()}/0"', "redis://u@*/0", "", ""),
    ],
)
def test_an_address_is_read_with_the_names_of_its_parts(
    tmp_path: Path, text: str, address: str, host: str, port: str
) -> None:
    (found,) = facts_of(tmp_path, text).addresses
    assert (found.text, found.host, found.port) == (address, host, port)
    assert found.where == f"main.py:{text.count(chr(10)) + 1}"


def test_what_a_program_does_as_a_script_is_not_what_it_does_when_it_is_imported(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, 'if __name__ == "__main__":\n    run()\nelse:\n    serve()\n')
    assert [call.name for call in facts.calls] == ["serve"]


def test_a_function_that_is_handed_over_for_the_start_runs_at_the_start(tmp_path: Path) -> None:
    text = "def boot(): connect()\ndef wake(): ...\ndef other(): ...\n"
    facts = facts_of(tmp_path, f'{text}app = FastAPI(lifespan=boot)\napp.add_event_handler("startup", wake)\n')
    assert {"boot", "wake"} <= facts.started
    assert "other" not in facts.started


def test_an_expression_that_is_nested_too_deep_ends_the_reading_of_its_file(tmp_path: Path) -> None:
    assert [call.name for call in facts_of(tmp_path, f"first()\na{'.b' * 900}\nlast()\n").calls] == ["first"]


@pytest.mark.parametrize(
    ("text", "own", "values"),
    [
        (ENGINE.format('os.environ["DATABASE_URL"]'), "DATABASE_URL=sqlite:///x.db", {"DATABASE_URL": "sqlite:///x.db"}),
        (ENGINE.format('"sqlite:///x.db"'), "", {}),
        (ENGINE.format('"sqlite:///x.db"') + 'os.getenv("USE_SQLITE", "true")\n', "", {}),
        (
            "import os\nfrom playhouse.db_url import connect\ndb = connect(os.environ['DATABASE_URL'])\n",
            "",
            {"DATABASE_URL": "sqlite:///{database_path}"},
        ),
        ("import os, asyncpg\nos.environ['DATABASE_URL']\n", "", {"DATABASE_URL": f"{PG}postgres"}),
        ("import os, asyncpg\nos.environ['DATABASE_URL']\n", "DATABASE_URL=a://b", {"DATABASE_URL": "a://b"}),
        ("import os, pymysql\nos.environ['DATABASE_URL']\n", "", {"DATABASE_URL": MYSQL}),
        ("import os, pymongo\nos.environ['DATABASE_URL']\n", "", {"DATABASE_URL": "mongodb://localhost:27017/preview"}),
    ],
)  # fmt: skip
def test_a_database_gets_the_address_that_its_library_takes(
    tmp_path: Path, text: str, own: str, values: dict[str, str]
) -> None:
    assert values_of(plan_of(tmp_path, {"main.py": text + FASTAPI, ".env": own})) == values


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (LEVEL, "its engine requires the isolation level REPEATABLE READ (main.py:4)"),
        (
            'URL)\nCreated = Column(server_default=text("now()"))\nBase.metadata.create_all(engine)\n#',
            "its tables are written for a server (main.py:5)",
        ),
    ],
)  # fmt: skip
def test_an_engine_that_sqlite_cannot_serve_keeps_its_server(tmp_path: Path, text: str, why: str) -> None:
    head = 'URL = os.getenv("DATABASE_URL", "postgresql://u:p@db:5432/x")\nengine'
    plan = plan_of(tmp_path, {"main.py": ENGINE.replace("engine =", f"{head} =").format(text) + FASTAPI})
    assert f"PostgreSQL and not SQLite, because {why}" in plan.decisions


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ('host=os.getenv("REDIS_HOST", "cache"), port=int(os.getenv("REDIS_PORT", "6380"))', "cache:6380"),
        ('host=os.getenv("REDIS_HOST", "cache"), port=int(os.getenv("REDIS_PORT", "99999"))', "cache:6379"),
        ('host=os.getenv("REDIS_HOST", "cache")', "cache:6379"),
        ('"redis://h:port"', "localhost:6379"),
        ('"redis://h:7000"', "h:7000"),
    ],
)
def test_a_server_is_told_with_its_address(tmp_path: Path, text: str, address: str) -> None:
    plan = plan_of(tmp_path, {"main.py": f"import os, redis\nclient = redis.Redis({text})\n{FASTAPI}"})
    (service,) = (need for need in plan.services if need.kind is ServiceKind.REDIS)
    assert service.address is not None
    assert f"{service.address[0]}:{service.address[1]}" == address
    services = describe_plan(plan)["services"]
    assert isinstance(services, list)
    assert services[0]["address"] == address


def test_a_driver_beside_an_engine_on_sqlite_is_no_need(tmp_path: Path) -> None:
    text = ENGINE.format('os.environ["DATABASE_URL"]') + "import psycopg2\ndef later(): psycopg2.connect()\n"
    assert plan_of(tmp_path, {"main.py": text + FASTAPI}).services == ()


@pytest.mark.parametrize(
    ("databases", "own", "values"),
    [
        ('{"default": {"ENGINE": os.getenv("DB_ENGINE", "django.db.backends.sqlite3")}}', "", {}),
        (
            '{"default": env.db("DATABASE_URL")}',
            "DATABASE_URL=sqlite:///x.db",
            {"DATABASE_URL": "sqlite:///x.db"},
        ),
        (
            FLAGGED,
            "",
            {"USE_SQLITE": "1"},
        ),
    ],
)
def test_django_is_led_to_sqlite(tmp_path: Path, databases: str, own: str, values: dict[str, str]) -> None:
    settings = f'import os, environ\nenv = environ.Env()\nROOT_URLCONF = "shop.urls"\nDATABASES = {databases}\n'
    files = {"manage.py": MANAGE, "shop/__init__.py": "", "shop/urls.py": "urlpatterns = []\n"}
    plan = plan_of(tmp_path, {**files, "shop/settings.py": settings, ".env": own})
    assert (values_of(plan), plan.services) == (values, ())


@pytest.mark.parametrize(
    ("files", "target", "framework"),
    [
        ({"Procfile": "web: gunicorn --chdir api wsgi:app", "api/wsgi.py": "app = make()"}, "api wsgi:app", "wsgi"),
        ({"Procfile": "web: uvicorn gone:app\nweb: python x", "a.py": BOTTLE}, ". a:b", "bottle"),
        ({"a.py": "falcon = = 1\nfalcon.App((", "p/__init__.py": FALCON}, ". p:app", "falcon"),
        ({"a.py": LITESTAR}, ". a:create_app", "litestar"),
    ],
)  # fmt: skip
def test_an_application_of_another_library_is_found(
    tmp_path: Path, files: dict[str, str], target: str, framework: str
) -> None:
    plan = plan_of(tmp_path, files)
    assert plan.target is not None
    named = f"{plan.target.app_dir} {plan.target.module}:{plan.target.attribute}"
    assert (named, plan.framework) == (target, framework)


def test_a_command_without_a_known_application_is_the_plan(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"Procfile": "web: python gone.py\nweb: python run.py", "run.py": "import os\n"})
    assert (plan.framework, plan.command) == ("command", ("python", "run.py"))


@pytest.mark.parametrize(
    ("files", "directory", "why"),
    [
        ({"src/main.py": 'open("data/x.json")\n', "data/x.json": ""}, ".", 'open "data/x.json"'),
        ({"src/main.py": 'open(f"a b")\nopen("x y!")\nopen("own.txt")\n', "src/own.txt": ""}, "src", 'open "own.txt"'),
        ({"src/main.py": "", "Procfile": "web: uvicorn main:app --app-dir src"}, ".", "Procfile starts it from there"),
        ({"src/main.py": 'class Config:\n  env_file = "conf.env"\n', "conf.env": ""}, ".", 'open "conf.env"'),
        ({"src/main.py": "", "setup.cfg": ""}, ".", "setup.cfg is in the project's own folder"),
        ({"src/main.py": ""}, "src", "its imports are relative to it"),
    ],
)
def test_the_working_folder_has_a_reason(tmp_path: Path, files: dict[str, str], directory: str, why: str) -> None:
    plan = plan_of(
        tmp_path, {**files, "src/main.py": f"{files['src/main.py']}import core\n{FASTAPI}", "src/core.py": ""}
    )
    assert plan.directory == directory
    assert any(why in decision for decision in plan.decisions)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("pyproject.toml", "[project]\ndependencies = []"),
        ("setup.cfg", "install_requires ="),
        ("requirements-dev.txt", ""),
    ],
)
def test_the_manifest_beside_the_application_counts(tmp_path: Path, name: str, text: str) -> None:
    assert plan_of(tmp_path, {f"api/{name}": text, "api/main.py": FASTAPI}).manifests == "api"


@pytest.mark.parametrize(("text", "folder"), [("", "."), ("import core\n", "src")])
def test_a_stated_command_says_where_imports_count_from_unless_they_fail_there(
    tmp_path: Path, text: str, folder: str
) -> None:
    files = {"src/main.py": text + FASTAPI, "src/core.py": "", "Procfile": "web: uvicorn src.main:app"}
    target = plan_of(tmp_path, files).target
    assert target is not None
    assert target.app_dir == folder


@pytest.mark.parametrize(("relative", "path"), [("from .keys import A\n", (".",)), ("import keys\n", (".", "apis"))])
def test_a_part_of_a_package_is_not_the_module_that_a_file_imports(
    tmp_path: Path, relative: str, path: tuple[str, ...]
) -> None:
    files = {"app.py": f"import apis\nfrom redcap import Project\n{FLASK}", "requirements.txt": "flask\nPyCap\n"}
    files |= {"apis/__init__.py": "", "apis/redcap.py": relative, "apis/keys.py": "A = 1\n"}
    assert plan_of(tmp_path, files).python_path == path


MAKEFILE = "APP ?= backend.api.main:app\nrun:\n\tuvicorn $(APP) --reload\n"


@pytest.mark.parametrize(
    ("text", "module", "path"),
    [
        ("import core\nfrom backend.api.deps import A\n", "backend.api.main", (".", "backend")),
        ("import core\nfrom api.deps import A\n", "api.main", ("backend",)),
    ],
)
def test_files_that_name_each_other_as_the_command_does_are_loaded_under_these_names(
    tmp_path: Path, text: str, module: str, path: tuple[str, ...]
) -> None:
    files = {"backend/api/main.py": f"{text}{FASTAPI}", "backend/api/deps.py": "A = 1\n", "backend/core.py": ""}
    files |= {"backend/__init__.py": "", "backend/api/__init__.py": "", "Makefile": MAKEFILE}
    plan = plan_of(tmp_path, files)
    assert plan.target is not None
    assert (plan.target.module, plan.python_path[: len(path)]) == (module, path)


def test_a_variable_behind_an_import_from_two_folders_up_is_read(tmp_path: Path) -> None:
    files = {f"shop/{name}__init__.py": "" for name in ("", "api/")}
    files |= {
        "shop/api/main.py": f"from ..core import X\n{FASTAPI}",
        "shop/core.py": 'import os\nX = os.environ["NAME"]\n',
    }
    assert "NAME" in plan_of(tmp_path, files).variables


def test_sockets_of_flask_are_warned_of(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"app.py": f"from flask_socketio import SocketIO\n{FLASK}"})
    assert any("fall back to long polling" in warning for warning in plan.warnings)


CONFIG = "class Config: pass\nclass DevelopmentConfig(Config): pass\n"


@pytest.mark.parametrize(
    ("read", "config", "value"),
    [
        ('TYPE = os.getenv("KIND_OF")\napp.config.from_object(TYPE)\n', CONFIG, "config.DevelopmentConfig"),
        ('app.config.from_object(os.environ["KIND_OF"])\n', CONFIG, "config.DevelopmentConfig"),
        ('app.config.from_object(os.environ.get("KIND_OF", None))\n', CONFIG, "config.DevelopmentConfig"),
        # It starts without a class, too.
        ('app.config.from_object(os.environ.get("KIND_OF"))\n', "x = 1\n", None),
        ('app.config.from_object(os.environ.get("KIND_OF", "config.Config"))\n', CONFIG, None),
        ('app.config.from_object(os.environ.get("KIND_OF") or "config.Config")\n', CONFIG, None),
        ('other = os.environ.get("KIND_OF")\napp.config.from_object(TYPE)\n', CONFIG, None),
    ],
)
def test_a_variable_for_flasks_configuration_names_a_class(
    tmp_path: Path, read: str, config: str, value: str | None
) -> None:
    plan = plan_of(tmp_path, {"app.py": f"import os\n{FLASK}{read}", "config.py": config})
    assert values_of(plan).get("KIND_OF") == value


@pytest.mark.parametrize(
    "text",
    [
        "kind = None\nif not kind:\n    kind = 'settings.dev.Development'\napp.config.from_object(kind)\n",
        "def make(kind='settings.dev:Development'):\n    app.config.from_object(kind)\n",
        "import os\napp.config.from_object(os.getenv('KIND', 'settings.dev.DevConfig'))\n",
        "from factory import create_app\ncreate_app('settings.dev.DevConfig')\n",
        "app.config.from_object('settings.dev')\n",
        "def make(kind):\n    app.config.from_object(f'settings.dev.{kind}')\nmake('DevConfig')\n",
    ],
)
def test_the_module_of_a_configuration_that_a_text_names_is_loaded(tmp_path: Path, text: str) -> None:
    config = 'from os import environ\nclass DevConfig:\n    SECRET_KEY = environ.get("SECRET_KEY")\n'
    plan = plan_of(tmp_path, {"app.py": f"{FLASK}{text}", "settings/dev.py": config, "factory.py": ""})
    assert values_of(plan).get("SECRET_KEY") == "{secret}"


@pytest.mark.parametrize(
    ("function", "call", "value"),
    [
        ("def make(kind):\n    app.config.from_object(kind)\n", "make(kind)", "config.DevelopmentConfig"),
        (
            "def make(name, kind=None):\n    app.config.from_object(kind)\n",
            'make("a", kind)',
            "config.DevelopmentConfig",
        ),
        ("def make(kind):\n    app.config.from_object(kind)\n", "make(kind=kind)", "config.DevelopmentConfig"),
        # It is the name of an environment.
        ("def make(kind):\n    app.config.from_object(all[kind])\n", "make(kind)", "preview"),
        ("def make(name, kind=None):\n    app.config.from_object(kind)\n", "make(kind)", "preview"),
    ],
)
def test_a_function_may_read_flasks_configuration_from_what_a_variable_names(
    tmp_path: Path, function: str, call: str, value: str
) -> None:
    app = f'from decouple import config\nfrom config import make\n{FLASK}kind = config("KIND_OF")\n{call}\n'
    plan = plan_of(tmp_path, {"app.py": app, "config.py": f"{CONFIG}{function}"})
    assert values_of(plan)["KIND_OF"] == value


@pytest.mark.parametrize(
    ("config", "value"),
    [("class Base: ...\nclass DevelopmentConfig(Base): ...\n", "config.DevelopmentConfig"), ("", "preview")],
)
def test_a_variable_that_names_a_class_gets_one_of_the_project(tmp_path: Path, config: str, value: str) -> None:
    app = f'import os\nos.environ["APP_SETTINGS"]\n{FLASK}'
    plan = plan_of(tmp_path, {"app.py": app, "config.py": config, "config_other.py": ""})
    assert values_of(plan)["APP_SETTINGS"] == value


def test_alembic_without_its_folder_is_no_step(tmp_path: Path) -> None:
    text = ENGINE.format('os.environ["DATABASE_URL"]')
    assert plan_of(tmp_path, {"main.py": text + FASTAPI, "alembic.ini": ""}).steps == ()


def test_a_named_application_that_no_reader_knows_is_taken_from_the_named_folder(tmp_path: Path) -> None:
    files = {"svc/x/main.py": "thing = make()\n", "x/main.py": "thing = make()\n", "main.py": FASTAPI}
    target = plan_of(tmp_path, files, Overrides(app="x.main:thing", directory="svc")).target
    assert target is not None
    assert (target.file, target.app_dir, str(target)) == ("svc/x/main.py", "svc", "x.main:thing")


def test_a_named_application_elsewhere_is_not_the_one_of_the_named_folder(tmp_path: Path) -> None:
    files = {"one/main.py": FASTAPI, "two/main.py": FASTAPI}
    target = plan_of(tmp_path, files, Overrides(app="main:app", directory="two")).target
    assert target is not None
    assert target.file == "two/main.py"


def test_a_named_file_of_node_is_run_without_a_package(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, {"main.py": FASTAPI, "server.js": "listen()"}, Overrides(app="server.js"))
    assert (plan.framework, plan.command) == ("node", ("server.js",))


def test_a_factory_and_no_steps_can_be_given(tmp_path: Path) -> None:
    files = {"main.py": FASTAPI, "preview.toml": ""}
    given = Overrides(factory=True, skip_steps=True, variables={"A": Variable("A", "b", Origin.REQUEST)})
    plan = detect(write(tmp_path, files), given)
    assert plan.target is not None
    assert (plan.target.factory, plan.steps) == (True, ())
    assert (plan.variables["A"].value, plan.variables["A"].origin) == ("b", Origin.REQUEST)


def test_endpoints_of_a_framework_that_is_not_there_are_those_that_are_found(tmp_path: Path) -> None:
    text = FASTAPI + '@app.get("/a")\ndef a(): ...\n'
    write(tmp_path, {"main.py": text, "preview.toml": '[start]\nframework = "flask"\n'})
    assert [endpoint.path for endpoint in read_endpoints(tmp_path).endpoints] == ["/a"]


def test_a_plan_tells_its_steps(tmp_path: Path) -> None:
    files = {"manage.py": MANAGE, "shop/__init__.py": "", "shop/migrations/0001_initial.py": "", "shop/urls.py": ""}
    described = describe_plan(plan_of(tmp_path, {**files, "shop/settings.py": 'ROOT_URLCONF = "shop.urls"\n'}))
    steps = described["steps"]
    assert isinstance(steps, list)
    assert "migrate" in steps[0]["command"]
