from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from page_kit import Running, run_service
from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def running(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service for all tests that do not end it; each test has a user of its own."""
    del browser  # without one there is nothing to start for
    with run_service(tmp_path_factory.mktemp("service")) as running:
        yield running
