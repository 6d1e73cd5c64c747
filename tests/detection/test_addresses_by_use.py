"""Variables of hosts, ports and engines are known by their use in the source, whatever their names are."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from detection_kit import FASTAPI, MANAGE, values_of, write

from preview.detection import Origin, ServiceKind, StartPlan, detect
from preview.detection.settings import ProjectSettings
from preview.detection.settings.model import Kind, Need, SettingRead

ALL = frozenset({ServiceKind.POSTGRESQL, ServiceKind.MYSQL, ServiceKind.REDIS})
NAMED = (
    'import os\nclass Names:\n    host = "AMQP_HOST"\n    port = "AMQP_PORT"\n'
    "class Config:\n    mq_host = os.environ[Names.host]\n    mq_port = int(os.environ[Names.port])\n"
)
TABLE = (
    'import os\nROOT_URLCONF = "shop.urls"\n'
    'DATABASES = {"default": {"ENGINE": os.environ["SQL_ENGINE"], "HOST": os.environ["SQL_HOST"]}}\n'
)
SETTINGS = (
    "from pydantic import PostgresDsn\nfrom pydantic_settings import BaseSettings, SettingsConfigDict\n"
    "from names import PREFIX\nclass Settings(BaseSettings):\n"
    "    model_config = SettingsConfigDict(env_prefix=PREFIX)\n"
    '    SERVER: str\n    NUMBER: int\n    ENGINE: str = "sqlite3"\nsettings = Settings()\n'
    'url = PostgresDsn.build(scheme=f"{settings.ENGINE}", host=settings.SERVER, port=settings.NUMBER)\n'
)


def supplied(folder: Path, files: dict[str, str]) -> StartPlan:
    return detect(write(folder, files), None, None, ALL)


@pytest.mark.parametrize(
    "use",
    [
        'url = f"redis://:x@{Config.mq_host}:{Config.mq_port}/0"\n',
        'url = f"redis://{Config.mq_host}:{Config.mq_port}/0"\n',
        "from redis import Redis\nbox = Redis(host=Config.mq_host, port=Config.mq_port)\n",
    ],
)
def test_what_redis_gets_leads_to_the_previews_redis(tmp_path: Path, use: str) -> None:
    files = {"main.py": FASTAPI + NAMED + use, "requirements.txt": "fastapi\nredis\n"}
    values = values_of(supplied(tmp_path, files))
    assert (values["AMQP_HOST"], values["AMQP_PORT"]) == ("localhost", "6379")


def test_what_rabbitmq_gets_stays_its_own(tmp_path: Path) -> None:
    use = 'url = f"amqp://x:y@{Config.mq_host}:{Config.mq_port}/"\nfrom redis import Redis\nbox = Redis()\n'
    files = {"main.py": FASTAPI + NAMED + use, "requirements.txt": "fastapi\nredis\npika\n"}
    assert values_of(supplied(tmp_path, files))["AMQP_PORT"] == "5672"


def test_the_applications_own_address_is_not_a_servers(tmp_path: Path) -> None:
    text = 'import os\nHOST = os.getenv("HOST", "0.0.0.0")\nurl = f"redis://{HOST}:6379/0"\n'
    files = {"main.py": FASTAPI + text, "requirements.txt": "fastapi\nredis\n"}
    assert "HOST" not in values_of(supplied(tmp_path, files))


def test_a_prefix_that_is_a_constant_is_read(tmp_path: Path) -> None:
    requirements = "fastapi\npydantic-settings\npsycopg2-binary\n"
    files = {"main.py": SETTINGS + FASTAPI, "names.py": 'PREFIX = "API_"\n', "requirements.txt": requirements}
    values = values_of(supplied(tmp_path, files))
    assert (values["API_SERVER"], values["API_NUMBER"]) == ("localhost", "5432")
    assert "SERVER" not in values


@pytest.mark.parametrize(
    ("example", "engine"),
    [
        ("django_tenants.postgresql_backend", "django_tenants.postgresql_backend"),
        ("django.contrib.gis.db.backends.postgis", "django.contrib.gis.db.backends.postgis"),
        # Django 4 no longer has it.
        ("django.db.backends.postgresql_psycopg2", "django.db.backends.postgresql"),
        ("change me.postgresql", "django.db.backends.postgresql"),
    ],
)
def test_the_engine_of_a_package_is_taken_from_the_example(tmp_path: Path, example: str, engine: str) -> None:
    files = {
        ".env.example": f"SQL_ENGINE={example}\nSQL_HOST=db\n",
        "site/manage.py": MANAGE,
        "site/shop/__init__.py": "",
        "site/shop/urls.py": "urlpatterns = []\n",
        "site/shop/settings.py": TABLE,
        "site/requirements.txt": "django\npsycopg2-binary\n",
    }
    found = supplied(tmp_path, files).variables["SQL_ENGINE"]
    assert found.value == engine
    assert (found.origin is Origin.EXAMPLE) == (engine == example)


def test_tortoise_gets_a_scheme_that_it_knows(tmp_path: Path) -> None:
    text = (
        "from pydantic_settings import BaseSettings\nfrom tortoise.contrib.fastapi import register_tortoise\n"
        'class S(BaseSettings):\n    postgres_dsn: str = ""\nregister_tortoise(None, db_url=S().postgres_dsn)\n'
    )
    requirements = "fastapi\npydantic-settings\ntortoise-orm\nasyncpg\n"
    plan = supplied(tmp_path, {"main.py": FASTAPI + text, "requirements.txt": requirements})
    assert values_of(plan)["POSTGRES_DSN"] == "postgres://preview:preview@localhost:5432/preview"


def test_an_asyncio_engine_beside_databases_gets_its_driver(tmp_path: Path) -> None:
    text = (
        "import os\nfrom databases import Database\nfrom sqlalchemy.ext.asyncio import create_async_engine\n"
        'URL = os.environ["DATABASE_URL"]\ndatabase = Database(URL)\nengine = create_async_engine(URL)\n'
    )
    requirements = "fastapi\nsqlalchemy\ndatabases\nasyncpg\npsycopg2-binary\n"
    plan = supplied(tmp_path, {"main.py": text + FASTAPI, "requirements.txt": requirements})
    assert values_of(plan)["DATABASE_URL"] == "postgresql+asyncpg://preview:preview@localhost:5432/preview"


def test_very_many_hosts_are_looked_up_in_bounded_time() -> None:
    names = [f"n{number}" for number in range(20_000)]
    reads = {f"A_{name}": SettingRead(f"A_{name}", "a.py", 1, Need.OPTIONAL, Kind.TEXT, field=name) for name in names}
    settings = ProjectSettings(reads, {}, {})
    started = time.thread_time()
    assert [found.field for name in names if (found := settings.kept_as(name))] == names
    assert time.thread_time() - started < 5
