"""The pytest plugin: launch a backend for a test run, and show with a failed test what its requests printed.

Registered as ``preview`` (entry point ``pytest11``). Nothing else of the client is imported before a fixture is used.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from preview.client.blocking import Client
    from preview.client.testing import Backend

_KEY = pytest.StashKey[Any]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--preview-url``, and the setting ``preview_folder``."""
    group = parser.getgroup("preview", "previews of backends")
    group.addoption(
        "--preview-url",
        metavar="URL",
        help="Service that launches backends, with PREVIEW_TOKEN; default: PREVIEW_URL, else one for this test run.",
    )
    parser.addini(
        "preview_folder", "Folder of the backend for the fixture `backend`, relative to the root.", default="."
    )


@pytest.fixture(scope="session")
def preview_client(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Client of the service of this test run; without ``PREVIEW_URL``, a service is started, and ended with the run."""
    from preview.client.testing import open_service_client  # noqa: PLC0415  see the module

    with open_service_client(request.config.getoption("--preview-url"), tmp_path_factory) as client:
        yield client


@pytest.fixture(scope="session")
def preview_launch(request: pytest.FixtureRequest, preview_client: Client) -> Iterator[Callable[..., Backend]]:
    """Launch a folder: ``preview_launch(".", env={"DEBUG": "1"})``; each backend is removed at the end of the run."""
    from preview.client.testing import BackendCalls, launch_backend, remove_backend  # noqa: PLC0415  see the module

    calls = request.config.stash.setdefault(_KEY, BackendCalls())
    launched: list[Backend] = []

    def launch(
        folder: str | Path = ".", *, env: Mapping[str, str] | None = None, start: Mapping[str, Any] | None = None,
        wait: float = 120.0,
    ) -> Backend:  # fmt: skip
        made = launch_backend(preview_client, calls, request.config.rootpath / folder, env=env, start=start, wait=wait)
        launched.append(made)
        return made

    yield launch
    for one in launched:
        remove_backend(one)


@pytest.fixture(scope="session")
def backend(request: pytest.FixtureRequest, preview_launch: Callable[..., Backend]) -> Backend:
    """Launch the project's own backend, once: ``backend.get("/books").json()``. Override it for other options."""
    return preview_launch(request.config.getini("preview_folder"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Forget the requests of the test before."""
    calls = item.config.stash.get(_KEY, None)
    if calls is not None:
        calls.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Add lines and failure records of a failed test's requests to its report."""
    report = yield
    calls = item.config.stash.get(_KEY, None)
    if calls is not None and report.failed and report.when == "call":
        report.sections.extend(calls.sections())
    return report
