from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from local_github import LocalGithub, run_github
from page_kit import Running, run_service
from playwright.sync_api import Browser


@pytest.fixture(scope="session")
def github() -> Iterator[LocalGithub]:
    """What the service of ``running`` imports from."""
    with run_github() as github:
        yield github


@pytest.fixture(scope="session")
def running(browser: Browser, github: LocalGithub, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A service for all tests that do not end it; each test has a user of its own."""
    del browser  # without one there is nothing to start for
    settings = {"PREVIEW_GITHUB_URL": github.url, "PREVIEW_GITHUB_ARCHIVES_URL": f"{github.url}/codeload"}
    with run_service(tmp_path_factory.mktemp("service"), **settings) as running:
        yield running


@pytest.fixture(autouse=True)
def _previews_end(request: pytest.FixtureRequest) -> Iterator[None]:
    """Stop the previews of a test's own users: the service has 20 ports, and one worker may get all these tests."""
    running: Running | None = request.getfixturevalue("running") if "running" in request.fixturenames else None
    before = set() if running is None else set(running.tokens)
    yield
    if running is not None:
        for user in set(running.tokens) - before:
            running.end_previews(user)
