"""Fixtures that every room shares: settings in a temporary folder, and a fresh migrated database of either kind."""

from __future__ import annotations

import gc
import importlib
import itertools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hypothesis
import pytest
import structlog
import uv
from browser import find_chromium, open_browser
from forked_program import ORDINARY, forking_programs
from postgres import NoPostgres, Server, open_server
from skipped import missing_programs
from sqlalchemy import make_url
from structlog._config import BoundLoggerLazyProxy

from preview.settings import Settings
from preview.storage import Database, migrate, open_database
from preview.worker import InProcess, ProjectReader

if TYPE_CHECKING:
    from playwright.sync_api import Browser

_TEMPLATE = "preview_template"
# The package offers its function under the same name.
_PREPARE = importlib.import_module("preview.storage.prepare")
_COUNTER = itertools.count(1)
# Their services have projects read by worker processes, as ever.
_WITH_WORKERS = {"faults", "hostile", "worker", "test_launch_many_files.py"}
# What a preview takes from its machine, reaches on it, leaves there and answers, however its files were read.
_WITHOUT_WORKERS = {f"test_hostile_{name}.py" for name in ("answers", "bombs", "end", "reach")}

# A template takes a core for half a second: services of tests make them where a test is of them.
_OURS = {"PREVIEW_WARM_TEMPLATES": "0"}
# Which servers a machine has decides nothing, except where a test says so.
_OURS |= dict.fromkeys(("PREVIEW_POSTGRES", "PREVIEW_MYSQL", "PREVIEW_REDIS"), "off")
# A service that is root starts nothing without a sandbox; what the tests launch is their own.
if os.geteuid() == 0 and shutil.which("bwrap") is None:
    _OURS["PREVIEW_ISOLATION"] = "trusted"
os.environ.update(_OURS)


def pytest_configure(config: pytest.Config) -> None:
    """Have in each process what makes tests slow or differ from machine to machine as it should be.

    Bytecode is kept within a run where the machine keeps none: else each start of the real program compiles it anew.
    Here, so that the workers, which inherit it, have it too.
    """
    # Collecting makes many objects and no garbage.
    gc.disable()
    cache: pytest.Cache | None = getattr(config, "cache", None)
    if cache is not None and os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
        os.environ.setdefault("PYTHONPYCACHEPREFIX", str(cache.mkdir("pycache")))
    # Whoever is started in the background of a shell ignores it, and so would all that the tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # A busy machine may take a second for what takes 5 ms: no test is about that, as each bounds its own time.
    hypothesis.settings.register_profile("preview", deadline=None)
    hypothesis.settings.load_profile("preview")
    # By default a traceback shows the variables of each frame: ten seconds of a core for one that a test provokes.
    for one in structlog.get_config()["processors"]:
        if isinstance(one, structlog.dev.ConsoleRenderer):
            one.exception_formatter = structlog.dev.plain_traceback


def pytest_unconfigure(config: pytest.Config) -> None:
    """Say in the last line what was skipped for want of a program, and the command that installs it."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if isinstance(reporter, pytest.TerminalReporter):
        line = missing_programs(str(report.longrepr) for report in reporter.stats.get("skipped", []))
        if line is not None:
            reporter.write_line(line)


def pytest_collection_finish() -> None:
    """Modules and tests stay to the end: each full collection would go through them, once in every few tests.

    What little garbage is among them stays as well: to look for it takes each process half a second.
    """
    gc.enable()
    gc.freeze()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the developer has set must not decide whether a test passes."""
    for name in [name for name in os.environ if name.startswith("PREVIEW_") and not name.startswith("PREVIEW_TEST_")]:
        if name not in _OURS:
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def _forking_popen() -> Iterator[type[subprocess.Popen[Any]]]:
    with forking_programs() as popen:
        yield popen


@pytest.fixture(scope="session", autouse=True)
def _programs_forked(_forking_popen: type[subprocess.Popen[Any]]) -> Iterator[None]:
    """`preview` starts without its imports, which take a core for more than a second; also for fixtures of modules."""
    with pytest.MonkeyPatch.context() as patch:
        if not os.environ.get("PREVIEW_TEST_PLAIN_START"):
            patch.setattr(subprocess, "Popen", _forking_popen)
        yield


