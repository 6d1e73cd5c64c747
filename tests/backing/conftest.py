"""The fixtures of this room: one running server for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from backing_kit import DRIVERS, Driver, Host, open_host, program_or_skip
from mysql_copies_kit import PLAIN, Saved

from preview.backing.contents import mysql_copies
from preview.backing.contents.mysql_copies import MysqlCopies
from preview.backing.contents.mysql_copy import TableCopy

# A server for each preview passes the same suites; ``test_backing_own.py`` has what is different there.
KINDS = [pytest.param(kind, marks=pytest.mark.long) if kind == "own" else kind for kind in DRIVERS]


@pytest.fixture(scope="module", params=KINDS)
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    driver = DRIVERS[request.param]
    program = program_or_skip(driver)
    with open_host(driver, tmp_path_factory.mktemp(driver.kind), program) as found:
        yield found


@pytest.fixture
def driver(host: Host) -> Driver:
    return host.driver


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Results of all loads from copies; small tables are copied too, and a busy machine keeps its copies."""
    results: list[bool] = []
    load = MysqlCopies.load

    async def noted(self: MysqlCopies, copy: TableCopy, database: str) -> bool:
        results.append(await load(self, copy, database))
        return results[-1]

    monkeypatch.setattr(mysql_copies, "_LEAST_BYTES", 1)
    monkeypatch.setattr(mysql_copies, "_OPEN_S", 120)
    monkeypatch.setattr(mysql_copies, "_HELD_S", 120)
    monkeypatch.setattr(mysql_copies, "_SILENT_S", 120)
    monkeypatch.setattr(mysql_copies, "_STATEMENT_S", 60)
    monkeypatch.setattr(MysqlCopies, "load", noted)
    return results


@pytest.fixture
def saved(host: Host, driver: Driver, loads: list[bool], tmp_path: Path) -> Iterator[Saved]:
    with host.open("one-1") as preview:
        found = Saved(driver, preview, host.client(tmp_path / "scratch", 120), tmp_path)
        found.execute(*PLAIN)
        yield found
