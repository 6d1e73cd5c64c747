"""The fixtures of this room: one running server for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from backing_kit import DRIVERS, Driver, Host, open_host, program_or_skip

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