@pytest.fixture(autouse=True)
def _plain_start(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("plain_start"):
        monkeypatch.setattr(subprocess, "Popen", ORDINARY)


@asynccontextmanager
async def _open_in_process(_settings: Settings, reader: ProjectReader | None) -> AsyncIterator[ProjectReader]:
    yield reader or InProcess()


@pytest.fixture(autouse=True)
def _projects_read_in_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server of workers takes a second of a core for each service; most tests are of something else."""
    names = {request.path.name, request.path.relative_to(Path(__file__).parent).parts[0]}
    if names.isdisjoint(_WITH_WORKERS) or not names.isdisjoint(_WITHOUT_WORKERS):
        monkeypatch.setattr("preview.service._open_reader", _open_in_process)


@pytest.fixture(scope="session")
def _new_tables(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], None]:
    """Upgrade a database as the service does at its start, but fill an empty SQLite file from a migrated one."""
    template = tmp_path_factory.mktemp("migrated") / "template.db"
    real, lock = _PREPARE._upgrade, threading.Lock()

    def upgrade(url: str) -> None:
        place = make_url(url)
        if place.get_backend_name() != "sqlite" or not place.database:
            real(url)
            return
        with lock, closing(sqlite3.connect(place.database)) as connection:
            is_new = connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
            if is_new:
                if not template.exists():
                    real(f"sqlite:///{template}")
                with closing(sqlite3.connect(template)) as migrated:
                    migrated.backup(connection)
        if not is_new:
            real(url)

    return upgrade


@pytest.fixture(autouse=True)
def _migrated_at_once(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _new_tables: Callable[[str], None]
) -> None:
    """All migrations of a new file take a core for a tenth of a second; tests/storage has what they do."""
    if request.path.relative_to(Path(__file__).parent).parts[0] != "storage":
        monkeypatch.setattr(_PREPARE, "_upgrade", _new_tables)


@pytest.fixture(autouse=True)
def _own_log_as_before() -> Iterator[None]:
    """A command run in this process sets the service's log up, and loggers remember it: not for the tests after it."""
    yield
    if not structlog.is_configured():
        return
    structlog.reset_defaults()
    for module in [module for name, module in sys.modules.items() if name.partition(".")[0] == "preview"]:
        for logger in [one for one in vars(module).values() if isinstance(one, BoundLoggerLazyProxy)]:
            # Where the proxy keeps what it was on first use.
            vars(logger).pop("bind", None)


@pytest.fixture(scope="session", autouse=True)
def _usual_caches() -> None:
    """The machine's caches of packages: each service of a test would else download everything anew into its own."""
    if not os.environ.get("UV_CACHE_DIR"):
        said = subprocess.run([uv.find_uv_bin(), "cache", "dir"], capture_output=True, text=True, check=True)
        os.environ["UV_CACHE_DIR"] = said.stdout.strip()
    if not any(name.lower() == "npm_config_cache" and value for name, value in os.environ.items()):
        os.environ["npm_config_cache"] = str(Path.home() / ".npm")  # noqa: SIM112  npm writes it so itself


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
def chromium() -> str:
    """The browser's program; without one its tests are skipped; with PREVIEW_TEST_REQUIRE_CHROMIUM=1 they fail."""
    found = find_chromium()
    if found is None:
        reason = "no Chromium is installed (apt-get install chromium), so no page is looked at in a real browser"
        if os.environ.get("PREVIEW_TEST_REQUIRE_CHROMIUM") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """A real browser, one for all tests of a process: Playwright takes no second one."""
    with open_browser(chromium) as opened:
        yield opened


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


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environments of tests that are not about them: each is made once in a run, as it takes a core for a second.

    Workers share the folder in which theirs stand; the environments' locks keep them apart.
    """
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-cache"


@pytest.fixture
def make_settings_in(tmp_path: Path) -> Callable[..., Settings]:
    """Settings with all folders below ``tmp_path`` and a range of ports that other workers do not use."""
    # Below the kernel's ephemeral ports (32768 and up); a random place keeps parallel runs apart.
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 4
    base = 20_000 + 2_500 * worker + 50 * random.SystemRandom().randrange(50)

    def make(**values: object) -> Settings:
        given: dict[str, object] = {
            "data_dir": tmp_path / "data",
            "cache_dir": tmp_path / "cache",
            "port_min": base,
            "port_max": base + 49,
            # Tests launch far more often than people.
            "launches_per_minute": 100_000,
            # Most tests that push launch nothing, or watch their own build.
            "build_on_push": False,
            **values,
        }
        return Settings(**given)  # type: ignore[arg-type]  # pydantic validates each value

    return make


@pytest.fixture
def settings(make_settings_in: Callable[..., Settings]) -> Settings:
    """Settings for one test."""
    return make_settings_in()
