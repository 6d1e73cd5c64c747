"""Fixtures that every room shares: settings in a temporary folder, and a fresh migrated database of either kind."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from postgres import NoPostgres, Server, open_server

from preview.settings import Settings
from preview.storage import Database, migrate, open_database

_TEMPLATE = "preview_template"
_COUNTER = itertools.count(1)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer has set must not decide whether a test passes."""
    for name in [name for name in os.environ if name.startswith("PREVIEW_") and not name.startswith("PREVIEW_TEST_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """A running PostgreSQL server with a migrated template; where none can be had, its tests are skipped."""
    context = open_server()
    try:
        server = context.__enter__()
    except NoPostgres as error:
        if os.environ.get("PREVIEW_TEST_REQUIRE_POSTGRES") == "1":
            pytest.fail(f"PREVIEW_TEST_REQUIRE_POSTGRES=1, but {error}")
        pytest.skip(f"no PostgreSQL: {error}")
    try:
        migrate.upgrade(server.create(_TEMPLATE))
        yield server
    finally:
        context.__exit__(None, None, None)


@pytest.fixture(scope="session")
def postgres_url(postgres_server: Server) -> str:
    """The server's own database ``postgres``, without our tables."""
    return postgres_server.url("postgres")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("sqlite") / "template.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def empty_postgres_url(postgres_server: Server) -> Iterator[str]:
    """A fresh PostgreSQL database without tables."""
    name = f"test_{next(_COUNTER)}"
    yield postgres_server.create(name)
    postgres_server.drop(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A fresh database without tables, of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture
def postgres_database_url(postgres_server: Server) -> Iterator[str]:
    """A fresh migrated PostgreSQL database."""
    name = f"test_{next(_COUNTER)}"
    yield postgres_server.create(name, _TEMPLATE)
    postgres_server.drop(name)


@pytest.fixture
def sqlite_database_url(sqlite_template: Path, tmp_path: Path) -> str:
    """A fresh migrated SQLite file."""
    path = tmp_path / "test.db"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A fresh migrated database, of either kind."""
    kind = "sqlite" if request.param == "sqlite" else "postgres"
    url: str = request.getfixturevalue(f"{kind}_database_url")
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """A fresh migrated database, of either kind, open."""
    async with open_database(database_url) as opened:
        yield opened


@pytest.fixture
def make_settings_in(tmp_path: Path) -> Callable[..., Settings]:
    """Settings with all folders below ``tmp_path`` and a range of ports that other workers hardly use."""
    # Below the kernel's ephemeral ports (32768 and up); a random place keeps parallel runs apart.
    base = 20_000 + 50 * random.SystemRandom().randrange(200)

    def make(**values: object) -> Settings:
        given: dict[str, object] = {
            "data_dir": tmp_path / "data",
            "cache_dir": tmp_path / "cache",
            "port_min": base,
            "port_max": base + 49,
            **values,
        }
        return Settings(**given)  # type: ignore[arg-type]  # pydantic validates each value

    return make


@pytest.fixture
def settings(make_settings_in: Callable[..., Settings]) -> Settings:
    """Settings for one test."""
    return make_settings_in()
