"""The fixtures of this room: one running server for the tests of a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from backing_kit import DRIVERS, Driver, Host, open_host, program_or_skip


@pytest.fixture(scope="module", params=list(DRIVERS))
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    driver = DRIVERS[request.param]
    program = program_or_skip(driver)
    with open_host(driver, tmp_path_factory.mktemp(driver.kind), program) as found:
        yield found


@pytest.fixture
def driver(host: Host) -> Driver:
    return host.driver
